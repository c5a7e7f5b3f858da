"""Cases as files: which results, under which UIDs, whole or not at all."""

from __future__ import annotations

import copy
import hashlib
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import RLELossless

from dicomnode.encode.case import encode_case
from dicomnode.encode.context import Context, context_of
from dicomnode.encode.files import bytes_of
from dicomnode.encode.kinds.seg import segmentation
from dicomnode.encode.kinds.sr import measurement_report
from dicomnode.encode.uids import ENCODER_VERSION, case_digest
from dicomnode.encode.validate import validate
from dicomnode.errors import EncodeError
from dicomnode.kinds import Kind
from dicomnode.language import Language
from dicomnode.records import Case, EncodedResult
from tests.unit.encode.cases import EVEN, MODEL, Patient, case_of, changed, finding_of

NOW = datetime(2024, 1, 2, 11, 30, tzinfo=UTC)
BLEED = (((25.0, 60.0, 40.0), (12.0, 14.0, 10.0)),)


@pytest.fixture(scope="module")
def positive() -> Case:
    return case_of(EVEN, BLEED)


@pytest.fixture(scope="module")
def encoded(positive: Case, tmp_path_factory: pytest.TempPathFactory) -> list[EncodedResult]:
    """The results of the case, to read."""
    return encode_case(positive, tmp_path_factory.mktemp("encoded"), NOW)


def digest_of(case: Case) -> str:
    return context_of(case).digest


def test_a_bleed_gives_seg_reports_and_a_picture(positive: Case, tmp_path: Path) -> None:
    results = encode_case(positive, tmp_path, NOW)
    assert [result.kind for result in results] == ["seg", "sr", "text", "sc"]
    for result in results:
        ds = dcmread(result.path)
        assert result.path == tmp_path / f"{ds.SOPInstanceUID}.dcm"
        assert (result.sop_class_uid, result.sop_instance_uid) == (ds.SOPClassUID, ds.SOPInstanceUID)
        assert result.series_instance_uid == ds.SeriesInstanceUID
        assert ds.StudyInstanceUID == positive.sources[0].StudyInstanceUID
        assert result.sha256 == hashlib.sha256(result.path.read_bytes()).hexdigest()
        assert result.size_bytes == result.path.stat().st_size
        assert result.research
    assert len({result.series_instance_uid for result in results}) == 4
    assert len(list(tmp_path.iterdir())) == 4


def test_an_empty_mask_gives_a_report_and_a_picture_but_no_segmentation(tmp_path: Path) -> None:
    assert [result.kind for result in encode_case(case_of(EVEN), tmp_path, NOW)] == ["text", "sc"]
    asked = encode_case(case_of(EVEN), tmp_path / "asked", NOW, ["sr_negative"])
    assert [result.kind for result in asked] == ["text", "sc", "sr_negative"]


def test_the_same_case_gets_the_same_uids_at_another_time(encoded: list[EncodedResult], tmp_path: Path) -> None:
    again = encode_case(case_of(EVEN, BLEED), tmp_path, NOW + timedelta(days=3))
    assert [r.sop_instance_uid for r in encoded] == [r.sop_instance_uid for r in again]
    assert [r.series_instance_uid for r in encoded] == [r.series_instance_uid for r in again]
    assert [r.path.name for r in encoded] == [r.path.name for r in again]


def test_the_same_case_at_the_same_time_is_the_same_file(
    positive: Case, encoded: list[EncodedResult], tmp_path: Path
) -> None:
    again = encode_case(positive, tmp_path, NOW)
    assert [r.sha256 for r in encoded] == [r.sha256 for r in again]


