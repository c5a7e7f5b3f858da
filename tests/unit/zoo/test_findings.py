"""From what a network says to findings: what is missing, misshapen or not finite is no finding."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dicomnode.decision import Decision
from dicomnode.errors import InferenceError
from dicomnode.records import (
    PROBABILITY_SCALE,
    ContextSource,
    ContextValue,
    Contribution,
    ImageFinding,
    Inapplicable,
    Inputs,
    MaskFinding,
    NotApplicable,
    PatientContext,
    ScoreFinding,
)
from dicomnode.zoo.applicability import examine
from dicomnode.zoo.bundle import BundleManifest, load_manifest
from dicomnode.zoo.findings import findings_of
from dicomnode.zoo.reading.contract import Explained, NotFor, Predicted, Raw
from dicomnode.zoo.registry import BUILT_IN
from tests.tools.tiny_bundles import write_age_risk, write_later_scan
from tests.unit.encode.cases import EVEN, MODEL, case_of

VOLUME = case_of(EVEN).volume
AGE = PatientContext(values=(ContextValue(name="age", value=63.0, unit="a", source=ContextSource.HL7),))
INPUTS = Inputs(volume=VOLUME, context=AGE)


@pytest.fixture
def age_risk(tmp_path: Path) -> BundleManifest:
    return load_manifest(write_age_risk(tmp_path))


def found(manifest: BundleManifest, **raw: Raw) -> tuple[object, ...]:
    """The findings of what a network says."""
    return findings_of(manifest, MODEL, raw, INPUTS, examine(manifest, INPUTS))


def test_a_score_carries_its_inputs_and_their_digest_and_what_was_not_known(age_risk: BundleManifest) -> None:
    (finding,) = found(age_risk, age_risk=4.5)
    assert isinstance(finding, ScoreFinding)
    assert (finding.value, finding.unit, finding.threshold, finding.category) == (4.5, "{score}", 3.0, None)
    assert [(item.label, item.value, item.source) for item in finding.inputs] == [("Age", "63 a", "HL7")]
    assert finding.missing == ("Sex",)
    assert finding.inputs_digest == examine(age_risk, INPUTS).digest != ""


def test_a_score_may_be_explained_and_warn_of_what_it_could_not_use(age_risk: BundleManifest) -> None:
    contributions = (Contribution("Sex", -0.1), Contribution("Age", 2.0))
    explained = Explained(value=3.5, contributions=contributions, warnings=("The report is in another language.",))
    (score,) = found(age_risk, age_risk=explained)
    assert isinstance(score, ScoreFinding)
    assert score.value == 3.5
    assert [one.label for one in score.contributions] == ["Age", "Sex"]
    assert "The report is in another language." in score.warnings


def test_a_model_may_say_that_a_patient_lies_outside_of_its_population(age_risk: BundleManifest) -> None:
    (finding,) = found(age_risk, age_risk=NotFor("bleed of at least 1 mL; here 0.2 mL"))
    assert isinstance(finding, NotApplicable)
    assert (finding.reason, finding.detail) == (Inapplicable.OUTSIDE_POPULATION, "bleed of at least 1 mL; here 0.2 mL")
    assert finding.inputs_digest == examine(age_risk, INPUTS).digest


def test_where_a_score_comes_from_must_lie_on_the_slices(age_risk: BundleManifest) -> None:
    seen = np.zeros(VOLUME.hu.shape, np.uint8)
    (score,) = found(age_risk, age_risk=Explained(value=3.5, interval=(1.0, 6.0), attention=seen))
    assert isinstance(score, ScoreFinding)
    assert (score.interval, score.attention is seen) == ((1.0, 6.0), True)
    with pytest.raises(InferenceError, match="not that of the slices"):
        found(age_risk, age_risk=Explained(value=3.5, attention=seen[:, 1:]))


def test_a_predicted_scan_lies_on_the_slices_that_were_read(tmp_path: Path) -> None:
    manifest = load_manifest(write_later_scan(tmp_path))
    (finding,) = found(manifest, later_scan=VOLUME.hu * 0.9)
    assert isinstance(finding, ImageFinding)
    assert finding.hu.dtype == np.float32
    assert (finding.horizon, finding.inputs_digest) == ("24 h after the baseline scan", "")
    assert (finding.probability, finding.note) == (None, "")


def test_a_predicted_scan_may_carry_the_chance_of_what_it_does_not_show(tmp_path: Path) -> None:
    manifest = load_manifest(write_later_scan(tmp_path))
    chance = np.full(VOLUME.hu.shape, 0.25, np.float32)
    (finding,) = found(manifest, later_scan=Predicted(VOLUME.hu * 0.9, chance, "Blood on it: 35 %"))
    assert isinstance(finding, ImageFinding)
    assert finding.probability is not None
    assert set(finding.probability.ravel().tolist()) == {round(0.25 * PROBABILITY_SCALE)}
    assert finding.note == "Blood on it: 35 %"
    for wrong in (chance[1:], np.full_like(chance, np.nan)):
        with pytest.raises(InferenceError, match="later_scan"):
            found(manifest, later_scan=Predicted(VOLUME.hu, wrong, ""))


def test_specks_below_the_detection_limit_are_a_negative() -> None:
    manifest = load_manifest(BUILT_IN / "hemorrhage" / "bundle")
    probability = np.zeros(VOLUME.hu.shape, np.float32)
    probability[3, 10, 10] = 0.9
    (finding,) = found(manifest, hemorrhage=probability)
    assert isinstance(finding, MaskFinding)
    assert (finding.total, finding.lesions, bool(finding.mask.any())) == (None, (), False)
    assert finding.probability is None


def bundle_probability(*boxes: tuple[slice, slice, slice]) -> np.ndarray:  # type: ignore[type-arg]
    probability = np.zeros(VOLUME.hu.shape, np.float32)
    for box in boxes:
        probability[box] = 0.9
    return probability


BLEED, SPECK = (slice(4, 6), slice(40, 60), slice(40, 60)), (slice(9, 10), slice(60, 64), slice(40, 44))


def test_a_speck_beside_a_lesion_is_neither_counted_nor_drawn() -> None:
    manifest = load_manifest(BUILT_IN / "hemorrhage" / "bundle")
    (finding,) = found(manifest, hemorrhage=bundle_probability(BLEED, SPECK))
    assert isinstance(finding, MaskFinding)
    assert finding.total is not None
    assert finding.total.volume_ml == pytest.approx(4.0) == finding.lesions[0].volume_ml
    assert not finding.mask[9].any()


def test_a_mark_with_the_attenuation_of_bone_is_not_counted_but_said() -> None:
    manifest = load_manifest(BUILT_IN / "hemorrhage" / "bundle")
    hu = VOLUME.hu.copy()
    hu[BLEED] = 60
    hu[4:6, 40:60, 40:45] = 180  # a quarter of it; its mean is that of blood
    assert hu[BLEED].mean() == pytest.approx(90)
    inputs = Inputs(volume=replace(VOLUME, hu=hu), context=AGE)
    raw = {"hemorrhage": bundle_probability(BLEED)}
    (finding,) = findings_of(manifest, MODEL, raw, inputs, examine(manifest, inputs))
    assert isinstance(finding, MaskFinding)
    assert (finding.lesions, finding.total, finding.mask.any()) == ((), None, False)
    assert (finding.dense_pieces, finding.dense_ml) == (1, pytest.approx(4.0))
    assert finding.decision is not Decision.POSITIVE
    assert "80 HU above the brain" in finding.dense_rule


def test_the_marks_of_an_exam_below_its_threshold_are_uncertain() -> None:
    manifest = load_manifest(BUILT_IN / "hemorrhage" / "bundle")
    probability = np.where(bundle_probability(BLEED) > 0, np.float32(0.51), np.float32(0.0))
    (finding,) = found(manifest, hemorrhage=probability)
    assert isinstance(finding, MaskFinding)
    assert finding.lesions
    assert finding.decision is Decision.UNCERTAIN


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ({}, "gives no age_risk"),
        ({"age_risk": np.zeros((2, 2), np.float32)}, r"age_risk has shape \(2, 2\), not \(\)"),
        ({"age_risk": float("nan")}, "age_risk is not finite"),
    ],
)
def test_a_score_that_is_none_fails_the_run(age_risk: BundleManifest, raw: dict[str, Raw], says: str) -> None:
    with pytest.raises(InferenceError, match=says):
        found(age_risk, **raw)


@pytest.mark.parametrize("scan", [VOLUME.hu[1:], 0.5, np.full(VOLUME.hu.shape, np.inf, np.float32)])
def test_a_scan_that_does_not_fit_the_slices_fails_the_run(tmp_path: Path, scan: Raw) -> None:
    manifest = load_manifest(write_later_scan(tmp_path))
    with pytest.raises(InferenceError, match="later_scan"):
        found(manifest, later_scan=scan)
