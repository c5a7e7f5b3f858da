"""Models that give more than masks, from the scanner to the PACS; three tiny bundles with answers known by hand.

A score from a mask and a variable, a predicted scan, a score that needs no image.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from sqlalchemy import select

from dicomnode.dicom import codes
from dicomnode.kinds import COMPREHENSIVE_3D_SR, MULTI_FRAME_WORD_SC
from dicomnode.store.history.jobs import show_job
from dicomnode.store.history.lines import JobLine
from dicomnode.store.tables import Job
from tests.acceptance.orthanc import Orthanc, free_port
from tests.acceptance.reading import contents, volume_in_sr
from tests.acceptance.scanner import small_study, storescu
from tests.acceptance.served import ServedNode, environment
from tests.conftest import REPOSITORY
from tests.tools.bundle import write_threshold_bundle
from tests.tools.series import write_series
from tests.tools.tiny_bundles import (
    FADED,
    LOW,
    age_risk,
    bleed_risk,
    write_age_risk,
    write_bleed_risk,
    write_later_scan,
)

pytestmark = [pytest.mark.tools, pytest.mark.timeout(600)]

WITHIN_S = 120.0
MODELS = ("bleed_risk", "later_scan", "age_risk", "threshold")
"""Not in the order in which they must run."""
PLAN = ("later_scan", "age_risk", "threshold", "bleed_risk")


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the bundles."""
    folder = tmp_path_factory.mktemp("zoo")
    write_threshold_bundle(folder / "threshold")
    write_bleed_risk(folder / "bleed_risk")
    write_later_scan(folder / "later_scan")
    write_age_risk(folder / "age_risk")
    return folder


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, pacs: Orthanc, zoo: Path) -> Iterator[ServedNode]:
    """One node for all tests, those that kill it included: it is started again."""
    destination = {"name": "pacs", "ae_title": pacs.ae_title, "host": "127.0.0.1", "port": pacs.dicom_port}
    served = ServedNode(
        tmp_path_factory.mktemp("node"),
        free_port(),
        [{**destination, "accept_research": True, "retry_min_s": 0.3, "retry_max_s": 2.0}],
        reception={"settle_s": 0.2, "quiet_period_s": 2.0, "selection_wait_s": 0.0},
        models=MODELS,
        zoo_paths=(zoo,),
    )
    served.start()
    yield served
    assert served.stop() == 0


def study_of(name: str, **attributes: str) -> list[Dataset]:
    """A head with a bleed and some attributes in every header."""
    study = small_study(name)
    for ds in study:
        for keyword, value in attributes.items():
            setattr(ds, keyword, value)
    return study


def until(condition: Callable[[], bool], *, within_s: float = WITHIN_S) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def job_of(node: ServedNode, study_uid: str) -> JobLine | None:
    """The job of a study; None before there is one."""
    with node.reading() as session:
        newest = select(Job.id).where(Job.study_uid == study_uid).order_by(Job.id.desc()).limit(1)
        job_id = session.scalar(newest)
        return show_job(session, job_id) if job_id else None


def pushed(node: ServedNode, folder: Path, study: list[Dataset]) -> str:
    """Send a study to the node; its UID."""
    assert storescu(write_series(folder, study), node.port)
    return str(study[0].StudyInstanceUID)


def results_of(node: ServedNode, pacs: Orthanc, study_uid: str) -> list[Dataset]:
    """What the archive has of a study, once the job is done."""
    until(lambda: node.states(study_uid)[:1] == ["done"])
    return [pydicom.dcmread(io.BytesIO(pacs.file(item["ID"]))) for item in pacs.instances(study_uid)]


def scores_report(results: list[Dataset]) -> Dataset:
    """The one report of scores."""
    (report,) = [ds for ds in results if ds.SOPClassUID == COMPREHENSIVE_3D_SR and "scores" in ds.SeriesDescription]
    return report


def group_of(report: Dataset, label: str) -> list[Dataset]:
    """The content items of the group about a score."""
    groups = [item for item in contents(report) if _named(item) == codes.MEASUREMENT_GROUP[:2]]
    (group,) = [group for group in groups if any(str(item.get("TextValue", "")) == label for item in contents(group))]
    return list(contents(group))


