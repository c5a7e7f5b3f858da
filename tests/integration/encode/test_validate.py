"""Results before judges that nobody here wrote: dicom3tools, dcmtk, PixelMed. Readers: test_readers."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicomnode.deliver.outgoing import Coercion, Outgoing
from dicomnode.dicom.geometry import weights_of
from dicomnode.encode.case import encode_case
from dicomnode.encode.kinds.kos import encode_rejection
from dicomnode.encode.kinds.not_performed import encode_not_performed
from dicomnode.errors import Refusal
from dicomnode.images.volume import read_series
from dicomnode.kinds import KINDS, Made
from dicomnode.records import Case, NotPerformed, Rejection, Volume
from tests.unit.encode.cases import (
    EVEN,
    TILTED_UNEVEN,
    Geometry,
    Patient,
    as_received,
    case_of,
    changed,
    ellipsoid,
    finding_of,
    kinds_of_blood,
    not_applicable_of,
    predicted_of,
    score_of,
    with_probability,
)
from tests.unit.encode.kinds.test_reference_scores import KNOWN, OPEN, SILENT, TWICE

CHECK = Path(__file__).resolve().parents[2] / "tools" / "check_results.sh"
DEBIAN_TOOLS = ("dciodvfy", "dcentvfy", "dsrdump", "dcmdump", "DicomSRValidator")
NOW = datetime(2024, 1, 2, 11, 30, tzinfo=UTC)
BLEEDS = (((25.0, 60.0, 40.0), (12.0, 14.0, 10.0)), ((38.0, 80.0, 60.0), (6.0, 5.0, 4.0)))
JAPANESE = Patient("Yamada^Tarou=山田^太郎=やまだ^たろう", ["", "ISO 2022 IR 87"])
GREEK = Patient("Διονυσιος^Ελένη", "ISO_IR 126", {"StudyDescription": "Κεφάλι"})
CHINESE_GB18030 = Patient("Wang^XiaoDong=王^小东", "GB18030", {"StudyDescription": "头颅 CT 平扫"})
CHINESE_UTF8 = Patient("Wang^XiaoDong=王^小东", "ISO_IR 192", {"StudyDescription": "头颅 CT 平扫"})
PSEUDONYMISED = Patient(
    "REMOVED", extra={"PatientIdentityRemoved": "YES", "StudyDate": "", "AccessionNumber": "", "PatientSex": ""}
)

NAMES = {"Japanese": JAPANESE, "Greek": GREEK, "Chinese GB18030": CHINESE_GB18030, "Chinese UTF-8": CHINESE_UTF8}
THIN = Geometry(tuple(0.5 * index for index in range(300)), origin_mm=(-48.0, -64.0, -60.0))
THIN_BLEEDS = (((70.0, 60.0, 40.0), (22.0, 14.0, 10.0)), ((110.0, 80.0, 60.0), (6.0, 5.0, 4.0)))

pytestmark = pytest.mark.tools


@pytest.fixture(autouse=True)
def _tools() -> None:
    missing = [tool for tool in DEBIAN_TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"missing {', '.join(missing)} (apt-get install dicom3tools dcmtk pixelmed-apps)")


def judged(files: list[Path], *, fast: bool) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "FAST": "1" if fast else "0"}
    command = [str(CHECK), *map(str, files)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)


def assert_valid(case: Case, folder: Path, *, fast: bool) -> None:
    verdict = judged([result.path for result in encode_case(case, folder, NOW)], fast=fast)
    assert (verdict.returncode, verdict.stdout) == (0, ""), verdict.stdout + verdict.stderr


def every_kind(case: Case, folder: Path) -> dict[str, list[Path]]:
    """An object of every kind that the node can make, from the sources of ``case``, by kind."""
    full = with_probability(case)
    full = changed(full, findings=(*full.findings, score_of(), predicted_of(case)))
    results = encode_case(full, folder, NOW, [kind for kind, row in KINDS.items() if row.made is Made.ON_REQUEST])
    results.append(encode_rejection(Rejection(results=tuple(results), identity=case.identity), folder, NOW))
    refused = NotPerformed(
        sources=case.sources,
        identity=case.identity,
        refusal=Refusal.MISSING_SLICES,
        detail="a gap of 14 mm",
        protocol="head-ct",
    )
    results.append(encode_not_performed(refused, folder, NOW))
    found: dict[str, list[Path]] = {}
    for result in results:
        found.setdefault(result.kind, []).append(result.path)
    of_marks = {"seg", "seg_sc", "probability", "sr", "sr_comp", "sr_enhanced"}
    assert set(found) == {*KINDS} - ({"sr_negative"} if case.masks[0].mask.any() else of_marks)
    return found


def one_of_each(found: dict[str, list[Path]]) -> list[Path]:
    """Of many alike, such as the images of a predicted scan, the first is judged."""
    return [paths[0] for paths in found.values()]


def assert_mask_lies_where_it_was_measured(seg: Dataset, case: Case) -> None:
    """A plain reader of frame positions gets the mask back, voxel for voxel."""
    slices = {tuple(map(float, ds.ImagePositionPatient)): index for index, ds in enumerate(case.sources)}
    mask = np.zeros(case.volume.hu.shape, dtype=bool)
    frames = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    for frame, group in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        mask[slices[tuple(map(float, group.PlanePositionSequence[0].ImagePositionPatient))]] = frame
    assert np.array_equal(mask, case.masks[0].mask)


@pytest.mark.parametrize(
    "patient",
    [pytest.param(NAMES[name], id=name) for name in ("Japanese", "Chinese GB18030")]
    + [pytest.param(NAMES[name], id=name, marks=pytest.mark.full) for name in ("Greek", "Chinese UTF-8")],
)
def test_every_kind_of_object_is_valid_whatever_the_script_of_the_name(patient: Patient, tmp_path: Path) -> None:
    case = case_of(EVEN, BLEEDS, patient)
    found = every_kind(case, tmp_path)
    verdict = judged(one_of_each(found), fast=True)
    assert (verdict.returncode, verdict.stdout) == (0, ""), verdict.stdout + verdict.stderr
    for path in one_of_each(found):
        ds = dcmread(path)
        assert (str(ds.PatientName), ds.SpecificCharacterSet) == (patient.name, "ISO_IR 192")
        assert ds.StudyDescription == patient.extra.get("StudyDescription", "CT head")
    assert_mask_lies_where_it_was_measured(dcmread(found["seg"][0]), case)


def test_every_kind_of_object_of_300_thin_slices_is_valid(tmp_path: Path) -> None:
    case = case_of(THIN, THIN_BLEEDS)
    found = every_kind(case, tmp_path)
    assert len(found["predicted_sc"]) == 300
    verdict = judged(one_of_each(found), fast=True)
    assert (verdict.returncode, verdict.stdout) == (0, ""), verdict.stdout + verdict.stderr
    assert_mask_lies_where_it_was_measured(dcmread(found["seg"][0]), case)


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["thin slices", *NAMES])
def test_every_report_passes_every_judge(name: str, tmp_path: Path) -> None:
    case = case_of(THIN, THIN_BLEEDS) if name == "thin slices" else case_of(EVEN, BLEEDS, NAMES[name])
    found = every_kind(case, tmp_path)
    reports = [found[kind][0] for kind in ("sr", "scores", "text", "not_performed")]
    verdict = judged(reports, fast=False)
    assert (verdict.returncode, verdict.stdout) == (0, ""), verdict.stdout + verdict.stderr


def test_two_findings_on_a_tilted_uneven_stack_pass_every_judge_failure_mode_11(tmp_path: Path) -> None:
    case = case_of(TILTED_UNEVEN, BLEEDS, JAPANESE)
    mask = ellipsoid(case.volume.stack, BLEEDS[1][0], (9.0, 7.0, 7.0))
    oedema = finding_of(mask, case.volume, name="edema", label="Perihaematomal oedema")
    assert_valid(changed(case, findings=(*case.findings, oedema)), tmp_path, fast=False)


def test_generated_scores_pass_every_judge(tmp_path: Path) -> None:
    numbers = (score_of(), score_of(name="nihss", value=14.0, unit="{score}"))
    reference = (KNOWN, OPEN, TWICE, SILENT)
    case = changed(case_of(EVEN), findings=(*numbers, not_applicable_of()), reference=reference)
    scores = next(result.path for result in encode_case(case, tmp_path, NOW) if result.kind == "scores")
    verdict = judged([scores], fast=False)
    assert (verdict.returncode, verdict.stdout) == (0, ""), verdict.stdout + verdict.stderr


def test_a_generated_predicted_scan_on_a_tilted_uneven_stack_is_valid(tmp_path: Path) -> None:
    case = case_of(TILTED_UNEVEN, BLEEDS, JAPANESE)
    results = encode_case(changed(case, findings=(predicted_of(case),)), tmp_path, NOW, ["predicted_sc"])
    assert sum(result.kind == "predicted_sc" for result in results) == len(case.sources)
    verdict = judged([result.path for result in results if result.kind.startswith("predicted")], fast=True)
    assert (verdict.returncode, verdict.stdout) == (0, ""), verdict.stdout + verdict.stderr


def test_key_objects_and_rejection_notes_are_valid(tmp_path: Path) -> None:
    case = case_of(EVEN, BLEEDS, GREEK)
    results = encode_case(case, tmp_path, NOW, ["kos"])
    note = encode_rejection(Rejection(results=tuple(results), identity=case.identity), tmp_path, NOW)
    verdict = judged([results[-1].path, note.path], fast=True)
    assert (results[-1].kind, verdict.returncode, verdict.stdout) == ("kos", 0, ""), verdict.stdout + verdict.stderr


def test_a_refusal_passes_every_judge(tmp_path: Path) -> None:
    case = case_of(TILTED_UNEVEN, patient=JAPANESE)
    refused = NotPerformed(
        sources=case.sources,
        identity=case.identity,
        refusal=Refusal.MISSING_SLICES,
        detail="a gap of 14 mm",
        protocol="head-ct",
    )
    verdict = judged([encode_not_performed(refused, tmp_path, NOW).path], fast=False)
    assert (verdict.returncode, verdict.stdout) == (0, ""), verdict.stdout + verdict.stderr


STAND_INS = ["seg_sc", "sr_comp", "sr_enhanced", "scores_comp", "scores_enhanced"]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("kinds", "fast"),
    [(STAND_INS, True), pytest.param(STAND_INS[1:], False, marks=pytest.mark.full)],
    ids=["dicom3tools", "PixelMed too"],
)
def test_what_stands_in_for_refused_classes_is_valid(tmp_path: Path, kinds: list[str], fast: bool) -> None:
    case = case_of(TILTED_UNEVEN, BLEEDS, JAPANESE)
    case = changed(case, findings=(*case.findings, score_of()), reference=(KNOWN, OPEN, TWICE, SILENT))
    results = encode_case(case, tmp_path, NOW, kinds)
    assert {result.kind for result in results} >= set(kinds)
    verdict = judged([result.path for result in results if result.kind in kinds], fast=fast)
    assert (verdict.returncode, verdict.stdout) == (0, ""), verdict.stdout + verdict.stderr


def test_results_under_another_identity_are_valid(tmp_path: Path) -> None:
    case = case_of(EVEN, BLEEDS, Patient("Unknown^Male", extra={"PatientID": "TMP-1", "PatientBirthDate": ""}))
    taken = {"PatientID": "4711", "IssuerOfPatientID": "HOSPITAL", "PatientName": JAPANESE.name}
    taken |= {"PatientBirthDate": "19500102", "AccessionNumber": "A-77"}
    files = []
    for result in encode_case(case, tmp_path, NOW, ["kos"]):
        ds = Outgoing(
            path=result.path,
            sop_class_uid=result.sop_class_uid,
            sop_instance_uid=result.sop_instance_uid,
            transfer_syntax_uid="",
            size_bytes=result.size_bytes,
            coercion=Coercion(taken, "NODE", "20240102113500+0000"),
        ).dataset()
        files.append(tmp_path / f"{result.kind}-{result.sop_instance_uid}.dcm")
        ds.save_as(files[-1], enforce_file_format=True)
    verdict = judged(files, fast=True)
    assert (len(files), verdict.returncode, verdict.stdout) == (5, 0, ""), verdict.stdout + verdict.stderr


def test_kinds_of_blood_found_and_not_found_pass_every_judge(tmp_path: Path) -> None:
    assert_valid(kinds_of_blood(case_of(TILTED_UNEVEN, BLEEDS)), tmp_path, fast=False)


@pytest.mark.full
def test_a_negative_passes_every_judge(tmp_path: Path) -> None:
    assert_valid(case_of(EVEN, patient=GREEK), tmp_path, fast=False)


@pytest.mark.parametrize(
    "patient",
    [
        pytest.param(Patient(), id="plain", marks=pytest.mark.full),
        pytest.param(JAPANESE, id="Japanese", marks=pytest.mark.full),
        pytest.param(GREEK, id="Greek"),
        pytest.param(PSEUDONYMISED, id="pseudonymised"),
    ],
)
@pytest.mark.parametrize("bleeds", [BLEEDS, ()], ids=["positive", "negative"])
def test_whatever_the_patient_results_are_valid(
    patient: Patient, bleeds: tuple[tuple[tuple[float, float, float], tuple[float, float, float]], ...], tmp_path: Path
) -> None:
    assert_valid(case_of(EVEN, bleeds, patient), tmp_path, fast=True)


def test_a_header_with_hardly_anything_gives_valid_results(tmp_path: Path) -> None:
    case = case_of(TILTED_UNEVEN, BLEEDS)
    bare = as_received(case.identity)
    for keyword in ("PatientID", "PatientSex", "PatientBirthDate", "StudyDate", "StudyTime", "StudyID", "PatientName"):
        del bare[keyword]
    assert_valid(changed(case, identity=bare), tmp_path, fast=True)


def test_results_and_sources_are_one_study_and_one_patient(tmp_path: Path) -> None:
    case = case_of(EVEN, BLEEDS)  # in ASCII: dcentvfy compares bytes and knows no character sets
    results = [result.path for result in encode_case(case, tmp_path, NOW)]
    sources = []
    for index, source in enumerate(case.sources):
        image = as_received(source)
        image.ImageType, image.RescaleSlope, image.RescaleIntercept = ["ORIGINAL", "PRIMARY", "AXIAL"], "1", "0"
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 1
        image.add_new("PixelData", "OW", bytes(image.Rows * image.Columns * 2))
        sources.append(tmp_path / f"source{index}.dcm")
        image.save_as(sources[-1], enforce_file_format=True)
    verdict = subprocess.run(["dcentvfy", *map(str, (*sources, *results))], capture_output=True, check=False)
    complaints = [line for line in (verdict.stdout + verdict.stderr).splitlines() if line.startswith(b"Error")]
    assert complaints == []


def real_head(folder: Path, *, painted: bool) -> Case:
    """The real head as it is, or with an ellipsoid 35 HU above brain."""
    series = read_series(sorted((folder / "head_ct_ge").glob("*.dcm")))
    stack = series.volume.stack
    mask = ellipsoid(stack, (53.0, 230, 330), (14.0, 16.0, 20.0)) & painted
    volume = Volume(series.volume.hu + np.float32(35) * mask, stack, series.volume.sop_instance_uids)
    finding = finding_of(mask, volume)
    return Case(
        sources=series.sources,
        identity=series.sources[0],
        volume=volume,
        findings=(finding,),
        input_digests=series.input_digests,
        protocol="head",
        settings_digest="settings",
        generation=1,
    )


@pytest.mark.real_data
@pytest.mark.parametrize(
    "painted", [pytest.param(False, id="as it is", marks=pytest.mark.full), pytest.param(True, id="painted")]
)
def test_every_kind_of_object_of_a_real_head_is_valid(real_data: Path, tmp_path: Path, painted: bool) -> None:
    found = every_kind(real_head(real_data, painted=painted), tmp_path)
    verdict = judged(one_of_each(found), fast=True)
    assert (verdict.returncode, verdict.stdout) == (0, ""), verdict.stdout + verdict.stderr


@pytest.mark.real_data
def test_a_bleed_painted_into_a_real_tilted_head_lies_on_its_own_slices_failure_mode_11(
    real_data: Path, tmp_path: Path
) -> None:
    case = real_head(real_data, painted=True)
    stack, (finding,) = case.volume.stack, case.masks
    results = encode_case(case, tmp_path, NOW)
    areas_mm2 = finding.mask.sum(axis=(1, 2)) * stack.pixel_area_mm2
    assert finding.total is not None
    assert finding.total.volume_ml == pytest.approx(float(areas_mm2 @ weights_of(stack.offsets_mm)) / 1000)
    positions = {tuple(map(float, source.ImagePositionPatient)) for source in case.sources}
    groups = dcmread(results[0].path).PerFrameFunctionalGroupsSequence
    frames = [tuple(map(float, group.PlanePositionSequence[0].ImagePositionPatient)) for group in groups]
    assert len(frames) == int((areas_mm2 > 0).sum())
    assert positions.issuperset(frames)


def test_the_script_finds_a_fault(tmp_path: Path) -> None:
    results = encode_case(case_of(EVEN, BLEEDS), tmp_path, NOW)
    ds = dcmread(results[0].path)
    del ds.SegmentSequence[0].SegmentLabel
    ds.save_as(results[0].path)
    verdict = judged([results[0].path], fast=True)
    assert verdict.returncode == 1
    assert "SegmentLabel" in verdict.stdout