@pytest.mark.parametrize(
    "change",
    [
        {"generation": 2},
        {"protocol": "other"},
        {"settings_digest": "other"},
        {"input_digests": tuple(f"other {i}" for i in range(12))},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_shapes_a_result_changes_its_uids(positive: Case, change: dict[str, object]) -> None:
    assert digest_of(changed(positive, **change)) != digest_of(positive)


def test_reports_name_the_predecessors_of_their_kind_under_unchanged_uids(
    positive: Case, encoded: list[EncodedResult], tmp_path: Path
) -> None:
    old = encoded
    amended = changed(positive, generation=2)
    alone = encode_case(amended, tmp_path / "alone", NOW)
    new = encode_case(changed(amended, predecessors=tuple(old)), tmp_path / "new", NOW, ["sr_comp"])
    assert [r.sop_instance_uid for r in alone] == [r.sop_instance_uid for r in new if r.kind != "sr_comp"]
    uid_of = {result.kind: result.sop_instance_uid for result in old}
    named = {result.kind: predecessors_of(dcmread(result.path)) for result in new}
    assert named == {
        "seg": set(),
        "sr": {uid_of["sr"]},
        "sr_comp": {uid_of["sr"]},
        "text": {uid_of["text"]},
        "sc": set(),
    }


@pytest.mark.parametrize(("stated", "expected"), [("YES", {"YES"}), ("NO", {None}), (None, {None})])
def test_results_of_a_synthetic_scan_say_that_they_are_synthetic(
    tmp_path: Path, stated: str | None, expected: set[str | None]
) -> None:
    case = case_of(EVEN, BLEED)
    if stated:
        for source in case.sources:
            source.SyntheticData = stated
    results = encode_case(case, tmp_path, NOW)
    assert {result.kind for result in results} == {"seg", "sr", "text", "sc"}
    assert {dcmread(result.path).get("SyntheticData") for result in results} == expected


def predecessors_of(ds: Dataset) -> set[str]:
    """SOP instances in the Predecessor Documents Sequence."""
    return {
        str(reference.ReferencedSOPInstanceUID)
        for study in ds.get("PredecessorDocumentsSequence", ())
        for series in study.ReferencedSeriesSequence
        for reference in series.ReferencedSOPSequence
    }


def test_another_model_changes_the_uids(positive: Case) -> None:
    finding = replace(positive.findings[0], model=replace(MODEL, digest="sha256:" + "cd" * 32))
    assert digest_of(changed(positive, findings=(finding,))) != digest_of(positive)


def test_another_limit_changes_the_uids(positive: Case) -> None:
    finding = replace(positive.findings[0], threshold=0.4)
    assert digest_of(changed(positive, findings=(finding,))) != digest_of(positive)


def test_a_corrected_patient_changes_the_uids(positive: Case) -> None:
    newest = case_of(EVEN, patient=Patient(extra={"AccessionNumber": "ACC-2"})).identity
    assert digest_of(changed(positive, identity=newest)) != digest_of(positive)


def test_another_encoder_version_changes_the_uids(positive: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    identity = context_of(positive).identity
    before = case_digest(positive, identity)
    monkeypatch.setattr("dicomnode.encode.uids.ENCODER_VERSION", ENCODER_VERSION + "x")
    assert case_digest(positive, identity) != before


def test_where_and_by_whom_it_runs_changes_nothing(positive: Case) -> None:
    elsewhere = changed(positive, timezone="Asia/Tokyo", station_ae_title="OTHER")
    assert digest_of(elsewhere) == digest_of(positive)


def test_a_cleared_model_is_not_marked_as_research(positive: Case, tmp_path: Path) -> None:
    finding = replace(positive.findings[0], model=replace(MODEL, research=False))
    for result in encode_case(changed(positive, findings=(finding,)), tmp_path, NOW):
        ds = dcmread(result.path)
        assert not result.research
        assert "ContentQualification" not in ds
        assert "research" not in ds.SeriesDescription


def test_every_result_names_research_and_the_model(encoded: list[EncodedResult]) -> None:
    for result in encoded:
        ds = dcmread(result.path)
        assert ds.ContentQualification == "RESEARCH"
        assert ds.SeriesDescription.startswith("AI ")
        assert ds.SeriesDescription.endswith("(research)")
        equipment = ds.ContributingEquipmentSequence[0]
        assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
        assert MODEL.digest in equipment.ContributionDescription


def test_two_findings_share_one_segmentation_and_one_report(positive: Case, tmp_path: Path) -> None:
    mask = np.roll(positive.findings[0].mask, 20, axis=1)
    oedema = finding_of(mask, positive.volume, name="edema", label="Perihaematomal oedema")
    results = encode_case(changed(positive, findings=(*positive.findings, oedema)), tmp_path, NOW)
    seg = dcmread(results[0].path)
    assert [s.SegmentLabel for s in seg.SegmentSequence] == ["Intracranial haemorrhage", "Perihaematomal oedema"]
    assert [result.kind for result in results] == ["seg", "sr", "text", "sc"]


def test_an_odd_finding_is_encoded_as_an_unspecified_lesion(positive: Case, tmp_path: Path) -> None:
    odd = finding_of(positive.findings[0].mask, positive.volume, name="something new", label="Something new")
    seg = dcmread(encode_case(changed(positive, findings=(odd,)), tmp_path, NOW)[0].path)
    assert seg.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue == "301766008"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"findings": ()}, "without findings"),
        ({"input_digests": ("one",)}, "number of slices"),
        ({"timezone": "Mars/Olympus"}, "encoding failed"),
    ],
)
def test_a_wrong_case_is_an_encode_error_and_leaves_nothing(
    positive: Case, tmp_path: Path, fault: dict[str, object], message: str
) -> None:
    with pytest.raises(EncodeError, match=message):
        encode_case(changed(positive, **fault), tmp_path, NOW)
    assert list(tmp_path.iterdir()) == []


