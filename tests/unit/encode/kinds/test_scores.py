"""Reports of scores, read back from bytes. The scores are generated: no model of the zoo makes any yet."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage

from dicomnode.dicom import codes
from dicomnode.encode.case import encode_case
from dicomnode.encode.context import context_of
from dicomnode.encode.files import bytes_of
from dicomnode.encode.kinds.scores import score_report
from dicomnode.encode.validate import validate
from dicomnode.errors import EncodeError
from dicomnode.records import Case, Inapplicable, NotApplicable
from tests.unit.encode.cases import EVEN, MODEL, case_of, changed, not_applicable_of, score_of
from tests.unit.encode.kinds.test_sr import code_of, items, numbers, walk
from tests.unit.encode.kinds.test_text import lines

BLEED = (((25.0, 60.0, 40.0), (12.0, 14.0, 10.0)),)
PROBABILITY, THRESHOLD, LOW, HIGH = "122157", "122411", "CI95LOW", "CI95HIGH"


@pytest.fixture(scope="module")
def case() -> Case:
    plain = case_of(EVEN, BLEED)
    return changed(plain, findings=(*plain.findings, score_of(), score_of(name="nihss", value=14.0, unit="{score}")))


@pytest.fixture(scope="module")
def report(case: Case) -> Dataset:
    made = score_report(context_of(case))
    assert made is not None
    return dcmread(BytesIO(bytes_of(made)))


def test_scores_have_a_document_of_their_own_with_groups_of_tid_1501_only(report: Dataset) -> None:
    assert report.SOPClassUID == Comprehensive3DSRStorage
    groups = items(report, "125007")
    assert [group.ContentTemplateSequence[0].TemplateIdentifier for group in groups] == ["1501", "1501"]
    assert (report.VerificationFlag, report.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    assert report.SeriesDescription == "AI scores (research)"


def test_a_probability_has_its_interval_and_its_threshold(report: Dataset) -> None:
    group = items(report, "125007")[0]
    assert numbers(group, PROBABILITY) == [0.42]
    (number,) = items(group, PROBABILITY)
    assert number.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue == "1"
    assert (numbers(group, LOW), numbers(group, HIGH)) == ([0.31], [0.55])
    assert numbers(group, THRESHOLD) == [0.5]
    assert items(group, "121071")[0].ConceptCodeSequence[0].CodeValue == "POOR_OUTCOME_90D"


def test_a_value_that_is_no_probability_has_its_own_name_and_unit(report: Dataset) -> None:
    group = items(report, "125007")[1]
    assert items(group, PROBABILITY) == []
    assert numbers(group, "NIHSS") == [14.0]
    assert items(group, "NIHSS")[0].MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue == "{score}"


def test_the_event_is_spelt_out_and_what_single_inputs_change_is_told(
    case: Case, report: Dataset, tmp_path: Path
) -> None:
    group = items(report, "125007")[0]
    (definition,) = items(group, codes.DEFINITION.value)
    assert definition.TextValue.startswith("Modified Rankin Scale of 4 to 6")
    changes = [item.TextValue for item in items(group, codes.CONTRIBUTION.value)]
    assert changes == ["Haematoma volume +0.11", '"found drowsy" -0.04']
    results = {result.kind: dcmread(result.path) for result in encode_case(case, tmp_path)}
    told = "\n".join(lines(results["text"], "Findings"))
    assert definition.TextValue in told
    assert 'were each not known: Haematoma volume +0.11, "found drowsy" -0.04.' in told


def test_the_model_is_named_at_its_numbers_and_not_at_the_reference_score(report: Dataset) -> None:
    group = items(report, "125007")[0]
    assert [str(item.TextValue) for item in items(items(group, PROBABILITY)[0], "111001")] == ["prognosis"]
    assert numbers(group, "ICH_SCORE") == [2.0]
    assert items(items(group, "ICH_SCORE")[0], "111001") == []


def test_category_inputs_and_warnings_stand_in_the_group(report: Dataset) -> None:
    group = items(report, "125007")[0]
    assert items(group, "CATEGORY")[0].ConceptCodeSequence[0].CodeMeaning == "Low risk"
    texts = {code_of(item): [] for item in walk(group) if item.ValueType == "TEXT"}
    for item in walk(group):
        if item.ValueType == "TEXT":
            texts[code_of(item)].append(str(item.TextValue))
    assert texts["INPUT"] == ["Haematoma volume 16.1 mL (measured)", "Age 74 years (header)"]
    assert texts["INPUTMISSING"] == ["Glasgow Coma Scale"]
    assert texts["USEWARNING"] == ["Developed for spontaneous haemorrhage only."]
    assert texts["REFSCORE"] == [
        "ICH Score: 2. 30-day mortality 26 % (Hemphill 2001)",
        "FUNC: 6 to 9, as inputs are missing. Independence at 90 days (Rost 2008)",
    ]
    assert MODEL.digest in texts["MODEL"][0]


def test_a_reference_score_with_a_missing_input_has_a_range_and_no_number(report: Dataset) -> None:
    assert items(report, "FUNC") == []


def test_every_private_code_is_of_the_scheme_that_is_identified(report: Dataset) -> None:
    schemes = {str(e.value) for e in report.iterall() if e.keyword == "CodingSchemeDesignator"}
    private = {scheme for scheme in schemes if scheme.startswith("99")}
    assert private == {item.CodingSchemeDesignator for item in report.CodingSchemeIdentificationSequence}


def test_a_case_without_scores_has_no_such_report() -> None:
    assert score_report(context_of(case_of(EVEN))) is None


def test_the_text_report_tells_the_scores_too(case: Case, tmp_path: Path) -> None:
    results = {result.kind: result for result in encode_case(case, tmp_path)}
    assert set(results) == {"seg", "sr", "scores", "text", "sc"}
    text = dcmread(results["text"].path)
    sentence = (
        "Poor outcome (mRS 4 to 6) at 90 days: 0.42; 95 % confidence interval 0.31 to 0.55; "
        "below the operating threshold 0.50; Low risk."
    )
    assert sentence in lines(text, "Impressions")
    assert any("not known: Glasgow Coma Scale" in line for line in lines(text, "Findings"))
    assert sentence in dcmread(results["sc"].path).ImageComments


def test_a_case_of_scores_alone_has_no_segmentation_and_no_measurements(tmp_path: Path) -> None:
    case = changed(case_of(EVEN), findings=(score_of(),))
    assert [result.kind for result in encode_case(case, tmp_path)] == ["scores", "text", "sc"]


def test_what_is_not_applicable_has_its_code_and_no_number_in_every_report(tmp_path: Path) -> None:
    case = changed(case_of(EVEN), findings=(not_applicable_of(),))
    results = {result.kind: dcmread(result.path) for result in encode_case(case, tmp_path)}
    assert set(results) == {"scores", "text", "sc"}
    report = results["scores"]
    assert [item for item in report.iterall() if item.keyword == "NumericValue"] == []
    (said,) = items(report, codes.APPLICABILITY.value)
    assert said.ConceptCodeSequence[0].CodeValue == codes.NOT_APPLICABLE.value
    (why,) = items(report, codes.WHY_NOT_APPLICABLE.value)
    assert (why.ConceptCodeSequence[0].CodeValue, why.ConceptCodeSequence[0].CodingSchemeDesignator) == (
        "POPULATION",
        codes.PRIVATE_SCHEME,
    )
    sentence = (
        "Neurological deterioration within 7 days: not applicable. The patient lies outside the population that the "
        "model is for (no thrombectomy; here yes)."
    )
    assert sentence in lines(results["text"], "Impressions")
    assert sentence in results["sc"].ImageComments
    assert [item.TextValue for item in items(report, codes.INPUT_USED.value)] == ["Age 74 a (header, 2024-01-02)"]
    assert [item.TextValue for item in items(report, codes.INPUT_MISSING.value)] == ["D-dimer"]


def test_another_reason_is_another_result() -> None:
    def digest(finding: NotApplicable) -> str:
        return context_of(changed(case_of(EVEN), findings=(finding,))).digest

    plain = not_applicable_of()
    others = [
        not_applicable_of(reason=Inapplicable.MISSING_VARIABLE),
        not_applicable_of(detail="adults; here 12 a"),
        not_applicable_of(inputs_digest="other inputs"),
    ]
    assert len({digest(plain), *map(digest, others)}) == 4


def test_a_report_that_hides_what_is_not_applicable_does_not_pass(case: Case, tmp_path: Path) -> None:
    context = context_of(changed(case, findings=(*case.findings, not_applicable_of())))
    report = score_report(context_of(case))
    assert report is not None
    path = tmp_path / "scores.dcm"
    path.write_bytes(bytes_of(report))
    with pytest.raises(EncodeError):
        validate(path, context, "scores", {})


def test_another_input_is_another_result_and_the_same_input_is_the_same(case: Case) -> None:
    score = case.scores[0]
    other = replace(score, inputs=(replace(score.inputs[0], value="20 mL"), *score.inputs[1:]))
    assert context_of(changed(case, findings=(other,))).digest != context_of(changed(case, findings=(score,))).digest
    noisy = replace(score, value=score.value + 1e-9)
    assert context_of(changed(case, findings=(noisy,))).digest == context_of(changed(case, findings=(score,))).digest


def test_a_report_with_another_value_does_not_pass(case: Case, tmp_path: Path) -> None:
    context = context_of(case)
    report = score_report(context)
    assert report is not None
    items(report, PROBABILITY)[0].MeasuredValueSequence[0].NumericValue = "0.9"
    path = tmp_path / "scores.dcm"
    path.write_bytes(bytes_of(report))
    with pytest.raises(EncodeError, match="values differ"):
        validate(path, context, "scores", {})
