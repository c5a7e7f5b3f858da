"""A small receiving PACS: keeps what it gets as files, answers C-FIND and commits to it. For the demo and the tests.

It is no part of the node's own reception, which acknowledges only what is on disk and indexed.
"""

from __future__ import annotations

import hashlib
import os
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, build_role, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

from dicomnode.dicom.commitment import (
    ALL_COMMITTED,
    SOME_FAILED,
    STORAGE_COMMITMENT,
    STORAGE_COMMITMENT_INSTANCE,
    references_in,
    report_of,
)
from dicomnode.dicom.identity import KEYWORDS, identity_in
from dicomnode.dicom.libraries import set_up_pydicom, set_up_pynetdicom
from dicomnode.dicom.statuses import INVALID_OBJECT_INSTANCE, PENDING, SUCCESS, is_stored
from dicomnode.dicom.uids import is_valid_uid


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One instance as it arrived.

    Attributes
    ----------
    sha256 : of the data set as it came over the network, without file meta information.
    association : counts the associations of this PACS, from 1.
    """

    sop_instance_uid: str
    series_uid: str
    study_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    calling_ae: str
    path: Path
    sha256: str
    association: int


class ReceivingPacs:
    """Stores each instance as ``<SOP Instance UID>.dcm``; the same UID again overwrites the file.

    Parameters
    ----------
    folder : made when absent.
    port : 0 takes a free one; ``port`` then tells which, and stays the same through ``stop`` and ``start``.
    called_ae_checked : reject associations that ask for another AE title.
    ssl_context : speak TLS.

    Attributes
    ----------
    report_to : host, port and AE title to which storage commitment is reported on an association of its own; None:
        reported on the association of the request.
    """

    def __init__(
        self,
        folder: Path,
        ae_title: str,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        called_ae_checked: bool = False,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.folder = folder
        self.ae_title = ae_title
        self.host = host
        self.port = port
        self.instances: list[Stored] = []
        self.associations = 0
        self.report_to: tuple[str, int, str] | None = None
        self._called_ae_checked = called_ae_checked
        self._ssl_context = ssl_context
        self._lock = threading.Lock()
        self._server: Any = None

    def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        set_up_pydicom()
        set_up_pynetdicom()
        self.folder.mkdir(parents=True, exist_ok=True)
        handlers: list[Any] = [(evt.EVT_CONN_OPEN, self._on_opened), (evt.EVT_CONN_CLOSE, self._on_closed)]
        handlers += [(evt.EVT_ACCEPTED, self._on_accepted), (evt.EVT_C_STORE, self._on_store)]
        handlers += [(evt.EVT_C_FIND, self._on_find), (evt.EVT_N_ACTION, self._on_action)]
        self._server = self._entity().start_server(
            (self.host, self.port), block=False, evt_handlers=handlers, ssl_context=self._ssl_context
        )
        self.port = int(self._server.socket.getsockname()[1])

    def stop(self) -> None:
        """Stop listening and abort what is associated."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _entity(self) -> AE:
        entity = AE(self.ae_title)
        entity.require_called_aet = self._called_ae_checked
        entity.add_supported_context(Verification)
        entity.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
        entity.add_supported_context(STORAGE_COMMITMENT)
        for context in AllStoragePresentationContexts:
            if context.abstract_syntax is not None:
                entity.add_supported_context(context.abstract_syntax, ALL_TRANSFER_SYNTAXES)
        return entity

    @staticmethod
    def _on_opened(event: evt.Event) -> None:
        shared: Any = event.assoc
        shared.dicomnode_connection = shared.dul.socket.socket

    @staticmethod
    def _on_closed(event: evt.Event) -> None:
        # pynetdicom leaves the descriptor to the garbage collector where the peer was the first to close.
        shared: Any = event.assoc
        shared.dicomnode_connection.close()

    def _on_accepted(self, event: evt.Event) -> None:
        with self._lock:
            self.associations += 1
            # The association is the one object that both handlers share.
            shared: Any = event.assoc
            shared.dicomnode_number = self.associations

    def _on_store(self, event: evt.Event) -> int:
        request: Any = event.request
        uid = str(request.AffectedSOPInstanceUID)
        if not is_valid_uid(uid):
            return INVALID_OBJECT_INSTANCE
        status = self.answer_to(event)
        if is_stored(status):
            self._keep(event, uid)
        return status

    def answer_to(self, event: evt.Event) -> int:
        """Status to answer a C-STORE with; what is not a success or a warning is not kept. To be overridden."""
        return SUCCESS

    def _keep(self, event: evt.Event, uid: str) -> None:
        request: Any = event.request
        assoc: Any = event.assoc
        path = self.folder / f"{uid}.dcm"
        partial = path.with_suffix(f".{threading.get_ident()}.part")
        partial.write_bytes(event.encoded_dataset())
        os.replace(partial, path)
        where = dcmread(path, specific_tags=["StudyInstanceUID", "SeriesInstanceUID"])
        stored = Stored(
            sop_instance_uid=uid,
            series_uid=str(where.get("SeriesInstanceUID", "")),
            study_uid=str(where.get("StudyInstanceUID", "")),
            sop_class_uid=str(request.AffectedSOPClassUID),
            transfer_syntax_uid=str(event.context.transfer_syntax),
            calling_ae=assoc.requestor.ae_title,
            path=path,
            sha256=hashlib.sha256(event.encoded_dataset(include_meta=False)).hexdigest(),
            association=assoc.dicomnode_number,
        )
        with self._lock:
            self.instances.append(stored)

    def _on_find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        """Answers for STUDY, and for IMAGE with study and series given (DICOM PS3.4 C.4.1)."""
        wanted: Any = event.identifier
        if wanted.QueryRetrieveLevel == "STUDY":
            yield from ((PENDING, answer) for answer in self.studies(str(wanted.StudyInstanceUID)))
            return
        for stored in self.shown():
            if (stored.study_uid, stored.series_uid) == (wanted.StudyInstanceUID, wanted.SeriesInstanceUID):
                answer = Dataset()
                answer.QueryRetrieveLevel = wanted.QueryRetrieveLevel
                answer.StudyInstanceUID, answer.SeriesInstanceUID = stored.study_uid, stored.series_uid
                answer.SOPInstanceUID = stored.sop_instance_uid
                yield PENDING, answer

    def studies(self, study_uid: str) -> list[Dataset]:
        """Answers to a query, one for each patient that the study was stored under. To be overridden."""
        identities = {
            tuple(identity_in(dcmread(stored.path, stop_before_pixels=True)).items())
            for stored in self.shown()
            if stored.study_uid == study_uid
        }
        return [_study_answer(study_uid, dict(identity)) for identity in sorted(identities)]

    def shown(self) -> list[Stored]:
        """What a query may find, each instance once. To be overridden."""
        with self._lock:
            return list({stored.sop_instance_uid: stored for stored in self.instances}.values())

    def _on_action(self, event: evt.Event) -> tuple[int, None]:
        """Storage commitment is answered at once, and reported a moment later (DICOM PS3.4 J.3)."""
        transaction_uid, references = references_in(event.action_information)
        held = {stored.sop_instance_uid for stored in self.shown()}
        committed = [reference for reference in references if reference.sop_instance_uid in held]
        failed = [reference for reference in references if reference.sop_instance_uid not in held]
        report = report_of(transaction_uid, committed, failed)
        threading.Thread(target=self.report, args=(report, event.assoc), daemon=True).start()
        return SUCCESS, None

    def report(self, report: Dataset, assoc: Association) -> None:
        """N-EVENT-REPORT on the association of the request, or on one of its own."""
        if self.report_to is None:
            self._send_report(report, assoc)
            return
        host, port, ae_title = self.report_to
        entity = AE(self.ae_title)
        entity.add_requested_context(STORAGE_COMMITMENT)
        role = build_role(STORAGE_COMMITMENT, scp_role=True)
        own = entity.associate(host, port, ae_title=ae_title, ext_neg=[role])
        if own.is_established:
            self._send_report(report, own)
            own.release()

    @staticmethod
    def _send_report(report: Dataset, assoc: Association) -> None:
        kind = SOME_FAILED if "FailedSOPSequence" in report else ALL_COMMITTED
        assoc.send_n_event_report(report, kind, STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE)


def _study_answer(study_uid: str, identity: dict[str, str]) -> Dataset:
    answer = Dataset()
    answer.SpecificCharacterSet = "ISO_IR 192"
    answer.QueryRetrieveLevel, answer.StudyInstanceUID = "STUDY", study_uid
    for keyword in KEYWORDS:
        setattr(answer, keyword, identity.get(keyword, ""))
    return answer