def _named(item: Dataset) -> tuple[str, str] | None:
    if not item.get("ConceptNameCodeSequence"):
        return None
    name = item.ConceptNameCodeSequence[0]
    return name.CodeValue, name.CodingSchemeDesignator


def numbers(items: list[Dataset]) -> list[float]:
    """Every number of a group, in order."""
    return [float(item.MeasuredValueSequence[0].NumericValue) for item in items if item.ValueType == "NUM"]


def coded(items: list[Dataset], name: codes.Code) -> str:
    """The value of a coded item."""
    (item,) = [item for item in items if _named(item) == name[:2]]
    return str(item.ConceptCodeSequence[0].CodeValue)


def texts(items: list[Dataset], name: codes.Code) -> list[str]:
    """The texts of the items with a name."""
    return [str(item.TextValue) for item in items if _named(item) == name[:2]]


def test_scores_and_a_predicted_scan_reach_the_pacs_beside_the_mask(
    node: ServedNode, pacs: Orthanc, tmp_path: Path
) -> None:
    study = study_of("all-known", PatientAge="063Y", PatientSex="M")
    results = results_of(node, pacs, pushed(node, tmp_path, study))
    report = scores_report(results)
    (sr,) = [ds for ds in results if ds.SOPClassUID == COMPREHENSIVE_3D_SR and "measurements" in ds.SeriesDescription]
    volume_ml = volume_in_sr(sr)
    by_bleed, by_age = group_of(report, "Risk by bleed and age"), group_of(report, "Risk by age")
    assert numbers(by_bleed) == pytest.approx([bleed_risk(volume_ml, 63.0), 0.5], abs=1e-3)
    assert coded(by_bleed, codes.RISK_CATEGORY) == LOW["value"]
    assert texts(by_bleed, codes.INPUT_USED) == [
        f"Intracranial haemorrhage {volume_ml:.1f} mL (measured)",
        "Age 63 a (header, 2026-01-01)",
    ]
    assert numbers(by_age) == pytest.approx([age_risk(63.0, is_male=True), 3.0], abs=1e-3)
    (later,) = [ds for ds in results if ds.SOPClassUID == MULTI_FRAME_WORD_SC]
    middle = later.NumberOfFrames // 2
    acquired = sorted(study, key=lambda ds: ds.ImagePositionPatient[2])[middle]
    rows = slice(20, -20)  # the banner covers the others
    hu = later.pixel_array[middle][rows].astype(float) + float(later.RescaleIntercept)
    expected = FADED * (acquired.pixel_array[rows].astype(float) + float(acquired.RescaleIntercept))
    assert np.abs(hu - expected).max() <= 0.5


def test_models_run_in_the_order_of_their_needs(node: ServedNode, pacs: Orthanc, tmp_path: Path) -> None:
    study_uid = pushed(node, tmp_path, study_of("in-order", PatientAge="070Y"))
    results_of(node, pacs, study_uid)
    said = json.loads(node.command("why", study_uid, "--json").stdout)["events"]
    started = [event["detail"]["model"] for event in said if event["name"] == "start"]
    assert tuple(started) == PLAN


@pytest.mark.parametrize(
    ("name", "attributes", "why", "says"),
    [
        ("no-age", {}, "MISSING_VARIABLE", "A variable that the model needs is not known (Age)."),
        (
            "a-child",
            {"PatientAge": "012Y"},
            "POPULATION",
            "The patient lies outside the population that the model is for (adults; here 12 a).",
        ),
    ],
)
def test_what_does_not_apply_is_said_with_its_code_and_without_a_number(
    node: ServedNode, pacs: Orthanc, tmp_path: Path, name: str, attributes: dict[str, str], why: str, says: str
) -> None:
    results = results_of(node, pacs, pushed(node, tmp_path, study_of(name, **attributes)))
    for label in ("Risk by bleed and age", "Risk by age"):
        group = group_of(scores_report(results), label)
        assert numbers(group) == []
        assert coded(group, codes.APPLICABILITY) == codes.NOT_APPLICABLE.value
        assert coded(group, codes.WHY_NOT_APPLICABLE) == why
        assert texts(group, codes.IMPRESSION) == [f"{label}: not applicable. {says}"]
    items = [item for ds in results if ds.Modality == "SR" for item in contents(ds) if "TextValue" in item]
    assert sum("not applicable" in item.TextValue for item in items) == 4  # in the report of scores, and in the text
    assert {"SEG", "CT"} & {ds.Modality for ds in results} == {"SEG"}  # the others go their way