def test_findings_of_one_name_are_refused(positive: Case, tmp_path: Path) -> None:
    with pytest.raises(EncodeError, match="same name"):
        encode_case(changed(positive, findings=positive.findings * 2), tmp_path, NOW)


def test_a_mask_without_measurements_is_refused(positive: Case, tmp_path: Path) -> None:
    with pytest.raises(EncodeError, match="contradict"):
        encode_case(changed(positive, findings=(replace(positive.findings[0], total=None),)), tmp_path, NOW)


def test_an_error_of_a_library_does_not_quote_a_patient_attribute(positive: Case, tmp_path: Path) -> None:
    header = case_of(EVEN, patient=Patient("Secret^Name")).identity
    del header.StudyInstanceUID
    with pytest.raises(EncodeError) as caught:
        encode_case(changed(positive, identity=header), tmp_path, NOW)
    assert "Secret" not in str(caught.value)


def test_no_patient_attribute_reaches_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        encode_case(case_of(EVEN, patient=Patient("Secret^Name")), tmp_path, NOW)
    assert any(record.message == "case encoded" for record in caplog.records)
    assert "Secret" not in "".join(str(vars(record)) for record in caplog.records)


@pytest.mark.parametrize(
    ("keyword", "vr", "content"),
    [
        ("OtherPatientIDsSequence", "SQ", b"ab"),
        ("ReferencedStudySequence", "UN", b"\xff\xfe--"),
        ("FrameOfReferenceUID", "UI", b"abc"),
        ("PatientWeight", "DS", b"70kg"),
        ("PatientComments", "XX", b"ab"),
    ],
)
def test_a_value_that_cannot_be_read_costs_no_result(
    positive: Case, tmp_path: Path, keyword: str, vr: str, content: bytes
) -> None:
    sources, identity = copy.deepcopy((positive.sources, positive.identity))
    tag = Tag(keyword)
    for ds in (*sources, identity):
        ds[tag] = RawDataElement(tag, vr, len(content), content, 0, False, True)
    results = encode_case(changed(positive, sources=sources, identity=identity), tmp_path, NOW)
    assert {result.kind for result in results} == {Kind.SEG, Kind.SR, Kind.TEXT, Kind.SC}


