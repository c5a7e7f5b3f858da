"""Results from first to last: sent to a real archive, superseded, rejected there, and withdrawn with their images."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from sqlalchemy import select

from dicomnode.store.engine import Store
from dicomnode.store.states import JobTask
from dicomnode.store.tables import Job
from tests.acceptance.orthanc import Orthanc, free_port
from tests.acceptance.scanner import dcmsend, small_study, storescu
from tests.acceptance.served import ServedNode
from tests.integration.execute.life_world import named_by, predecessors_of, title_of, uids_of
from tests.tools.bundle import write_threshold_bundle
from tests.tools.key_objects import key_object
from tests.tools.series import write_series

pytestmark = [pytest.mark.full, pytest.mark.tools, pytest.mark.timeout(600)]

WITHIN_S = 120.0
KINDS = 4  # SEG, measurements, text, overview


@pytest.fixture
def node(tmp_path: Path, orthanc: Orthanc) -> Iterator[ServedNode]:
    """A node with a quick model that sends to Orthanc."""
    pacs = {"name": "pacs", "ae_title": orthanc.ae_title, "host": "127.0.0.1", "port": orthanc.dicom_port}
    served = ServedNode(
        tmp_path / "node",
        free_port(),
        [{**pacs, "accept_research": True, "retry_min_s": 0.3, "retry_max_s": 2.0}],
        reception={"settle_s": 0.2, "quiet_period_s": 2.0, "selection_wait_s": 0.0},
        models=("threshold",),
        zoo_paths=(write_threshold_bundle(tmp_path / "bundle"),),
    )
    served.start()
    yield served
    assert served.stop() == 0


def until(condition: Callable[[], bool]) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def results_in(orthanc: Orthanc, study_uid: str) -> list[Dataset]:
    """Everything in the study that is no CT."""
    items = [item for item in orthanc.instances(study_uid) if item["Modality"] != "CT"]
    return [pydicom.dcmread(io.BytesIO(orthanc.file(item["ID"]))) for item in items]


def notes_in(orthanc: Orthanc, study_uid: str) -> list[Dataset]:
    """Rejection notes of the node in the study."""
    mine = [ds for ds in results_in(orthanc, study_uid) if ds.Modality == "KO" and ds.Manufacturer == "dicomnode"]
    return [ds for ds in mine if title_of(ds) == ("113001", "DCM")]


def kill_when_a_note_is(node: ServedNode, store: Store, *, past: str, before: int) -> None:
    """``kill -9`` as soon as a further rejection note has left a state, and start again."""

    def is_past() -> bool:
        with store.read() as session:
            statuses = session.scalars(select(Job.status).where(Job.task == JobTask.REJECTION).order_by(Job.id)).all()
        return len(statuses) > before and statuses[-1] not in ("waiting", past)

    until(is_past)
    node.kill()
    node.start()


def judge(datasets: list[Dataset], folder: Path) -> None:
    """dciodvfy and dsrdump have nothing against them."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed (tests/tools/debian_tools.sh installs it)")
    folder.mkdir()
    for ds in datasets:
        path = folder / f"{ds.SOPInstanceUID}.dcm"
        ds.save_as(path)
        judged = subprocess.run(["dciodvfy", "-new", path], capture_output=True, check=False)
        assert b"Error" not in judged.stdout + judged.stderr, judged.stderr
        subprocess.run(["dsrdump", path], capture_output=True, check=True)


def test_superseded_and_rejected_results_in_a_real_archive_across_kills(
    tmp_path: Path, node: ServedNode, orthanc: Orthanc
) -> None:
    series = small_study("life")
    study_uid = str(series[0].StudyInstanceUID)
    paths = write_series(tmp_path / "images", series)
    store = Store(f"sqlite:///{node.folder / 'data' / 'node.db'}")

    assert storescu(paths[:-1], node.port)
    until(lambda: len(results_in(orthanc, study_uid)) == KINDS)
    first = results_in(orthanc, study_uid)

    # A late slice: new results, then one note about the old ones, although the node dies while it is written.
    assert storescu(paths[-1:], node.port)
    kill_when_a_note_is(node, store, past="queued", before=0)
    until(lambda: node.states()[0] == "done" and len(notes_in(orthanc, study_uid)) == 1)
    (note,) = notes_in(orthanc, study_uid)
    assert named_by(note) == uids_of(first)
    second = [
        ds for ds in results_in(orthanc, study_uid) if ds.SOPInstanceUID not in {*uids_of(first), note.SOPInstanceUID}
    ]
    assert len(second) == KINDS
    reports = [ds for ds in second if ds.Modality == "SR"]
    assert {uid for ds in reports for uid in predecessors_of(ds)} == uids_of(
        [ds for ds in first if ds.Modality == "SR"]
    )

    # The archive rejects the images: the new results follow at once, although the node dies while it sends the note.
    rejection = key_object(series, "113037")
    rejection_path = tmp_path / "rejection.dcm"
    rejection.save_as(rejection_path, enforce_file_format=True)
    assert dcmsend([rejection_path], node.port, calling_ae="PACS")
    kill_when_a_note_is(node, store, past="running", before=1)
    until(lambda: len(notes_in(orthanc, study_uid)) == 2)
    last = next(ds for ds in notes_in(orthanc, study_uid) if ds.SOPInstanceUID != note.SOPInstanceUID)
    assert named_by(last) == uids_of(second)

    # Sent back by the archive, none of it is processed.
    jobs = len(node.jobs())
    back = [tmp_path / f"back-{number}.dcm" for number, _ in enumerate(results_in(orthanc, study_uid))]
    for path, ds in zip(back, results_in(orthanc, study_uid), strict=True):
        ds.save_as(path)
    assert dcmsend(back, node.port, calling_ae="PACS")
    time.sleep(4.0)
    assert len(node.jobs()) == jobs
    assert len(results_in(orthanc, study_uid)) == 2 * KINDS + 2

    events = json.loads(node.command("why", str(series[0].AccessionNumber), "--json").stdout)["events"]
    assert {event["name"] for event in events} >= {"rejection_note", "rejected", "supersede"}
    judge([*reports, note, last], tmp_path / "judged")
    store.close()
