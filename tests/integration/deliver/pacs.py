"""Peers that behave as real ones do on bad days: they refuse, warn, fall over, hang, and come back."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from dicomnode.app.demo_pacs import ReceivingPacs, Stored
from dicomnode.deliver.query import STUDY_ROOT_FIND
from dicomnode.dicom.commitment import STORAGE_COMMITMENT
from dicomnode.dicom.statuses import PENDING, SUCCESS
from dicomnode.kinds import KINDS

STALL_S = 20.0
STORED_CLASSES = frozenset({*(row.sop_class_uid for row in KINDS.values()), CTImageStorage})


class ScriptedPacs(ReceivingPacs):
    """A receiving PACS with a script; what the script does not mention is stored with Success.

    Attributes
    ----------
    statuses : answered in turn to the next C-STOREs, whatever they carry.
    refused_classes : SOP classes whose presentation contexts are rejected (before ``start``).
    accepted_syntaxes : where given, the only transfer syntaxes taken (before ``start``).
    falls_over_at : SOP instance UIDs at whose arrival the association is aborted, nothing kept.
    aborts_after : number of C-STOREs to answer before the next one ends in an abort; None: never. Used up once.
    keeps_then_drops : the next C-STORE is kept, then the association is aborted without an answer.
    asked : SOP instance UID of each C-STORE, also of those not kept, in order of arrival.
    answers_after_s : silence between keeping an instance and the answer to its C-STORE.
    loses : SOP instance UID -> how many times it is acknowledged with Success and then not kept.
    hidden_looks : number of C-FINDs that show nothing yet, as in an archive that indexes later.
    offers_find : whether C-FIND is offered (before ``start``).
    find_status : answered to every C-FIND in place of matches, where not Success.
    looks : number of C-FINDs for instances so far.
    patients : answered to every C-FIND for a study, where given, in place of what is stored.
    study_looks : number of C-FINDs for a study so far.
    study_find_status : answered to these in place of matches, where not Success.
    study_gate : where given, the next C-FIND for a study is not answered before it is set. Used up once.
    says : keyword -> what every answer to a C-FIND says in this element in place of what is true; None: it is left out.
    refiles_under : ``study_uid`` or ``series_uid`` that takes the place of the one that an instance came with.
    proposals : SOP class UID -> application information of each extended negotiation so far.
    alone_status : answered to every C-FIND for an instance alone, without study and series, where not Success.
    offers_commitment : whether storage commitment is offered (before ``start``).
    mute_reports : how many commitment requests are accepted and never reported on.
    requests : number of commitment requests so far.
    """

    def __init__(self, folder: Path, ae_title: str = "PACS", **more: Any) -> None:
        super().__init__(folder, ae_title, **more)
        self.statuses: list[int] = []
        self.refused_classes: set[str] = set()
        self.accepted_syntaxes: list[str] = []
        self.falls_over_at: set[str] = set()
        self.aborts_after: int | None = None
        self.keeps_then_drops = False
        self.answers_after_s = 0.0
        self.asked: list[str] = []
        self.loses: dict[str, int] = {}
        self.hidden_looks = 0
        self.offers_find = True
        self.find_status = SUCCESS
        self.looks = 0
        self.patients: list[Dataset] | None = None
        self.study_looks = 0
        self.study_find_status = SUCCESS
        self.study_gate: threading.Event | None = None
        self.says: dict[str, Any] = {}
        self.refiles_under: dict[str, str] = {}
        self.proposals: list[dict[str, bytes]] = []
        self.alone_status = SUCCESS
        self.offers_commitment = True
        self.mute_reports = 0
        self.requests = 0

    def start(self) -> None:
        super().start()
        self._server.bind(evt.EVT_SOP_EXTENDED, self._on_proposed)

    def _on_proposed(self, event: evt.Event) -> dict[Any, bytes]:
        if event.app_info:
            self.proposals.append({str(uid): proposed for uid, proposed in event.app_info.items()})
        return {}

    def _entity(self) -> AE:
        """Offers what a test may send, not each class of the standard: to set up all of them takes a quarter second."""
        entity = AE(self.ae_title)
        entity.require_called_aet = self._called_ae_checked
        entity.add_supported_context(Verification)
        if self.offers_find:
            entity.add_supported_context(STUDY_ROOT_FIND)
        if self.offers_commitment:
            entity.add_supported_context(STORAGE_COMMITMENT)
        for uid in STORED_CLASSES - self.refused_classes:
            entity.add_supported_context(uid, self.accepted_syntaxes or ALL_TRANSFER_SYNTAXES)
        return entity

    def answer_to(self, event: evt.Event) -> int:
        request: Any = event.request
        uid = str(request.AffectedSOPInstanceUID)
        self.asked.append(uid)
        if uid in self.falls_over_at or self.aborts_after == 0:
            self.aborts_after = None
            event.assoc.abort()
            return 0xC001
        if self.aborts_after is not None:
            self.aborts_after -= 1
        if self.keeps_then_drops:
            self.keeps_then_drops = False
            self._keep(event, uid)
            event.assoc.abort()
            return 0xC001
        return self.statuses.pop(0) if self.statuses else SUCCESS

    def _keep(self, event: evt.Event, uid: str) -> None:
        if self.loses.get(uid, 0) > 0:
            self.loses[uid] -= 1
            return
        super()._keep(event, uid)
        time.sleep(self.answers_after_s)

    def _on_find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        wanted: Any = event.identifier
        if wanted.QueryRetrieveLevel == "STUDY":
            self.study_looks += 1
            if (gate := self.study_gate) is not None:
                self.study_gate = None
                gate.wait(STALL_S)
            failure, answers = self.study_find_status, super()._on_find(event)
        elif not wanted.StudyInstanceUID:
            failure, answers = self.alone_status, self._alone(str(wanted.SOPInstanceUID))
        else:
            self.looks += 1
            failure, answers = self.find_status, super()._on_find(event)
        if failure != SUCCESS:
            yield failure, None
            return
        yield from ((status, self._said(answer)) for status, answer in answers)

    def _alone(self, sop_instance_uid: str) -> Iterator[tuple[int, Dataset | None]]:
        for stored in self.shown():
            if stored.sop_instance_uid == sop_instance_uid:
                answer = Dataset()
                answer.QueryRetrieveLevel, answer.SOPInstanceUID = "IMAGE", sop_instance_uid
                answer.StudyInstanceUID, answer.SeriesInstanceUID = stored.study_uid, stored.series_uid
                yield PENDING, answer

    def _said(self, answer: Dataset | None) -> Dataset | None:
        for keyword, value in self.says.items():
            if answer is not None and value is None:
                answer.pop(keyword, None)
            elif answer is not None:
                setattr(answer, keyword, value)
        return answer

    def studies(self, study_uid: str) -> list[Dataset]:
        if self.patients is None:
            return super().studies(study_uid)
        for answer in self.patients:
            answer.QueryRetrieveLevel, answer.StudyInstanceUID = "STUDY", study_uid
        return self.patients

    def _on_action(self, event: evt.Event) -> tuple[int, None]:
        self.requests += 1
        return super()._on_action(event)

    def report(self, report: Dataset, assoc: Association) -> None:
        if self.mute_reports > 0:
            self.mute_reports -= 1
            return
        super().report(report, assoc)

    def shown(self) -> list[Stored]:
        if self.hidden_looks and self.looks <= self.hidden_looks:
            return []
        return [replace(stored, **self.refiles_under) for stored in super().shown()]

    @property
    def uids(self) -> list[str]:
        """SOP instance UID of each kept instance, in order of arrival, with repeats."""
        return [stored.sop_instance_uid for stored in self.instances]


class StalledPacs(ReceivingPacs):
    """Accepts an association and stops reading once data comes: the TCP window closes and nothing moves any more."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "STALLED")
        self.woken = threading.Event()

    def start(self) -> None:
        super().start()
        self._server.bind(evt.EVT_PDU_RECV, self._stall)

    def _stall(self, event: evt.Event) -> None:
        if type(event.pdu).__name__ == "P_DATA_TF":
            self.woken.wait(STALL_S)

    def stop(self) -> None:
        self.woken.set()
        super().stop()


@contextmanager
def mute_port() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


@contextmanager
def web_server_port() -> Iterator[int]:
    """A port where something else than DICOM answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    peer, _ = server.accept()
                    with peer:
                        peer.recv(16)
                        peer.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def free_port() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