def test_after_a_kill_between_two_runs_the_first_is_not_run_again_and_one_set_arrives(
    node: ServedNode, pacs: Orthanc, tmp_path: Path
) -> None:
    study_uid = pushed(node, tmp_path, study_of("killed", PatientAge="063Y"))
    until(lambda: any(run.status == "succeeded" for run in getattr(job_of(node, study_uid), "runs", ())))
    node.kill()
    node.start()
    results = results_of(node, pacs, study_uid)
    assert len({ds.SOPInstanceUID for ds in results}) == len(results) == 6
    assert numbers(group_of(scores_report(results), "Risk by age")) == pytest.approx(
        [age_risk(63.0, is_male=False), 3.0], abs=1e-3
    )
    job = job_of(node, study_uid)
    assert job is not None
    attempts = {run.model: run.attempts for run in job.runs}
    assert attempts[PLAN[0]] == 1


def dicomnode(*arguments: object) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own."""
    command = [sys.executable, "-m", "dicomnode", *map(str, arguments)]
    return subprocess.run(
        command, cwd=REPOSITORY, env=environment(), capture_output=True, text=True, check=False, timeout=180
    )


def told_of(folder: Path, **values: float) -> Path:
    """A document about the patient of the tests."""
    path = folder / "context.json"
    path.write_text(json.dumps({"values": [{"name": name, "value": value} for name, value in values.items()]}))
    return path


def test_process_gives_the_same_findings_and_files_without_a_network(node: ServedNode, tmp_path: Path) -> None:
    write_series(tmp_path / "in", study_of("a-folder", PatientAge="063Y", PatientSex="M"))
    ended = dicomnode(
        "process",
        tmp_path / "in",
        "--config",
        node.config,
        "--protocol",
        "head-ct",
        "--out",
        tmp_path / "out",
        "--context",
        told_of(tmp_path, gcs=10),
        "--json",
    )
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)
    ich = next(score for score in said["reference"] if score["name"] == "ich_score")
    assert ich["inputs"][0] | {"value": "10", "source": "file"} == ich["inputs"][0]
    findings: dict[str, dict[str, Any]] = {finding["name"]: finding for finding in said["findings"]}
    volume_ml = findings["hemorrhage"]["total"]["volume_ml"]
    assert findings["bleed_risk"]["value"] == pytest.approx(bleed_risk(volume_ml, 63.0), abs=1e-3)
    assert findings["age_risk"]["value"] == pytest.approx(age_risk(63.0, is_male=True), abs=1e-6)
    kinds = sorted(result["kind"] for result in said["results"])
    assert kinds == ["predicted", "sc", "scores", "seg", "sr", "text"]


def test_the_self_test_knows_scores_and_predicted_scans(node: ServedNode, zoo: Path) -> None:
    tiny = ("bleed_risk", "later_scan", "age_risk")
    recorded = dicomnode("zoo", "selftest", *tiny, "--record", "--config", node.config)
    assert recorded.returncode == 0, recorded.stdout + recorded.stderr
    ended = dicomnode("zoo", "selftest", *tiny, "threshold", "--json", "--config", node.config)
    verdicts = {verdict["name"]: verdict["ok"] for verdict in json.loads(ended.stdout)["selftests"]}
    assert verdicts == {"bleed_risk": True, "later_scan": True, "age_risk": True, "threshold": None}
    write_age_risk(zoo / "age_risk")
    other = json.loads((zoo / "age_risk/selftest.json").read_text())
    other["outputs"]["age_risk"]["value"] += 0.1
    (zoo / "age_risk/selftest.json").write_text(json.dumps(other))
    ended = dicomnode("zoo", "selftest", "age_risk", "--config", node.config)
    assert ended.returncode == 1
    assert "the answer differs" in " ".join(ended.stdout.split())
