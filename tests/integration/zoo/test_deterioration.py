"""The shipped model of early neurological deterioration, asked as the node asks it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dicomnode.app.known_head import known_context
from dicomnode.errors import BundleError
from dicomnode.records import (
    ContextSource,
    ContextText,
    ContextValue,
    Finding,
    Inapplicable,
    Inputs,
    NotApplicable,
    PatientContext,
    ScoreFinding,
)
from dicomnode.zoo.deterioration.model import NOT_READ
from dicomnode.zoo.registry import Registry
from dicomnode.zoo.runner import Runner


@pytest.fixture(scope="module")
def runner() -> Runner:
    return Runner(Registry().get("deterioration"), threads=1)


@pytest.fixture(scope="module")
def whole(runner: Runner) -> PatientContext:
    """The patient of the manifest's examples, of whom all is known; her D-dimer is high."""
    return told(known_context(runner.manifest), d_dimer=4.0)


def told(context: PatientContext, **values: float | str | bool | None) -> PatientContext:
    """The context with other values; None: not known."""
    kept = tuple(value for value in context.values if value.name not in values)
    new = (
        ContextValue(name=name, value=value, source=ContextSource.HL7, unit="mg/L{FEU}" if name == "d_dimer" else "")
        for name, value in values.items()
        if value is not None
    )
    return replace(context, values=(*kept, *new))


def asking(context: PatientContext, request: str | None) -> PatientContext:
    """The context with another request."""
    texts = () if request is None else (ContextText(section="indication", text=request, source=ContextSource.SR),)
    return replace(context, texts=texts)


def finding_of(runner: Runner, context: PatientContext) -> Finding:
    (finding,) = runner.run(Inputs(context=context))
    return finding


def score_of(runner: Runner, context: PatientContext) -> ScoreFinding:
    finding = finding_of(runner, context)
    assert isinstance(finding, ScoreFinding)
    return finding


def change_by(finding: ScoreFinding, words: str) -> float:
    """What the input whose label has these words does."""
    (change,) = (one.change for one in finding.contributions if words in one.label)
    return change


def test_a_result_tells_event_risk_inputs_with_units_and_what_each_of_them_does(
    runner: Runner, whole: PatientContext
) -> None:
    finding = score_of(runner, whole)
    assert 0.0 < finding.value < 1.0
    assert finding.threshold is not None
    assert finding.category is not None
    assert finding.category[2] == ("High risk" if finding.value >= finding.threshold else "Low risk")
    assert "NIHSS rises by 2 points or more" in finding.definition
    assert "within 7 days" in finding.definition
    assert "4 mg/L{FEU}" in {item.value for item in finding.inputs if item.label == "D-dimer"}
    assert {"D-dimer", "NIHSS", "Diastolic blood pressure"} <= {one.label for one in finding.contributions}
    assert (finding.missing, finding.warnings) == ((), ())


def test_a_contribution_is_what_the_probability_loses_without_its_input(runner: Runner, whole: PatientContext) -> None:
    finding, without = score_of(runner, whole), score_of(runner, told(whole, d_dimer=None))
    assert change_by(finding, "D-dimer") == pytest.approx(finding.value - without.value, abs=1e-6)
    silent = score_of(runner, asking(whole, "72F. Acute stroke, medical management. Lives alone."))
    said = score_of(runner, asking(whole, "72F. Acute stroke, medical management. Lives alone. Unsteady."))
    assert change_by(said, "unsteadiness") == pytest.approx(said.value - silent.value, abs=0.02)


@pytest.mark.parametrize(
    ("affirmed", "denied"),
    [
        ("Unsteady on feet.", "Not unsteady on feet."),
        ("c/o ataxia", "denies ataxia"),
        ("ROS: (+) ataxia", "ROS: (-) for ataxia, chest pain"),
        ("UNSTEADY SINCE YESTERDAY", "NO UNSTEADINESS"),
    ],
)
def test_a_denial_turns_what_a_symptom_does(runner: Runner, whole: PatientContext, affirmed: str, denied: str) -> None:
    start = "Acute stroke, for medical management. "
    present, absent = (score_of(runner, asking(whole, start + words)) for words in (affirmed, denied))
    assert change_by(present, "unsteadiness present") > 0.02
    assert change_by(absent, "unsteadiness denied") < 0.0
    quoted = next(one.label for one in absent.contributions if "unsteadiness" in one.label)
    assert denied.split(".")[0][:10] in quoted  # the words that say so are shown