def test_a_full_disk_is_not_the_fault_of_the_case(positive: Case, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        encode_case(positive, tmp_path / "file", NOW)


@pytest.fixture(scope="module")
def context(positive: Case) -> Context:
    return context_of(positive, NOW)


def written(ds: Dataset, tmp_path: Path) -> Path:
    path = tmp_path / "result.dcm"
    path.write_bytes(bytes_of(ds))
    return path


def test_a_sound_segmentation_passes_validation(context: Context, tmp_path: Path) -> None:
    seg = segmentation(context)
    assert seg is not None
    validate(written(seg, tmp_path), context, "seg", {"seg": seg})


def _flip_a_bit(ds: Dataset) -> None:
    pixels = bytearray(ds.PixelData)
    pixels[len(pixels) // 2] ^= 1
    ds.PixelData = bytes(pixels)


def _swap_positions(ds: Dataset) -> None:
    first, last = ds.PerFrameFunctionalGroupsSequence[0], ds.PerFrameFunctionalGroupsSequence[-1]
    swapped = (last.PlanePositionSequence, first.PlanePositionSequence)
    first.PlanePositionSequence, last.PlanePositionSequence = swapped


def _move_a_frame(ds: Dataset) -> None:
    position = ds.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
    position.ImagePositionPatient = [0.0, 0.0, 12.0]


def _refer_elsewhere(ds: Dataset) -> None:
    ds.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPInstanceUID = "1.2.3.99"


def _other_patient(ds: Dataset) -> None:
    ds.PatientID = "ID-2"


def _no_accession(ds: Dataset) -> None:
    del ds.AccessionNumber


def _no_series_number(ds: Dataset) -> None:
    del ds.SeriesNumber


def _empty_label(ds: Dataset) -> None:
    ds.SegmentSequence[0].SegmentLabel = ""


def _bad_uid(ds: Dataset) -> None:
    ds.DimensionOrganizationSequence[0].DimensionOrganizationUID = "1.2..3"


def _not_research(ds: Dataset) -> None:
    del ds.ContentQualification


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_flip_a_bit, "differs from the mask"),
        (_swap_positions, "names another slice"),
        (_move_a_frame, "lies on no source slice"),
        (_refer_elsewhere, "not of this case"),
        (_other_patient, "PatientID differs"),
        (_no_accession, "AccessionNumber of the source is missing"),
        (_no_series_number, r"SeriesNumber \(type \d\) is missing"),
        (_empty_label, r"SegmentLabel \(type 1\) is empty"),
        (_bad_uid, "no valid UID"),
        (_not_research, "ContentQualification"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_a_damaged_segmentation_does_not_pass(context: Context, tmp_path: Path, damage: object, message: str) -> None:
    seg = segmentation(context)
    assert seg is not None
    assert callable(damage)
    damage(seg)
    with pytest.raises(EncodeError, match=message):
        validate(written(seg, tmp_path), context, "seg", {"seg": seg})


def test_a_report_with_another_volume_does_not_pass(context: Context, tmp_path: Path) -> None:
    seg = segmentation(context)
    report = measurement_report(context, seg)
    measured = changed_volume(report)
    assert measured
    with pytest.raises(EncodeError, match="volumes differ"):
        validate(written(report, tmp_path), context, "sr", {"seg": seg} if seg else {})


def changed_volume(item: Dataset) -> bool:
    """Change the first volume of a report; whether there was one."""
    for child in item.get("ContentSequence", ()):
        if child.ValueType == "NUM" and child.ConceptNameCodeSequence[0].CodeValue == "118565006":
            child.MeasuredValueSequence[0].NumericValue = "99.9"
            return True
        if changed_volume(child):
            return True
    return False


def test_a_report_that_claims_to_be_verified_does_not_pass(context: Context, tmp_path: Path) -> None:
    seg = segmentation(context)
    report = measurement_report(context, seg)
    report.VerificationFlag = "VERIFIED"
    with pytest.raises(EncodeError, match="verified"):
        validate(written(report, tmp_path), context, "sr", {"seg": seg} if seg else {})


def test_a_report_on_a_segmentation_of_another_case_does_not_pass(context: Context, tmp_path: Path) -> None:
    report = measurement_report(context, segmentation(context))
    with pytest.raises(EncodeError, match="not of this case"):
        validate(written(report, tmp_path), context, "sr", {})


def test_a_destination_that_takes_rejections_and_reports_too_gets_none_with_the_results(tmp_path: Path) -> None:
    results = encode_case(case_of(EVEN), tmp_path / "all", requested=[Kind.REJECTION, Kind.NOT_PERFORMED, Kind.KOS])
    usual = encode_case(case_of(EVEN), tmp_path / "usual")
    assert [result.kind for result in results] == [*(result.kind for result in usual), Kind.KOS]


def test_another_language_makes_other_instances_with_the_same_codes(positive: Case, tmp_path: Path) -> None:
    results = {
        language: encode_case(changed(positive, language=language), tmp_path / language, NOW) for language in Language
    }
    uids = [result.sop_instance_uid for made in results.values() for result in made]
    assert len(set(uids)) == len(uids)
    segs = {language: dcmread(made[0].path).SegmentSequence[0] for language, made in results.items()}
    assert {str(seg.SegmentedPropertyTypeCodeSequence[0].CodeMeaning) for seg in segs.values()} == {"Hemorrhage"}
    assert segs[Language.AMERICAN].SegmentLabel == "Intracranial hemorrhage"


def test_an_uncertain_exam_has_amber_marks_that_say_so(
    positive: Case, encoded: list[EncodedResult], tmp_path: Path
) -> None:
    finding = replace(positive.masks[0], exam_probability=0.08, exam_threshold=0.56)
    certain = dcmread(encoded[0].path).SegmentSequence[0]
    uncertain = dcmread(encode_case(changed(positive, findings=(finding,)), tmp_path, NOW)[0].path).SegmentSequence[0]
    assert uncertain.SegmentLabel == f"{certain.SegmentLabel}, uncertain"
    assert uncertain.RecommendedDisplayCIELabValue != certain.RecommendedDisplayCIELabValue


def test_the_overview_is_compressed_without_loss(encoded: list[EncodedResult]) -> None:
    (overview,) = [result for result in encoded if result.kind == "sc"]
    ds = dcmread(overview.path)
    assert ds.file_meta.TransferSyntaxUID == RLELossless
    assert overview.size_bytes < ds.Rows * ds.Columns * 3 / 2
