"""Structured reports of others that came by C-STORE: read once, whatever is in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian, generate_uid
from sqlalchemy import select

from dicomnode.clinical.sources.received_reports import ReceivedReports
from dicomnode.records import Observation, Patient
from dicomnode.store.clinical.observations import known_of
from dicomnode.store.engine import Store
from dicomnode.store.tables import Instance, ReadReport
from tests.acceptance.scanner import storescu
from tests.integration.receive.world import Reception
from tests.integration.store.fixture import both_databases
from tests.unit.clinical.test_structured_report import GCS, report

pytestmark = both_databases


def written(folder: Path, ds: Dataset) -> Path:
    ds.SOPClassUID, ds.SOPInstanceUID = ComprehensiveSRStorage, generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.Modality = generate_uid(), generate_uid(), "SR"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    path = folder / f"{ds.SOPInstanceUID}.dcm"
    dcmwrite(path, ds, enforce_file_format=True)
    return path


def known(store: Store) -> list[Observation]:
    with store.read() as session:
        return list(known_of(session, Patient(patient_id="4711")).observations)


def outcomes(store: Store) -> list[str]:
    with store.read() as session:
        return list(session.scalars(select(ReadReport.outcome).order_by(ReadReport.id)))


@pytest.mark.tools
def test_a_report_that_is_received_is_read_once_and_a_damaged_one_holds_nobody_up(
    reception: Reception, store: Store, tmp_path: Path
) -> None:
    reports = ReceivedReports(store=store, spool=reception.spool.root, zone="UTC")
    assert reports.look() == 0
    nameless = report(GCS, PatientID="")
    for ds in (nameless, report(GCS), report()):
        assert storescu([written(tmp_path, ds)], reception.port, called_ae="NODE")
    with store.read() as session:
        damaged = session.scalars(select(Instance).order_by(Instance.id.desc())).first()
    assert damaged is not None
    (reception.spool.root / damaged.path).write_bytes(b"\0" * 200)
    assert reports.look() == 3
    assert reports.look() == 0
    assert outcomes(store) == ["no_patient", "stored", "not_readable"]
    assert [(one.name, one.value, one.source) for one in known(store)] == [("gcs", 10.0, "SR")]
    again = ReceivedReports(store=store, spool=reception.spool.root, zone="UTC")  # as after a restart
    assert again.look() == 0
