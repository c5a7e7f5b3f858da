"""A whole node but its SCP: what is received is assembled, run, encoded, and sent to a real peer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from sqlalchemy import ColumnElement, exists, func, select

from dicomnode.assemble.not_performed import NotPerformedReports
from dicomnode.deliver.sender import Sender
from dicomnode.store.engine import Store
from dicomnode.store.queue.jobs import release_waiting
from dicomnode.store.queue.notes import release_notes
from dicomnode.store.states import JobStatus, JobTask, OutboxStatus, SeriesStatus
from dicomnode.store.tables import Event, Job, Outbox, Series
from tests.integration.deliver.pacs import ScriptedPacs
from tests.integration.execute.world import Bundles, ExecutionWorld, Workers

REJECTED = ("113001", "DCM")
SOON_S = 5.0
"""On a busy machine a PACS is asked again only after a while; what waits on purpose here waits for an hour."""


def due_before(moment: float) -> Iterator[tuple[ColumnElement[bool], ...]]:
    """For each part of the node, the condition on what it has to do by then, or is doing.

    A note that waits for new results is not among it: each turn looks whether it still has to.
    """
    is_note = Job.task == JobTask.REJECTION
    yield Series.status == SeriesStatus.RECEIVING, Series.due_at <= moment
    yield (Series.not_performed_due_at <= moment,)
    yield Job.status == JobStatus.QUEUED, Job.ready_at <= moment
    yield Job.status == JobStatus.WAITING, ~is_note, Job.ready_at <= moment
    yield (Job.status == JobStatus.RUNNING,)
    yield Outbox.status.in_((OutboxStatus.PENDING, OutboxStatus.SENT)), Outbox.next_attempt_at <= moment
    yield (Outbox.status == OutboxStatus.SENDING,)


class LifeWorld(ExecutionWorld):
    """A node with one model and one destination, driven step by step."""

    def __init__(
        self, store: Store, data_dir: Path, bundles: Bundles, workers: Workers, pacs: ScriptedPacs, **more: Any
    ) -> None:
        quick = {"port": pacs.port, "retry_min_s": 0.05, "retry_max_s": 0.2, "timeout_s": 5.0, "proof_wait_s": 0.2}
        super().__init__(
            store,
            data_dir,
            bundles,
            ("threshold",),
            destination={**quick, **more.pop("destination", {})},
            reception=more.pop("reception", {}),
            **more,
        )
        self.pacs = pacs
        self.use(workers)
        workers.start()
        self.sender = self.new_sender()

    def new_sender(self) -> Sender:
        """A sender as a node has it after a start."""
        (destination,) = self.config.destination
        return Sender(self.config, self.store, self.config.node.data_dir, "node", destination, echo_interval_s=0.1)

    def duties(self) -> None:
        """What the scheduler does."""
        self.assembler.tick()
        NotPerformedReports(self.config, self.store).tick()
        with self.store.write() as session:
            release_waiting(session, time.time())
            release_notes(session, time.time())

    def turn(self) -> None:
        """Every part of the node gets its turn once."""
        self.duties()
        self.step()
        self.sender.step()

    def settle_all(self) -> None:
        """Turn until a turn changes nothing and the database says that nothing is to be done soon."""
        deadline = time.monotonic() + 60
        seen = -1
        while self._events() != seen or self._is_due(time.time() + SOON_S):
            assert time.monotonic() < deadline, "the node does not come to rest"
            seen = self._events()
            self.turn()
            time.sleep(0.02)

    def _is_due(self, before: float) -> bool:
        """Whether any part of the node has something to do before that time, as far as the database knows."""
        with self.store.read() as session:
            return any(session.scalar(select(exists().where(*due))) for due in due_before(before))

    def turn_until(self, condition: Callable[[], Any]) -> None:
        """Turn until something is true."""
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            self.turn()
            time.sleep(0.02)

    def notes(self, task: str) -> list[Job]:
        """Jobs that write notes of one kind."""
        return [job for job in self.jobs() if job.task == task]

    def received(self) -> list[Dataset]:
        """What the PACS has, in order of arrival."""
        files = [self.pacs.folder / f"{uid}.dcm" for uid in dict.fromkeys(self.pacs.uids)]
        return [pydicom.dcmread(path) for path in files]

    def rejections(self) -> list[Dataset]:
        """Rejection notes in the PACS, in order of arrival."""
        return [ds for ds in self.received() if ds.Modality == "KO" and title_of(ds) == REJECTED]

    def _events(self) -> int:
        with self.store.read() as session:
            return session.scalar(select(func.count(Event.id))) or 0


def title_of(ds: Dataset) -> tuple[str, str]:
    """Document title of a structured document."""
    concept = ds.ConceptNameCodeSequence[0]
    return str(concept.CodeValue), str(concept.CodingSchemeDesignator)


def named_by(ds: Dataset) -> set[str]:
    """SOP instances that the content tree of a key object names."""
    return {
        str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
        for item in ds.ContentSequence
        if "ReferencedSOPSequence" in item
    }


def predecessors_of(ds: Dataset) -> set[str]:
    """SOP instances that a report names as its predecessors."""
    return {
        str(ref.ReferencedSOPInstanceUID)
        for study in ds.get("PredecessorDocumentsSequence", ())
        for series in study.ReferencedSeriesSequence
        for ref in series.ReferencedSOPSequence
    }


def uids_of(datasets: Sequence[Dataset]) -> set[str]:
    """Their SOP instance UIDs."""
    return {str(ds.SOPInstanceUID) for ds in datasets}
