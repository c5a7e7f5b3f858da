"""Text reports, read back from bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedSRStorage

from dicomnode.encode.context import context_of
from dicomnode.encode.files import bytes_of
from dicomnode.encode.kinds.text import MAX_LESION_LINES, text_report
from dicomnode.measure.figures import rounded_ml
from dicomnode.records import Case
from tests.unit.encode.cases import EVEN, MODEL, TILTED_UNEVEN, case_of, changed, finding_of, score_of

BLEEDS = (((25.0, 60.0, 40.0), (12.0, 14.0, 10.0)), ((38.0, 80.0, 60.0), (6.0, 5.0, 4.0)))


def read_back(case: Case) -> Dataset:
    return dcmread(BytesIO(bytes_of(text_report(context_of(case)))))


def walk(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", ()):
        yield child
        yield from walk(child)


def lines(report: Dataset, heading: str) -> list[str]:
    """The sentences below the section with this heading."""
    for item in report.ContentSequence:
        if item.ValueType == "CONTAINER" and item.ConceptNameCodeSequence[0].CodeMeaning == heading:
            return [str(child.TextValue).replace("\r\n", " ") for child in item.ContentSequence]
    raise AssertionError(f"no section {heading}")


@pytest.fixture(scope="module")
def case() -> Case:
    return case_of(TILTED_UNEVEN, BLEEDS)


@pytest.fixture(scope="module")
def report(case: Case) -> Dataset:
    return read_back(case)


def test_it_opens_as_text_in_viewers_that_know_no_measurement_reports(report: Dataset) -> None:
    assert report.SOPClassUID == EnhancedSRStorage
    root = report.ConceptNameCodeSequence[0]
    assert (root.CodeValue, root.CodingSchemeDesignator) == ("18748-4", "LN")
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "2000"
    assert {i.ContinuityOfContent for i in (report, *walk(report)) if i.ValueType == "CONTAINER"} == {"SEPARATE"}
    assert not [item for item in walk(report) if item.ValueType in {"IMAGE", "SCOORD", "NUM"}]


def test_it_is_preliminary_and_verified_by_no_one(report: Dataset) -> None:
    flags = (report.CompletionFlag, report.VerificationFlag, report.PreliminaryFlag)
    assert flags == ("COMPLETE", "UNVERIFIED", "PRELIMINARY")
    assert report.ContentQualification == "RESEARCH"


def test_every_lesion_has_a_line_with_its_figures(report: Dataset, case: Case) -> None:
    finding = case.findings[0]
    total, first, second = lines(report, "Findings")
    assert finding.total is not None
    assert total.startswith(f"Intracranial haemorrhage, total: {rounded_ml(finding.total.volume_ml):g} mL; ABC/2 ")
    for number, (line, region) in enumerate(zip((first, second), finding.lesions, strict=True), start=1):
        assert line.startswith(f"Intracranial haemorrhage, lesion {number}: ")
        assert f"longest diameter {region.longest_diameter_mm:.0f} mm" in line
        maximum = "" if region.volume_ml < 1.0 else f", maximum {region.max_hu:.0f} HU"
        assert f"mean {region.mean_hu:.0f} HU{maximum}" in line
        place = ", ".join(str(part) for part in (region.side, region.level) if part is not None)
        assert f"; {place}; image " in line
        assert line.endswith(f"image {region.first_slice + 1}-{region.last_slice + 1}.")


def test_no_line_of_a_finding_is_cut_by_a_viewer_that_wraps_none(case: Case) -> None:
    score = score_of(warnings=("Developed for " + "spontaneous haemorrhage, " * 6 + "and for nothing else.",))
    report = read_back(changed(case, findings=(*case.findings, score)))
    findings = [str(item.TextValue) for item in walk(report) if item.ConceptNameCodeSequence[0].CodeValue == "121071"]
    written = [line for finding in findings for line in finding.split("\r\n")]
    assert len(written) > len(findings) > 5
    assert max(map(len, written)) <= 88


def test_the_impression_stands_first_and_the_device_last(report: Dataset) -> None:
    sections = [item for item in report.ContentSequence if item.ValueType == "CONTAINER"]
    headings = [section.ConceptNameCodeSequence[0].CodeMeaning for section in sections]
    assert headings == ["Impressions", "Findings", "Current Procedure Descriptions"]
    assert list(report.ContentSequence)[:3] == sections  # and all that is said of the observer behind them
    assert "Device Observer UID" in {item.ConceptNameCodeSequence[0].CodeMeaning for item in report.ContentSequence}


def test_abc2_stands_beside_the_volume_with_the_difference(case: Case) -> None:
    finding = case.findings[0]
    assert finding.total is not None
    changed_total = replace(finding.total, volume_ml=20.0, abc2_ml=18.5)
    line = lines(read_back(changed(case, findings=(replace(finding, total=changed_total),))), "Findings")[0]
    assert "total: 20.0 mL; ABC/2 18.5 mL (-1.50 mL, -8 %); longest" in line


def test_it_names_images_limits_model_and_what_it_was_trained_on(report: Dataset) -> None:
    images, limits, volumes, model = lines(report, "Current Procedure Descriptions")
    assert volumes.startswith("Volumes are voxels times in-plane area")
    assert images == "CT of the head, series 2, 10 slices, read by software."
    assert "smallest lesion reported 0.1 mL, probability threshold 0.5" in limits
    assert f"{MODEL.name} {MODEL.version} ({MODEL.title}), {MODEL.digest}. Trained on {MODEL.trained_on}." in model


def test_the_impression_ends_with_the_limits_of_use(report: Dataset) -> None:
    finding, notice = lines(report, "Impressions")
    assert "2 lesions of at least 0.1 mL" in finding
    assert notice.startswith("Research, not for diagnosis. Computed by software and preliminary")


def test_a_negative_says_what_was_not_found_and_within_which_limits() -> None:
    report = read_back(case_of(EVEN))
    expected = "No haemorrhage above the detection limit (detection limit 0.1 mL, threshold 0.5)."
    assert lines(report, "Findings") == [expected]
    impression = lines(report, "Impressions")[0]
    assert impression.startswith(f"{expected} This does not exclude haemorrhage.")
    assert impression.endswith("This model gives no exam probability: the marks alone decide.")


def test_of_many_lesions_the_largest_have_lines_and_the_others_are_counted() -> None:
    case = case_of(EVEN)
    mask = np.zeros(case.findings[0].mask.shape, dtype=bool)
    for row in range(4, 124, 12):
        for column in range(4, 90, 24):
            mask[4:6, row : row + 5, column : column + 5] = True
    found = lines(read_back(changed(case, findings=(finding_of(mask, case.volume),))), "Findings")
    assert len(found) == 1 + MAX_LESION_LINES + 1
    assert found[-1] == f"Intracranial haemorrhage: {40 - MAX_LESION_LINES} smaller lesions."
