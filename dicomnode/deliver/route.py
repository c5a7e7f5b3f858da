"""The way to a destination, DIMSE or DICOMweb: what sending and proving need of either, in one shape."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from dicomnode.config.destinations import AnyDestination, Destination, WebDestination
from dicomnode.deliver import commitment, qido, query, scu, stow
from dicomnode.deliver.answers import Series, Shown, Studies
from dicomnode.deliver.outgoing import Outgoing
from dicomnode.deliver.web_client import WebClient
from dicomnode.dicom.commitment import Reference
from dicomnode.store.engine import Store
from dicomnode.web.credentials import Credentials

log = logging.getLogger(__name__)


class Link(Protocol):
    """An open connection for storing."""

    @property
    def is_lost(self) -> bool:
        """Whether the connection is gone: nothing more can be stored over it."""

    def store(self, file: Outgoing) -> int:
        """Store one file; returns its DIMSE status, success or warning.

        Raises
        ------
        DestinationUnavailable : the destination takes nothing now; the rest of the batch need not be tried.
        DeliveryError : it was not stored, and why.
        """


class Route(Protocol):
    """How one destination is reached. Each raises :class:`DeliveryError`."""

    def link(self, files: Sequence[Outgoing]) -> AbstractContextManager[Link]:
        """One connection for a batch of files."""

    def ask(self) -> None:
        """Whether it would take results now: returns, or raises the reason."""

    def find_instances(self, series: Iterable[Series]) -> dict[Series, Shown]:
        """SOP Instance UIDs that it says it has, per series."""

    def find_anywhere(self, sop_instance_uids: Iterable[str]) -> dict[str, Studies]:
        """In which studies it shows each instance, whatever study it was sent for."""

    def find_identities(self, study_uids: Iterable[str]) -> dict[str, list[dict[str, str]]]:
        """Whose study each is, as the destination says; raises FindNotOffered where it can be asked nothing."""

    def request_commitment(self, store: Store, transaction_uid: str, references: Sequence[Reference]) -> None:
        """Ask for storage commitment; raises CommitmentNotOffered where there is no such thing."""


class DimseRoute:
    """Associations: C-STORE, C-ECHO, C-FIND, N-ACTION."""

    def __init__(self, destination: Destination, calling_ae: str) -> None:
        self._destination = destination
        self._calling_ae = calling_ae

    def link(self, files: Sequence[Outgoing]) -> AbstractContextManager[Link]:
        """See :func:`dicomnode.deliver.scu.associate`."""
        return scu.associate(files, self._destination, self._calling_ae)

    def ask(self) -> None:
        """See :func:`dicomnode.deliver.scu.echo`."""
        scu.echo(self._destination, self._calling_ae)

    def find_instances(self, series: Iterable[Series]) -> dict[Series, Shown]:
        """See :func:`dicomnode.deliver.query.find_instances`."""
        series = list(series)
        _tell_of_query(self._destination, "IMAGE", [series_uid for _, series_uid in series])
        return query.find_instances(self._destination, self._calling_ae, series)

    def find_anywhere(self, sop_instance_uids: Iterable[str]) -> dict[str, Studies]:
        """See :func:`dicomnode.deliver.query.find_anywhere`."""
        sop_instance_uids = list(sop_instance_uids)
        _tell_of_query(self._destination, "IMAGE", sop_instance_uids)
        return query.find_anywhere(self._destination, self._calling_ae, sop_instance_uids)

    def find_identities(self, study_uids: Iterable[str]) -> dict[str, list[dict[str, str]]]:
        """See :func:`dicomnode.deliver.query.find_identities`."""
        study_uids = list(study_uids)
        _tell_of_query(self._destination, "STUDY", study_uids)
        return query.find_identities(self._destination, self._calling_ae, study_uids)

    def request_commitment(self, store: Store, transaction_uid: str, references: Sequence[Reference]) -> None:
        """See :func:`dicomnode.deliver.commitment.request_commitment`."""
        commitment.request_commitment(self._destination, self._calling_ae, store, transaction_uid, references)


class WebRoute:
    """HTTP: STOW-RS and QIDO-RS. A token that was fetched is kept for the next connection."""

    def __init__(self, destination: WebDestination) -> None:
        self._destination = destination
        self._credentials = Credentials(destination.auth)

    @contextmanager
    def link(self, files: Sequence[Outgoing]) -> Iterator[Link]:
        """See :class:`dicomnode.deliver.stow.StowLink`."""
        with self._client() as client:
            yield stow.StowLink(client, self._destination)

    def ask(self) -> None:
        """See :func:`dicomnode.deliver.stow.ask`."""
        with self._client() as client:
            stow.ask(client, self._destination)

    def find_instances(self, series: Iterable[Series]) -> dict[Series, Shown]:
        """See :func:`dicomnode.deliver.qido.find_instances`."""
        series = list(series)
        _tell_of_query(self._destination, "IMAGE", [series_uid for _, series_uid in series])
        with self._client() as client:
            return qido.find_instances(client, self._destination, series)

    def find_anywhere(self, sop_instance_uids: Iterable[str]) -> dict[str, Studies]:
        """See :func:`dicomnode.deliver.qido.find_anywhere`."""
        sop_instance_uids = list(sop_instance_uids)
        _tell_of_query(self._destination, "IMAGE", sop_instance_uids)
        with self._client() as client:
            return qido.find_anywhere(client, self._destination, sop_instance_uids)

    def find_identities(self, study_uids: Iterable[str]) -> dict[str, list[dict[str, str]]]:
        """See :func:`dicomnode.deliver.qido.find_identities`."""
        study_uids = list(study_uids)
        _tell_of_query(self._destination, "STUDY", study_uids)
        with self._client() as client:
            return qido.find_identities(client, self._destination, study_uids)

    def request_commitment(self, store: Store, transaction_uid: str, references: Sequence[Reference]) -> None:
        """There is none in DICOMweb; the configuration refuses it already."""
        raise commitment.CommitmentNotOffered("DICOMweb has no storage commitment")

    def _client(self) -> WebClient:
        return WebClient(self._destination, self._credentials)


def _tell_of_query(destination: AnyDestination, level: str, uids: Sequence[str]) -> None:
    """A line of the log for each question, from which the audit trail takes it."""
    facts = {"action": "query", "destination": destination.name, "query_level": level, "uids": list(uids)}
    log.info("destination asked", extra=facts)


def route_to(destination: AnyDestination, calling_ae: str) -> Route:
    """The route to a destination: by DIMSE or by DICOMweb, as it is configured."""
    if isinstance(destination, WebDestination):
        return WebRoute(destination)
    return DimseRoute(destination, calling_ae)
