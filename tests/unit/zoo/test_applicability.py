"""When a model applies to a patient, and what of its inputs enters the identity of its findings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dicomnode.records import (
    ContextSource,
    ContextText,
    ContextValue,
    Inapplicable,
    Inputs,
    MaskFinding,
    NotApplicable,
    PatientContext,
)
from dicomnode.zoo.applicability import examine, inputs_digest
from dicomnode.zoo.bundle import BundleManifest, load_manifest
from dicomnode.zoo.registry import BUILT_IN
from tests.tools.tiny_bundles import write_age_risk, write_bleed_risk
from tests.unit.encode.cases import EVEN, case_of

BLEED = (((25.0, 60.0, 40.0), (12.0, 14.0, 10.0)),)


def aged(years: float, observed_at: str = "2026-01-01") -> ContextValue:
    return ContextValue(name="age", value=years, unit="a", source=ContextSource.HEADER, observed_at=observed_at)


def inputs_of(*values: ContextValue, earlier: tuple[MaskFinding | NotApplicable, ...] = ()) -> Inputs:
    return Inputs(context=PatientContext(values=values), earlier=earlier)


@pytest.fixture
def risk(tmp_path: Path) -> BundleManifest:
    return load_manifest(write_bleed_risk(tmp_path))


@pytest.fixture(scope="module")
def bleed() -> MaskFinding:
    (finding,) = case_of(EVEN, BLEED).masks
    assert finding.total is not None
    assert finding.total.volume_ml > 1.0
    return finding


def test_a_model_applies_where_all_is_known_and_within_its_population(risk: BundleManifest, bleed: MaskFinding) -> None:
    examined = examine(risk, inputs_of(aged(63), earlier=(bleed,)))
    assert (examined.reason, examined.missing, examined.warnings) == (None, (), ())
    assert bleed.total is not None
    assert [(item.label, item.value, item.source, item.observed_at) for item in examined.inputs] == [
        (bleed.label, f"{bleed.total.volume_ml:.1f} mL", "measured", ""),
        ("Age", "63 a", "header", "2026-01-01"),
    ]


@pytest.mark.parametrize(
    ("name", "value", "unit", "shown"),
    [("nihss", 9, "{score}", "9"), ("inr", 1.05, "1", "1.05"), ("d_dimer", 1.9, "mg/L{FEU}", "1.9 mg/L{FEU}")],
)
def test_a_unit_is_shown_where_it_tells_a_reader_something(name: str, value: float, unit: str, shown: str) -> None:
    known = ContextValue(name=name, value=value, unit=unit, source=ContextSource.HL7)
    (told,) = examine(load_manifest(BUILT_IN / "deterioration" / "bundle"), inputs_of(known)).inputs
    assert told.value == shown


def test_a_missing_variable_is_named(risk: BundleManifest, bleed: MaskFinding) -> None:
    examined = examine(risk, inputs_of(earlier=(bleed,)))
    assert (examined.reason, examined.detail) == (Inapplicable.MISSING_VARIABLE, "Age")
    assert examined.missing == ("Age",)


def test_a_finding_that_was_not_given_is_missing(risk: BundleManifest, bleed: MaskFinding) -> None:
    refused = NotApplicable(
        name=bleed.name, label=bleed.label, model=bleed.model, reason=Inapplicable.MISSING_TEXT, detail=""
    )
    for earlier in ((), (refused,)):
        examined = examine(risk, inputs_of(aged(63), earlier=earlier))
        assert (examined.reason, examined.detail) == (Inapplicable.MISSING_FINDING, "hemorrhage")


def test_a_bleed_too_small_and_a_child_lie_outside_the_population(risk: BundleManifest, bleed: MaskFinding) -> None:
    negative = replace(bleed, total=None, lesions=(), mask=bleed.mask & False)
    examined = examine(risk, inputs_of(aged(63), earlier=(negative,)))
    assert (examined.reason, examined.detail) == (
        Inapplicable.OUTSIDE_POPULATION,
        "bleed of at least 1 mL; here 0 mL",
    )
    examined = examine(risk, inputs_of(aged(12), earlier=(bleed,)))
    assert (examined.reason, examined.detail) == (Inapplicable.OUTSIDE_POPULATION, "adults; here 12 a")


def test_marks_that_the_exam_calls_uncertain_are_no_bleed_to_tell_the_outcome_of(
    risk: BundleManifest, bleed: MaskFinding
) -> None:
    assert bleed.total is not None
    said = f"bleed of at least 1 mL; here {bleed.total.volume_ml:g} mL, uncertain"
    for probability, reason, detail in ((0.1, Inapplicable.OUTSIDE_POPULATION, said), (0.9, None, "")):
        marked = replace(bleed, exam_probability=probability, exam_threshold=0.5)
        examined = examine(risk, inputs_of(aged(63), earlier=(marked,)))
        assert (examined.reason, examined.detail) == (reason, detail)


def test_a_limit_that_cannot_be_judged_refuses_nobody_but_is_said(tmp_path: Path) -> None:
    manifest = load_manifest(write_age_risk(tmp_path))
    (age, sex) = manifest.needs.variables
    optional = manifest.needs.model_copy(update={"variables": (age.model_copy(update={"required": False}), sex)})
    limits = (*manifest.population, manifest.population[0].model_copy(update={"says": "no centenarians"}))
    examined = examine(manifest.model_copy(update={"needs": optional, "population": limits}), inputs_of())
    assert examined.reason is None
    assert examined.missing == ("Age", "Sex")
    unjudged = "It could not be judged whether the patient lies within the population: adults; no centenarians."
    assert examined.warnings == (unjudged,)


def test_every_input_that_is_used_changes_the_digest_and_no_other(risk: BundleManifest) -> None:
    given = ("hemorrhage", "sha256:a", "")
    sex = ContextValue(name="sex", value="male", source=ContextSource.HEADER)
    plain = inputs_digest(risk, PatientContext(values=(aged(63),)), [given])
    assert inputs_digest(risk, PatientContext(values=(aged(63), sex)), [given, ("edema", "sha256:z", "")]) == plain
    others = {
        inputs_digest(risk, PatientContext(values=(aged(64),)), [given]),
        inputs_digest(risk, PatientContext(values=(aged(63, "2026-01-02"),)), [given]),
        inputs_digest(risk, PatientContext(values=(replace(aged(63), source=ContextSource.HL7),)), [given]),
        inputs_digest(risk, PatientContext(), [given]),
        inputs_digest(risk, PatientContext(values=(aged(63),)), [("hemorrhage", "sha256:b", "")]),
        inputs_digest(risk, PatientContext(values=(aged(63),)), [("hemorrhage", "sha256:a", "other inputs")]),
    }
    assert len(others) == 6
    assert plain not in others


def test_a_model_of_images_alone_has_no_inputs_to_be_told_apart_by() -> None:
    manifest = load_manifest(BUILT_IN / "hemorrhage" / "bundle")
    assert inputs_digest(manifest, PatientContext(values=(aged(63),)), []) == ""


def test_of_a_report_the_outcome_after_a_bleed_is_told_from_the_indication_alone() -> None:
    manifest = load_manifest(BUILT_IN / "prognosis" / "bundle")
    assert [text.section for text in manifest.needs.texts] == ["indication"]
    sections = {
        name: ContextText(section=name, text="Large bleed.", source=ContextSource.HL7)
        for name in ("indication", "findings", "impression", "report")
    }
    nothing = inputs_digest(manifest, PatientContext(), [])
    told = {name: inputs_digest(manifest, PatientContext(texts=(text,)), []) for name, text in sections.items()}
    assert {name for name, digest in told.items() if digest != nothing} == {"indication"}
