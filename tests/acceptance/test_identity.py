"""A real PACS that knows the patient by another identity: the results lie with the images, in one folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from dicomnode.deliver.outgoing import Outgoing
from dicomnode.deliver.scu import send
from dicomnode.store.engine import Store
from tests.acceptance import orthanc as orthanc_module
from tests.acceptance.orthanc import Orthanc
from tests.integration.deliver.world import PATIENT, World
from tests.integration.receive.peers import ct_slice

pytestmark = pytest.mark.tools

JAPANESE_CHARSET = ["", "ISO 2022 IR 87"]
EMERGENCY = {"PatientName": "Unbekannt^Notfall 3", "PatientID": "TMP-12", "PatientBirthDate": "", "PatientSex": "M"}


@pytest.fixture
def world(new_database: Callable[..., str], tmp_path: Path) -> Iterator[World]:
    store = Store(new_database())
    yield World(store, tmp_path / "data")
    store.close()


def store_image(
    world: World, orthanc: Orthanc, study_uid: str, patient: Mapping[str, str], charset: str | list[str]
) -> None:
    """The PACS has an image of the study, under an identity of its own."""
    ds = ct_slice(study_uid, generate_uid())
    ds.SpecificCharacterSet, ds.AccessionNumber = charset, ""
    for keyword, value in patient.items():
        setattr(ds, keyword, value)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path = world.data_dir / f"{ds.SOPInstanceUID}.dcm"
    ds.save_as(path, enforce_file_format=True)
    destination = world.destination(orthanc.dicom_port, ae_title=orthanc.ae_title)
    (outcome,) = send([Outgoing.from_file(path)], destination, "CT1")
    assert outcome.status == 0


def sent_job(
    world: World,
    orthanc: Orthanc,
    patient: Mapping[str, str],
    *there: Mapping[str, str],
    charset: str | list[str] = JAPANESE_CHARSET,
) -> tuple[int, str]:
    """A job that was sent once, after the PACS had the study under these identities; its id and the study."""
    job_id, _ = world.deliver("seg", "sr", patient=patient)
    study_uid = world.job(job_id).study_uid
    for identity in there:
        store_image(world, orthanc, study_uid, identity, charset)
    sender = world.sender(world.destination(orthanc.dicom_port, ae_title=orthanc.ae_title))
    sender.step()
    if world.statuses(job_id)[0] != "held":
        world.step_until(sender, lambda: world.job(job_id).status == "done")
    return job_id, study_uid


def test_the_results_of_an_emergency_patient_lie_with_his_images(world: World, orthanc: Orthanc) -> None:
    _, study_uid = sent_job(world, orthanc, EMERGENCY, PATIENT)
    patients = orthanc.get("/patients?expand")
    assert [patient["MainDicomTags"]["PatientID"] for patient in patients] == [PATIENT["PatientID"]]
    (study,) = orthanc.get("/studies?expand")
    assert (study["MainDicomTags"]["StudyInstanceUID"], len(study["Series"])) == (study_uid, 3)
    for instance in orthanc.instances(study_uid):
        received = dcmread(BytesIO(orthanc.file(instance["ID"])))
        assert {keyword: str(received[keyword].value) for keyword in PATIENT} == PATIENT


def test_the_same_patient_in_another_character_set_changes_nothing(world: World, orthanc: Orthanc) -> None:
    job_id, _ = sent_job(world, orthanc, PATIENT, PATIENT)
    assert [row.identity for row in world.rows(job_id)] == ["same", "same"]


def test_a_pacs_that_loses_letters_in_its_answers_does_not_change_a_name(world: World, tmp_path: Path) -> None:
    if not orthanc_module.available():
        pytest.skip("Orthanc is not installed (tests/tools/debian_tools.sh installs it)")
    greek = {**PATIENT, "PatientName": "Διονυσιος^Ελένη"}
    with Orthanc(tmp_path / "orthanc", settings={"DefaultEncoding": "Latin1"}) as orthanc:
        job_id, study_uid = sent_job(world, orthanc, greek, {**greek, "PatientID": "E-99"}, charset="ISO_IR 126")
        assert [row.identity for row in world.rows(job_id)] == ["adopted: PatientID"] * 2
        names = {
            str(dcmread(BytesIO(orthanc.file(instance["ID"]))).PatientName) for instance in orthanc.instances(study_uid)
        }
    assert names == {"Διονυσιος^Ελένη"}


def test_a_study_that_the_pacs_has_under_two_patients_gets_nothing(world: World, orthanc: Orthanc) -> None:
    other = {"PatientName": "Suzuki^Ichirou", "PatientID": "0815", "PatientBirthDate": "19800505", "PatientSex": "M"}
    job_id, study_uid = sent_job(world, orthanc, PATIENT, PATIENT, other)
    assert world.statuses(job_id) == ["held", "held"]
    assert len(orthanc.instances(study_uid)) == 2
