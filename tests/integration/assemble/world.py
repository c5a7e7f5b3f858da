"""A node without a network: files go into spool and database as reception writes them, the assembler looks at them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from sqlalchemy import select, update

from dicomnode.assemble.service import Assembler
from dicomnode.config.whole import Config
from dicomnode.execute.digest_worker import digest_of
from dicomnode.receive.intake import Intake, Peer
from dicomnode.receive.part10 import Origin, preamble_of
from dicomnode.receive.spool import Spool
from dicomnode.store.engine import Store
from dicomnode.store.receive.receptions import RELEASED, Indexed, end_association
from dicomnode.store.states import JOB_INACTIVE
from dicomnode.store.tables import Association, Event, Instance, Job, Outbox, Result, Series

SETTLE_S = 0.05

ANY_CT = {"name": "head-ct", "match": {"Modality": "^CT$"}, "models": ("hemorrhage",)}


class World:
    """A spool, a database and an assembler, driven step by step."""

    def __init__(
        self, store: Store, data_dir: Path, *, protocols: Sequence[dict[str, Any]] = (ANY_CT,), **sections: Any
    ) -> None:
        reception = {"settle_s": SETTLE_S, "quiet_period_s": 60.0, "selection_wait_s": 20.0, "min_free_gb": 0}
        reception |= sections.pop("reception", {})
        self.config = Config.model_validate(
            {"node": {"data_dir": data_dir}, "reception": reception, "protocol": protocols, **sections}
        )
        self.store = store
        self.spool = Spool(self.config.spool_dir)
        self.spool.prepare()
        self.intake = Intake(
            store,
            self.spool,
            settle_s=self.config.reception.settle_s,
            max_instances=self.config.reception.max_series_instances,
        )
        self.is_stopping = False
        self.assembler = Assembler(self.config, store, digest_of, lambda: self.is_stopping)

    def associate(self, calling_ae: str = "CT1") -> Peer:
        """A peer that is about to send."""
        return Peer(receiver="receiver", calling_ae=calling_ae, called_ae="NODE", address="127.0.0.1")

    def receive(self, datasets: Sequence[Dataset], peer: Peer) -> list[Indexed]:
        """Each dataset as the Storage SCP takes it."""
        return [self._take(ds, peer) for ds in datasets]

    def send_bytes(self, images: Sequence[tuple[Dataset, bytes]]) -> None:
        """One association that brings data sets that are no longer what they were."""
        peer = self.associate()
        for ds, body in images:
            self._take(ds, peer, body)
        self.end(peer)

    def _take(self, ds: Dataset, peer: Peer, body: bytes | None = None) -> Indexed:
        origin = Origin(
            sop_class_uid=str(ds.SOPClassUID),
            sop_instance_uid=str(ds.SOPInstanceUID),
            transfer_syntax_uid=str(ds.file_meta.TransferSyntaxUID),
            calling_ae=peer.calling_ae,
        )
        incoming = self.spool.open(preamble_of(origin))
        incoming.write(data_set_of(ds) if body is None else body)
        return self.intake.take(incoming, origin, peer)

    def end(self, peer: Peer, outcome: str = RELEASED) -> None:
        """The association ends."""
        assert peer.association_id is not None
        with self.store.write() as session:
            end_association(session, peer.association_id, outcome, settle_s=self.config.reception.settle_s)

    def send(self, datasets: Sequence[Dataset], *, calling_ae: str = "CT1", outcome: str = RELEASED) -> None:
        """One association that brings these images."""
        peer = self.associate(calling_ae)
        self.receive(datasets, peer)
        self.end(peer, outcome)

    def settle(self) -> None:
        """Let the settle time pass and the assembler look."""
        time.sleep(SETTLE_S + 0.02)
        self.assembler.tick()

    def assemble(self, *series: Sequence[Dataset], **how: Any) -> None:
        """Each series over an association of its own, looked at before the next comes."""
        for datasets in series:
            self.send(datasets, **how)
            self.settle()

    def age(self, seconds: float) -> None:
        """Everything that was received lies so much longer in the past; what is waited for comes so much sooner."""
        with self.store.write() as session:
            session.execute(
                update(Series).values(
                    last_instance_at=Series.last_instance_at - seconds, due_at=Series.due_at - seconds
                )
            )
            session.execute(
                update(Association).values(
                    ended_at=Association.ended_at - seconds, last_seen_at=Association.last_seen_at - seconds
                )
            )
            session.execute(update(Instance).values(received_at=Instance.received_at - seconds))
            session.execute(update(Job).values(ready_at=Job.ready_at - seconds, finished_at=Job.finished_at - seconds))

    def series(self, datasets: Sequence[Dataset]) -> Series:
        """The row of a series."""
        uid = str(datasets[0].SeriesInstanceUID)
        with self.store.read() as session:
            return session.scalars(select(Series).where(Series.series_uid == uid)).one()

    def jobs(self) -> list[Job]:
        """All jobs in order."""
        return self._all(Job)

    def active_jobs(self) -> list[Job]:
        """Those that are neither superseded nor cancelled."""
        return [job for job in self.jobs() if job.status not in JOB_INACTIVE]

    def series_of(self, job: Job) -> str:
        """The series that a job runs on."""
        with self.store.read() as session:
            return session.get_one(Series, job.series_id).series_uid

    def instances(self) -> list[Instance]:
        """All files in order."""
        return self._all(Instance)

    def results(self) -> list[Result]:
        """All results in order."""
        return self._all(Result)

    def outbox(self) -> list[Outbox]:
        """All deliveries in order."""
        return self._all(Outbox)

    def events(self, name: str, subject: str) -> list[Event]:
        """Events of one name, in order."""
        return [event for event in self._all(Event) if (event.name, event.subject) == (name, subject)]

    def change(self, statement: Callable[..., Any]) -> Any:
        """Run a function of a session in a transaction of its own."""
        with self.store.write() as session:
            return statement(session)

    def _all(self, table: Any) -> list[Any]:
        with self.store.read() as session:
            return list(session.scalars(select(table).order_by(table.id)))


def data_set_of(ds: Dataset) -> bytes:
    """The data set alone, as it comes over the network."""
    buffer = BytesIO()
    syntax = ds.file_meta.TransferSyntaxUID
    dcmwrite(
        buffer,
        Dataset({tag: ds[tag] for tag in ds.keys()}),  # noqa: SIM118 (a dataset iterates over its elements)
        implicit_vr=syntax.is_implicit_VR,
        little_endian=syntax.is_little_endian,
    )
    return buffer.getvalue()
