"""From what a network says to findings: what is missing, misshapen or not finite is no finding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dicomnode.errors import InferenceError
from dicomnode.records import (
    ContextSource,
    ContextValue,
    ImageFinding,
    Inputs,
    MaskFinding,
    PatientContext,
    ScoreFinding,
)
from dicomnode.zoo.applicability import examine
from dicomnode.zoo.bundle import BundleManifest, load_manifest
from dicomnode.zoo.findings import findings_of
from dicomnode.zoo.reading.contract import Raw
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


def test_a_predicted_scan_lies_on_the_slices_that_were_read(tmp_path: Path) -> None:
    manifest = load_manifest(write_later_scan(tmp_path))
    (finding,) = found(manifest, later_scan=VOLUME.hu * 0.9)
    assert isinstance(finding, ImageFinding)
    assert finding.hu.dtype == np.float32
    assert (finding.horizon, finding.inputs_digest) == ("24 h after the baseline scan", "")


def test_specks_below_the_detection_limit_are_a_negative() -> None:
    manifest = load_manifest(BUILT_IN / "hemorrhage" / "bundle")
    probability = np.zeros(VOLUME.hu.shape, np.float32)
    probability[3, 10, 10] = 0.9
    (finding,) = found(manifest, hemorrhage=probability)
    assert isinstance(finding, MaskFinding)
    assert (finding.total, finding.lesions, bool(finding.mask.any())) == (None, (), False)
    assert finding.probability is None


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