@pytest.mark.parametrize(
    "request_",
    [
        "Akuter Schlaganfall, konservative Therapie. Gangunsicherheit seit heute Morgen, keine Kopfschmerzen.",
        "AVC ischémique aigu, sans thrombectomie. Instabilité à la marche depuis ce matin, pas de céphalées.",
        "急性缺血性脑卒中 未行取栓 行走不稳 视物模糊 否认头痛",
        "Ictus isquémico agudo, tratamiento conservador. Inestabilidad de la marcha, niega cefalea y vómitos.",
    ],
)
def test_a_request_in_another_language_is_left_out_and_the_result_says_so(
    runner: Runner, whole: PatientContext, request_: str
) -> None:
    foreign, none = score_of(runner, asking(whole, request_)), score_of(runner, asking(whole, None))
    assert foreign.warnings == (NOT_READ,)
    assert foreign.value == none.value
    assert not any("vision" in one.label or '"' in one.label for one in foreign.contributions)


@pytest.mark.parametrize(
    "request_", ["CVA. AMS. HA, N/V, ataxic", "72F ?stroke nil HA", "r/o CVA; unsteady gait w/ diplopia"]
)
def test_a_telegraphic_request_counts_as_english(runner: Runner, whole: PatientContext, request_: str) -> None:
    assert score_of(runner, asking(whole, request_)).warnings == ()


def test_with_half_of_the_context_missing_the_result_names_what_it_did_not_know(
    runner: Runner, whole: PatientContext
) -> None:
    half = {
        value.name: None for value in whole.values[1::2] if value.name not in ("age", "mca_occlusion", "thrombectomy")
    }
    finding = score_of(runner, told(whole, **half))
    assert 0.0 < finding.value < 1.0
    assert len(finding.missing) == len(half)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"thrombectomy": True}, "no thrombectomy; here yes"),
        ({"mca_occlusion": False}, "occlusion of the middle cerebral artery; here no"),
        ({"age": 12.0}, "adults; here 12"),
    ],
)
def test_outside_its_population_there_is_no_number(
    runner: Runner, whole: PatientContext, values: dict[str, float | bool], says: str
) -> None:
    finding = finding_of(runner, told(whole, **values))
    assert isinstance(finding, NotApplicable)
    assert (finding.reason, finding.detail) == (Inapplicable.OUTSIDE_POPULATION, says)


def test_of_a_patient_of_whom_hardly_anything_is_known_there_is_no_number(runner: Runner) -> None:
    header = PatientContext(values=(ContextValue(name="age", value=71.0, unit="a", source=ContextSource.HEADER),))
    finding = finding_of(runner, header)
    assert isinstance(finding, NotApplicable)
    assert (finding.reason, finding.detail) == (Inapplicable.MISSING_VARIABLE, "1 of 35 known, 10 needed")


def test_whether_the_population_holds_is_said_where_nobody_told_it(runner: Runner, whole: PatientContext) -> None:
    finding = score_of(runner, told(whole, mca_occlusion=None, thrombectomy=None))
    (warning,) = finding.warnings
    assert warning.endswith(": occlusion of the middle cerebral artery; no thrombectomy.")


def test_the_threshold_is_that_of_the_configuration(runner: Runner, whole: PatientContext) -> None:
    value = score_of(runner, whole).value
    for threshold, category in ((value / 2, "High risk"), ((1.0 + value) / 2, "Low risk")):
        other = Runner(Registry(thresholds={"deterioration": threshold}).get("deterioration"), threads=1)
        finding = score_of(other, whole)
        assert (finding.value, finding.threshold) == (value, threshold)
        assert finding.category is not None
        assert finding.category[2] == category
    with pytest.raises(BundleError, match="threshold given for detorioration, which is no score here"):
        Registry(thresholds={"detorioration": 0.5})
