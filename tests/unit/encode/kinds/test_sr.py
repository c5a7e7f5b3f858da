"""Reports, read back from bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage
from scipy import ndimage

from dicomnode.encode.context import context_of
from dicomnode.encode.files import bytes_of
from dicomnode.encode.kinds.seg import segmentation
from dicomnode.encode.kinds.sr import MAX_LESION_GROUPS, measurement_report
from dicomnode.kinds import Kind
from dicomnode.language import Language
from dicomnode.measure.figures import SPECK_ML, rounded_hu, rounded_ml, rounded_mm
from dicomnode.records import Case
from tests.unit.encode.cases import EVEN, MODEL, TILTED_UNEVEN, case_of, changed, finding_of

BLEEDS = (((25.0, 60.0, 40.0), (12.0, 14.0, 10.0)), ((38.0, 80.0, 60.0), (6.0, 5.0, 4.0)))
VOLUME, ABC2, LONG_AXIS, ATTENUATION = "118565006", "ABC2", "103339001", "112031"


def read_back(case: Case) -> Dataset:
    """The report of a case; that of one without marks is made on request alone."""
    context = context_of(case)
    seg = segmentation(context)
    report = measurement_report(context, seg, Kind.SR if seg is not None else Kind.SR_NEGATIVE)
    assert report is not None
    return dcmread(BytesIO(bytes_of(report)))


def items(item: Dataset, name: str) -> list[Dataset]:
    """All content items below ``item`` whose concept name has this code value."""
    return [child for child in walk(item) if child.get("ConceptNameCodeSequence") and code_of(child) == name]


def walk(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", ()):
        yield child
        yield from walk(child)


def code_of(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeValue)


def numbers(group: Dataset, name: str) -> list[float]:
    return [float(num.MeasuredValueSequence[0].NumericValue) for num in items(group, name)]


def unit(group: Dataset, name: str) -> str:
    return str(items(group, name)[0].MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue)


def text(report: Dataset, name: str) -> str:
    return str(items(report, name)[0].TextValue)


@pytest.fixture(scope="module")
def case() -> Case:
    return case_of(TILTED_UNEVEN, BLEEDS)


@pytest.fixture(scope="module")
def report(case: Case) -> Dataset:
    return read_back(case)


def test_it_is_a_preliminary_unverified_measurement_report(report: Dataset) -> None:
    assert report.SOPClassUID == Comprehensive3DSRStorage
    assert code_of(report) == "126000"
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    flags = (report.CompletionFlag, report.VerificationFlag, report.PreliminaryFlag)
    assert flags == ("COMPLETE", "UNVERIFIED", "PRELIMINARY")


def test_every_container_is_separate(report: Dataset) -> None:
    containers = [item for item in (report, *walk(report)) if item.ValueType == "CONTAINER"]
    assert len(containers) == 1 + 1 + 3 + 1
    assert {item.ContinuityOfContent for item in containers} == {"SEPARATE"}


def test_there_is_a_group_for_the_total_and_for_each_lesion(report: Dataset, case: Case) -> None:
    groups = items(report, "125007")
    finding = case.findings[0]
    assert finding.total is not None
    expected = [finding.total.volume_ml, *(lesion.volume_ml for lesion in finding.lesions)]
    assert [numbers(group, VOLUME)[0] for group in groups] == list(map(rounded_ml, expected))
    assert {group.ContentTemplateSequence[0].TemplateIdentifier for group in groups} == {"1411"}


def test_a_group_has_all_measurements_with_their_units(report: Dataset, case: Case) -> None:
    for group, region in zip(items(report, "125007"), (case.findings[0].total, *case.findings[0].lesions), strict=True):
        assert region is not None
        assert region.abc2_ml is not None
        speck = region.volume_ml < SPECK_ML
        assert numbers(group, ABC2) == ([] if speck else [rounded_ml(region.abc2_ml)])
        assert numbers(group, LONG_AXIS) == [rounded_mm(region.longest_diameter_mm)]
        mean_and_maximum = [rounded_hu(region.mean_hu), rounded_hu(region.max_hu)]
        assert numbers(group, ATTENUATION) == mean_and_maximum[: 1 if speck else 2]
        assert [unit(group, n) for n in (VOLUME, LONG_AXIS, ATTENUATION)] == ["mL", "mm", "[hnsf'U]"]
        derivations = [items(num, "121401")[0].ConceptCodeSequence[0].CodeMeaning for num in items(group, ATTENUATION)]
        assert derivations == ["Mean", "Maximum"][: 1 if speck else 2]
    assert unit(items(report, "125007")[0], ABC2) == "mL"
    assert speck  # the last one: both kinds are there


def test_abc2_has_its_difference_beside_it_and_the_images_are_named(report: Dataset, case: Case) -> None:
    for group, region in zip(items(report, "125007"), (case.findings[0].total, *case.findings[0].lesions), strict=True):
        assert region is not None
        assert region.abc2_ml is not None
        if region.volume_ml >= SPECK_ML:
            (difference_ml,) = numbers(group, "ABC2DIFF")
            assert difference_ml == rounded_ml(rounded_ml(region.abc2_ml) - rounded_ml(region.volume_ml))
        assert text(group, "IMAGES") == f"image {region.first_slice + 1}-{region.last_slice + 1}"


def test_every_number_names_the_algorithm(report: Dataset) -> None:
    nums = [item for item in walk(report) if item.ValueType == "NUM"]
    assert len(nums) == 15
    for num in nums:
        assert text(num, "111001") == MODEL.name
        assert text(num, "111003") == MODEL.version
        assert any(MODEL.digest in str(item.TextValue) for item in items(num, "111002"))


def test_the_total_refers_to_the_segment_and_shares_its_tracking_uid(case: Case, report: Dataset) -> None:
    seg = segmentation(context_of(case))
    assert seg is not None
    total = items(report, "125007")[0]
    reference = items(total, "121191")[0].ReferencedSOPSequence[0]
    assert (reference.ReferencedSOPInstanceUID, reference.ReferencedSegmentNumber) == (seg.SOPInstanceUID, 1)
    assert seg.SegmentSequence[0].TrackingUID == items(total, "112040")[0].UID
    marked = np.flatnonzero(case.findings[0].mask.any(axis=(1, 2)))
    sources = [item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in items(total, "121233")]
    assert sources == [case.sources[i].SOPInstanceUID for i in marked]


def test_each_lesion_has_a_tracking_uid_of_its_own(report: Dataset) -> None:
    uids = [items(group, "112040")[0].UID for group in items(report, "125007")]
    assert len(set(uids)) == len(uids) == 3


def test_a_lesion_is_outlined_on_its_own_source_images(report: Dataset, case: Case) -> None:
    finding = case.findings[0]
    for index, group in enumerate(items(report, "125007")[1:]):
        outlined = {}
        for region in items(group, "111030"):
            uid = region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
            outlined[uid] = np.array(region.GraphicData).reshape(-1, 2)
            assert region.GraphicType == "POLYLINE"
        labelled = np.flatnonzero((finding.lesion_labels == index + 1).any(axis=(1, 2)))
        assert set(outlined) == {case.sources[i].SOPInstanceUID for i in labelled}
        for i in labelled:
            rows, columns = np.nonzero(finding.lesion_labels[i] == index + 1)
            points = outlined[case.sources[i].SOPInstanceUID]
            assert points[0].tolist() == points[-1].tolist()
            assert points.min(axis=0).tolist() == [columns.min(), rows.min()]
            assert points.max(axis=0).tolist() == [columns.max() + 1, rows.max() + 1]


def test_the_first_outline_of_a_lesion_is_that_on_its_widest_slice(report: Dataset, case: Case) -> None:
    for index, group in enumerate(items(report, "125007")[1:]):
        areas = (case.findings[0].lesion_labels == index + 1).sum(axis=(1, 2))
        first = items(group, "111030")[0].ContentSequence[0].ReferencedSOPSequence[0]
        assert first.ReferencedSOPInstanceUID == case.sources[int(np.argmax(areas))].SOPInstanceUID


def place_of_total(report: Dataset) -> Dataset:
    total = items(report, "125007")[0]
    (outline,) = [item for item in walk(items(total, VOLUME)[0]) if item.ValueType == "SCOORD"]
    return outline


def test_the_volume_of_the_total_has_its_place_on_the_widest_slice_without_a_lesions_label(
    report: Dataset, case: Case
) -> None:
    outline, finding = place_of_total(report), case.findings[0]
    labelled = [int(np.argmax((finding.lesion_labels == number).sum(axis=(1, 2)))) for number in (1, 2)]
    areas = finding.mask.sum(axis=(1, 2))
    widest = max((k for k in range(len(areas)) if k not in labelled), key=lambda k: areas[k])
    (image,) = outline.ContentSequence
    assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == case.sources[widest].SOPInstanceUID
    pieces = ndimage.label(finding.mask[widest])[0]
    x, y = np.array(outline.GraphicData).reshape(-1, 2).T
    assert abs(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2 == np.bincount(pieces[pieces > 0]).max()


def test_a_bleed_on_one_slice_has_both_labels_there() -> None:
    case = case_of(EVEN, (((25.0, 60.0, 40.0), (2.0, 14.0, 12.0)),))
    (marked,) = np.flatnonzero(case.findings[0].mask.any(axis=(1, 2)))
    (image,) = place_of_total(read_back(case)).ContentSequence
    assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == case.sources[marked].SOPInstanceUID


def test_all_slices_and_the_segmentation_are_evidence(report: Dataset, case: Case) -> None:
    series = [s for item in report.CurrentRequestedProcedureEvidenceSequence for s in item.ReferencedSeriesSequence]
    listed = {ref.ReferencedSOPInstanceUID for s in series for ref in s.ReferencedSOPSequence}
    seg = segmentation(context_of(case))
    assert seg is not None
    assert listed == {source.SOPInstanceUID for source in case.sources} | {seg.SOPInstanceUID}


def test_it_says_what_was_found_by_what_and_that_it_is_no_diagnosis(report: Dataset) -> None:
    assert "2 lesions of at least 0.1 mL" in text(report, "121073")
    assert "Research, not for diagnosis" in text(report, "NOTICE")
    assert MODEL.digest in text(report, "MODEL")
    assert text(report, "TRAINEDON") == MODEL.trained_on
    assert items(report, "50960005")[0].ConceptCodeSequence[0].CodeMeaning == "Present"


def test_the_observer_is_a_device(report: Dataset) -> None:
    assert items(report, "121005")[0].ConceptCodeSequence[0].CodeMeaning == "Device"
    assert items(report, "121013")[0].TextValue == "DICOMNODE"


def test_the_private_codes_are_identified(report: Dataset) -> None:
    schemes = {item.CodingSchemeDesignator for item in report.CodingSchemeIdentificationSequence}
    used = {
        element.value
        for element in report.iterall()
        if element.keyword == "CodingSchemeDesignator" and str(element.value).startswith("99")
    }
    assert used == schemes == {"99DCMNODE"}


def test_a_negative_states_threshold_and_detection_limit_without_measurements() -> None:
    report = read_back(case_of(EVEN))
    assert items(report, "126010") == []
    assert items(report, "50960005")[0].ConceptCodeSequence[0].CodeMeaning == "Absent"
    impression = text(report, "121073")
    assert impression.startswith("No haemorrhage above the detection limit (detection limit 0.1 mL, threshold 0.5).")
    assert "does not exclude" in impression
    assert (text(report, "THRESHOLD"), text(report, "DETLIMIT")) == ("0.5", "0.1 mL")


def test_an_exam_without_marks_has_a_report_only_where_one_is_asked_for(case: Case) -> None:
    negative = context_of(case_of(EVEN))
    assert measurement_report(negative, None) is None
    assert measurement_report(negative, None, Kind.SR_COMP) is None
    positive = context_of(case)
    assert measurement_report(positive, segmentation(positive), Kind.SR_NEGATIVE) is None


def test_marks_of_an_exam_below_its_threshold_are_undetermined_and_said_so(case: Case) -> None:
    finding = replace(case.masks[0], exam_probability=0.08, exam_threshold=0.56)
    report = read_back(changed(case, findings=(finding,)))
    assert items(report, "50960005")[0].ConceptCodeSequence[0].CodeMeaning == "Undetermined"
    assert text(report, "121073").startswith("Uncertain: ")
    assert "Exam probability 0.08, below its threshold 0.56." in text(report, "121073")
    assert len(items(report, "125007")) == 3


def test_a_speck_has_its_size_and_neither_abc2_nor_a_maximum() -> None:
    case = case_of(EVEN)
    mask = np.zeros(case.findings[0].mask.shape, dtype=bool)
    mask[4:6, 60:68, 40:50] = True  # 0.8 mL
    report = read_back(changed(case, findings=(finding_of(mask, case.volume),)))
    assert numbers(report, VOLUME) == [0.8, 0.8]
    assert numbers(report, ABC2) == numbers(report, "ABC2DIFF") == []
    assert len(numbers(report, ATTENUATION)) == 2  # the mean of the total and of the lesion


def test_dense_marks_are_told_with_the_rule_that_found_them(case: Case) -> None:
    finding = replace(case.masks[0], dense_pieces=2, dense_ml=0.42, dense_rule="a rule")
    report = read_back(changed(case, findings=(finding,)))
    assert text(report, "DENSE").startswith("Dense, not counted as haemorrhage: 2 pieces, 0.42 mL")
    assert any("dense=a rule" in str(item.TextValue) for item in items(report, "111002"))


def test_a_report_in_german_says_so_and_keeps_the_meaning_of_codes(case: Case) -> None:
    report = read_back(changed(case, language=Language.GERMAN))
    assert items(report, "121049")[0].ConceptCodeSequence[0].CodeValue == "de"
    assert items(report, "50960005")[0].ConceptCodeSequence[0].CodeMeaning == "Present"
    assert "2 Läsionen ab 0,1 mL" in text(report, "121073")
    assert report.SeriesDescription == "KI Blutung, Messwerte (Forschung)"
    assert report.SpecificCharacterSet == "ISO_IR 192"


def test_of_many_lesions_the_largest_have_groups_and_all_are_counted() -> None:
    case = case_of(EVEN)
    mask = np.zeros(case.findings[0].mask.shape, dtype=bool)
    for row in range(4, 124, 12):
        for column in range(4, 90, 24):
            mask[4:6, row : row + 5, column : column + 5] = True
    report = read_back(changed(case, findings=(finding_of(mask, case.volume),)))
    assert len(items(report, "125007")) == 1 + MAX_LESION_GROUPS
    assert "40 lesions" in text(report, "121073")


def test_a_model_described_in_another_language_makes_the_report_utf_8() -> None:
    case = case_of(EVEN)
    finding = replace(case.findings[0], model=replace(MODEL, trained_on="genähte Köpfe"))
    report = read_back(changed(case, findings=(finding,)))
    assert report.SpecificCharacterSet == "ISO_IR 192"
    assert text(report, "TRAINEDON") == "genähte Köpfe"
