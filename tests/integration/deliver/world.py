"""What delivery finds when it starts: encoded results on disk, and a job that is delivering them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ExplicitVRLittleEndian,
    RLELossless,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    generate_uid,
)
from sqlalchemy import select

from dicomnode.config.destinations import AnyDestination, Destination
from dicomnode.config.protocols import Protocol
from dicomnode.config.sections import Execution, Node
from dicomnode.config.whole import Config
from dicomnode.deliver.sender import Sender
from dicomnode.records import EncodedResult
from dicomnode.store.deliver.results import Delivery, store_results
from dicomnode.store.engine import Store
from dicomnode.store.queue.jobs import Claim, claim_job, create_job
from dicomnode.store.states import SeriesStatus
from dicomnode.store.tables import Event, Job, Outbox, Result, Series

SOP_CLASSES = {"seg": SegmentationStorage, "sr": Comprehensive3DSRStorage, "sc": SecondaryCaptureImageStorage}


def new_series(store: Store, *, study_uid: str = "") -> int:
    """A chosen series, as the assembler leaves it; returns its row id."""
    now = time.time()
    with store.write() as session:
        series = Series(
            study_uid=study_uid or generate_uid(),
            series_uid=generate_uid(),
            status=SeriesStatus.CHOSEN,
            first_instance_at=now,
            last_instance_at=now,
            due_at=None,
            acquisition_key="acquisition-1",
        )
        session.add(series)
        session.flush()
        return series.id


def new_job(store: Store, *, series_id: int = 0, protocol: str = "head", priority: str = "routine") -> int:
    """A queued job; returns its row id."""
    series_id = series_id or new_series(store)
    with store.write() as session:
        series = session.get_one(Series, series_id)
        return create_job(session, series, protocol=protocol, models=["hemorrhage"], priority=priority, wait_s=0.0).id


def claimed_job(store: Store, *, owner: str = "worker", lease_s: float = 60.0) -> Claim:
    """A job that a worker holds."""
    new_job(store)
    with store.write() as session:
        claim = claim_job(session, owner=owner, lease_s=lease_s)
    assert claim is not None
    return claim


JAPANESE = "Yamada^Tarou=山田^太郎=やまだ^たろう"
PATIENT = {"PatientName": JAPANESE, "PatientID": "4711", "PatientBirthDate": "19500102", "PatientSex": "M"}


def encoded_result(
    data_dir: Path,
    kind: str,
    *,
    study_uid: str = "",
    research: bool = False,
    payload: int = 2000,
    patient: Mapping[str, str] = PATIENT,
) -> EncodedResult:
    """A result file below ``data_dir``, with a name in Japanese where not told otherwise, and a private element."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID, ds.SOPInstanceUID = SOP_CLASSES[kind], generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study_uid or generate_uid(), generate_uid()
    for keyword, value in patient.items():
        setattr(ds, keyword, value)
    ds.Rows = 512
    ds.private_block(0x0099, "DICOMNODE TEST", create=True).add_new(0x01, "OB", bytes(range(256)) * (payload // 256))
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    relative = Path("work") / f"{ds.SOPInstanceUID}.dcm"
    (data_dir / "work").mkdir(parents=True, exist_ok=True)
    ds.save_as(data_dir / relative, enforce_file_format=True)
    content = (data_dir / relative).read_bytes()
    return EncodedResult(
        kind=kind,
        sop_class_uid=str(ds.SOPClassUID),
        sop_instance_uid=str(ds.SOPInstanceUID),
        series_instance_uid=str(ds.SeriesInstanceUID),
        path=relative,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        research=research,
    )


def encoded_overview(folder: Path) -> Path:
    """A picture as the node writes its overview: RGB, run-length encoded."""
    ds = dcmread(folder / encoded_result(folder, "sc").path)
    rows, columns = np.mgrid[0:64, 0:48].astype(np.uint8)
    pixels = np.stack([rows, columns, rows + columns], axis=2)
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = 64, 48, 3, "RGB"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation, ds.PlanarConfiguration = 8, 8, 7, 0, 0
    ds.PixelData = pixels.tobytes()
    ds.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    path = folder / "overview.dcm"
    ds.save_as(path, enforce_file_format=True)
    return path


def until(condition: Callable[[], Any], *, within_s: float = 15.0) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@dataclass
class World:
    """A node that has results to deliver."""

    store: Store
    data_dir: Path

    def destination(self, port: int, **more: Any) -> Destination:
        """A destination on this machine that is retried quickly."""
        settings: dict[str, Any] = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": port}
        settings |= {"retry_min_s": 0.1, "retry_max_s": 0.4, "timeout_s": 5.0}
        return Destination(**(settings | more))

    def sender(
        self,
        destination: AnyDestination,
        *,
        owner: str = "node",
        execution: Execution | None = None,
        protocol: Sequence[Protocol] = (),
        **more: Any,
    ) -> Sender:
        """The sender for it."""
        config = Config(
            node=Node(ae_title="NODE"),
            destination=(destination,),
            execution=execution or Execution(),
            protocol=tuple(protocol),
        )
        return Sender(config, self.store, self.data_dir, owner, destination, **more)

    def deliver(
        self,
        *kinds: str,
        destinations: Sequence[str] = ("pacs",),
        accept_research: bool = False,
        proof: str = "query",
        research: bool = False,
        payload: int = 2000,
        patient: Mapping[str, str] = PATIENT,
        claim: Claim | None = None,
    ) -> tuple[int, list[EncodedResult]]:
        """A job with one result per kind, waiting to be sent; returns the job's row id and the results in order.

        ``claim``: of a job that a worker has at hand; a new one where none is given.
        """
        claim = claim or claimed_job(self.store)
        results = [
            encoded_result(
                self.data_dir, kind, study_uid=claim.study_uid, research=research, payload=payload, patient=patient
            )
            for kind in kinds
        ]
        deliveries = [Delivery(name, ("seg", "sr", "sc"), accept_research, proof) for name in destinations]
        with self.store.write() as session:
            store_results(session, claim, results, deliveries)
        return claim.job_id, results

    def job(self, job_id: int) -> Job:
        """The job as it stands."""
        with self.store.read() as session:
            return session.get_one(Job, job_id)

    def rows(self, job_id: int) -> list[Outbox]:
        """The job's outbox rows in order."""
        with self.store.read() as session:
            return list(session.scalars(select(Outbox).where(Outbox.job_id == job_id).order_by(Outbox.id)))

    def statuses(self, job_id: int) -> list[str]:
        """Their states."""
        return [row.status for row in self.rows(job_id)]

    def events(self, name: str, subject: str = "outbox") -> list[Event]:
        """Events of one name, in order."""
        with self.store.read() as session:
            wanted = select(Event).where(Event.name == name, Event.subject == subject).order_by(Event.id)
            return list(session.scalars(wanted))

    def step_until(self, sender: Sender, condition: Callable[[], Any], *, within_s: float = 15.0) -> None:
        """Drive a sender until something is true."""

        def stepped() -> Any:
            sender.step()
            return condition()

        until(stepped, within_s=within_s)

    def result(self, sop_instance_uid: str) -> Result:
        """One result row."""
        with self.store.read() as session:
            return session.scalars(select(Result).where(Result.sop_instance_uid == sop_instance_uid)).one()


def data_set_sha256(path: Path) -> str:
    """Digest of a file's data set, without preamble and file meta information (DICOM PS3.10 7.1)."""
    content = path.read_bytes()
    # (0002,0000) UL, length 4: counts the bytes of the group after itself
    assert content[128:132] == b"DICM"
    group_length = int.from_bytes(content[140:144], "little")
    return hashlib.sha256(content[144 + group_length :]).hexdigest()
