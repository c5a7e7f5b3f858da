"""Images that an archive answered over HTTP, on the way into the spool as if they had come by C-STORE."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from io import BytesIO

from pydicom import dcmread

from dicomnode.config.destinations import Destination
from dicomnode.config.whole import Config
from dicomnode.deliver.archive import Archive
from dicomnode.deliver.retrieving import DimseArchive
from dicomnode.deliver.wado import WebArchive
from dicomnode.dicom.received import BAD_FILE
from dicomnode.environment import raise_unless_it_stays
from dicomnode.errors import DeliveryError
from dicomnode.receive.intake import Arrival, Intake, Peer
from dicomnode.receive.part10 import Origin, preamble_of
from dicomnode.receive.scp import spool_of
from dicomnode.store.engine import Store
from dicomnode.store.receive.receptions import ABORTED, RELEASED, end_association

Take = Callable[[bytes], None]
PREAMBLE_BYTES, HEAD_BYTES = 128, 144
"""Preamble, prefix, and the element that tells how long the file meta information is (PS3.10 7.1)."""


def archive_of(config: Config, store: Store, owner: str) -> Archive:
    """The archive that is asked for earlier CTs."""
    priors = config.priors
    destination = next(one for one in config.destination if one.name == priors.destination)
    if isinstance(destination, Destination):
        return DimseArchive(destination, config.node.ae_title, timeout_s=priors.timeout_s)
    taken = FetchedImages(config, store, owner=owner, sender=destination.name[:16])
    return WebArchive(destination, taken.of, most=priors.max_slices)


class FetchedImages:
    """Takes files in by the way of all images: bytes durable, header read, row written. For one thread.

    Parameters
    ----------
    owner : the node. sender : in place of a calling AE title.
    """

    def __init__(self, config: Config, store: Store, *, owner: str, sender: str) -> None:
        self._store, self._sender, self._to = store, sender, config.node.ae_title
        self._receiver = f"{owner}/fetched"
        self._settle_s = config.reception.settle_s
        self._spool = spool_of(config, self._receiver)
        self._intake = Intake(
            store, self._spool, settle_s=self._settle_s, max_instances=config.reception.max_series_instances
        )
        self._is_prepared = False

    def of(self, study_uid: str) -> AbstractContextManager[Take]:
        """Takes the images of one study, as one association brings them."""
        return self._open(study_uid)

    @contextmanager
    def _open(self, study_uid: str) -> Iterator[Take]:
        if not self._is_prepared:
            # not before: after a reload the part that this one follows may still be at it
            self._spool.prepare()
            self._is_prepared = True
        peer = Peer(receiver=self._receiver, calling_ae=self._sender, called_ae=self._to, address="")
        outcome = ABORTED
        try:
            yield partial(self._take, peer, study_uid)
            outcome = RELEASED
        finally:
            if peer.association_id is not None:
                with self._store.write() as session:
                    end_association(session, peer.association_id, outcome, settle_s=self._settle_s)

    def _take(self, peer: Peer, study_uid: str, file: bytes) -> None:
        """One file.

        Raises
        ------
        DeliveryError : it is no DICOM file, or of another study than was asked for: that is not to be kept.
        ReceiveError : disk or database cannot take it now.
        """
        origin, data_set = split(file, self._sender, self._to)
        incoming = self._spool.open(preamble_of(origin))
        try:
            incoming.write(data_set)
            arrival = Arrival(incoming=incoming, origin=origin, peer=peer)
            if self._intake.describe(arrival).study_uid != study_uid:
                raise DeliveryError("WADO-RS was answered with an instance of another study")
            (done,) = self._intake.take_all([arrival])
        finally:
            incoming.discard()
        if isinstance(done, Exception):
            raise done


def split(file: bytes, sender: str, to: str) -> tuple[Origin, bytes]:
    """What a file of PS3.10 says of itself, and its data set.

    Raises
    ------
    DeliveryError : it is none.
    """
    try:
        end = _data_set_at(file)
        # the meta information alone: the rest is read within bounds, as that of any peer
        meta = dcmread(BytesIO(file[:end])).file_meta
        origin = Origin(
            sop_class_uid=str(meta.MediaStorageSOPClassUID),
            sop_instance_uid=str(meta.MediaStorageSOPInstanceUID),
            transfer_syntax_uid=str(meta.TransferSyntaxUID),
            calling_ae=sender,
            called_ae=to,
        )
        return origin, file[end:]
    except BAD_FILE as fault:
        raise_unless_it_stays(fault)
        raise DeliveryError("WADO-RS was answered with something that is no DICOM file") from fault


def _data_set_at(file: bytes) -> int:
    if file[PREAMBLE_BYTES : HEAD_BYTES - 4] != b"DICM\x02\x00\x00\x00UL\x04\x00":
        raise ValueError("no file meta information")
    return HEAD_BYTES + int(struct.unpack("<L", file[HEAD_BYTES - 4 : HEAD_BYTES])[0])
