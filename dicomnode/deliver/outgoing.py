"""A DICOM file that is to be sent: what must be known of it to negotiate, and proof that its bytes are undamaged."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from dicomnode.config.destinations import BaseDestination
from dicomnode.dicom.identity import KEYWORDS, identity_in, take
from dicomnode.dicom.libraries import set_up_pydicom
from dicomnode.environment import Fault, fault_of, said_by
from dicomnode.errors import DeliveryError, ResultAway, ResultDamaged

_IDENTITY_TAGS = ("SpecificCharacterSet", *KEYWORDS)
NATIVE = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))
TRANSCODABLE = (*NATIVE, str(DeflatedExplicitVRLittleEndian), str(RLELossless))
"""Transfer syntaxes from which a data set is rewritten into those of ``NATIVE`` with the same pixels."""

SLOWEST_BYTES_S = 100_000
"""A peer may take ``timeout_s`` and, for large files, the time that a line of this rate needs."""


MAX_ANSWER_S = 600.0


@dataclass(frozen=True, slots=True)
class Coercion:
    """Identity that a file is to carry at one destination in place of its own.

    Attributes
    ----------
    taken : keyword -> value, see ``dicom.identity.Judgement``.
    by : AE title of this node.
    at : since when, as DT.
    """

    taken: Mapping[str, str] = field(repr=False)
    by: str
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One file to be stored at a peer.

    Attributes
    ----------
    sha256 : of the whole file, hex; empty where nothing is known to compare with.
    unanswered : how often it was sent without an answer; then the next is waited for longer.
    coercion : the file leaves as :meth:`dataset` and not byte for byte; None: as it is.
    """

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    size_bytes: int
    sha256: str = ""
    unanswered: int = 0
    coercion: Coercion | None = None

    @classmethod
    def from_file(cls, path: Path, *, sha256: str = "", unanswered: int = 0) -> Outgoing:
        """Read the file meta information (DICOM PS3.10 7.1).

        Raises
        ------
        ResultDamaged : it cannot be parsed.
        ResultAway : the file cannot be read now.
        """
        set_up_pydicom()
        try:
            meta = read_file_meta_info(path)
            return cls(
                path=path,
                sop_class_uid=str(meta.MediaStorageSOPClassUID),
                sop_instance_uid=str(meta.MediaStorageSOPInstanceUID),
                transfer_syntax_uid=str(meta.TransferSyntaxUID),
                size_bytes=path.stat().st_size,
                sha256=sha256,
                unanswered=unanswered,
            )
        except (OSError, MemoryError) as fault:
            raise unread(fault) from fault
        except (InvalidDicomError, AttributeError, ValueError, EOFError, struct.error) as fault:
            raise ResultDamaged("the file meta information cannot be parsed; the file is not sent") from fault

    def dataset(self, *, native: bool = False) -> Dataset:
        """The file as it leaves: with the destination's identity, where that is another.

        Parameters
        ----------
        native : with uncompressed pixels, in a data set that is not deflated: what every peer takes.

        Raises
        ------
        OSError, InvalidDicomError, ValueError, AttributeError : the file cannot be read or its texts not be written.
        """
        ds = dcmread(self.path)
        if self.coercion is not None:
            take(ds, self.coercion.taken, by=self.coercion.by, at=self.coercion.at)
        if native and ds.file_meta.TransferSyntaxUID == RLELossless:
            ds.decompress(decoding_plugin="pydicom", generate_instance_uid=False)
        if native and ds.file_meta.TransferSyntaxUID not in NATIVE:
            ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        return ds

    def identity(self) -> dict[str, str]:
        """Whose result it is by its own bytes: keyword -> value.

        Raises
        ------
        ResultDamaged : the file cannot be parsed.
        ResultAway : the file cannot be read now.
        """
        try:
            return identity_in(dcmread(self.path, stop_before_pixels=True, specific_tags=[*_IDENTITY_TAGS]))
        except (OSError, MemoryError) as fault:
            raise unread(fault) from fault
        except (InvalidDicomError, AttributeError, ValueError, EOFError, struct.error) as fault:
            raise ResultDamaged("the file cannot be parsed; it is not sent") from fault

    def check(self) -> None:
        """Compare the bytes on disk with the digest taken when they were written.

        Raises
        ------
        ResultDamaged : they differ.
        ResultAway : the file cannot be read now.
        """
        if not self.sha256:
            return
        try:
            with self.path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except (OSError, MemoryError) as fault:
            raise unread(fault) from fault
        if found != self.sha256:
            raise ResultDamaged("the bytes on disk are not those that were encoded; the file is not sent")


def unread(fault: OSError | MemoryError) -> DeliveryError:
    """What follows for a result whose file could not be read.

    Only a fault of the file itself is final; that it is absent may be its mount's fault, and is not told apart.
    """
    if fault_of(fault) is Fault.STAYS:
        return ResultDamaged(f"the file cannot be read ({said_by(fault)}); it is not sent")
    return ResultAway(f"the file cannot be read now ({said_by(fault)})")


def answer_timeout_s(destination: BaseDestination, size_bytes: int, unanswered: int = 0) -> float:
    """How long the answer to a C-STORE or STOW-RS of this size is waited for.

    An archive that answers late is given twice the time at each repeat, up to ``MAX_ANSWER_S``.
    """
    usual_s = destination.timeout_s + size_bytes / SLOWEST_BYTES_S
    return min(max(MAX_ANSWER_S, usual_s), usual_s * 2.0 ** min(unanswered, 30))
