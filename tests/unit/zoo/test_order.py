"""Models run after those whose findings they need."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicomnode.errors import BundleError
from dicomnode.zoo.bundle import BundleManifest, load_manifest
from dicomnode.zoo.order import run_order
from dicomnode.zoo.registry import BUILT_IN
from tests.tools.tiny_bundles import write_age_risk, write_bleed_risk, write_later_scan


@pytest.fixture
def hemorrhage() -> BundleManifest:
    return load_manifest(BUILT_IN / "hemorrhage" / "bundle")


def needing(manifest: BundleManifest, name: str, gives: str, *findings: str) -> BundleManifest:
    """A model of another name that gives one score and needs findings."""
    output = manifest.gives[0].model_copy(update={"name": gives})
    needs = manifest.needs.model_copy(update={"findings": findings})
    return manifest.model_copy(update={"name": name, "gives": (output,), "needs": needs})


def names(*manifests: BundleManifest) -> list[str]:
    return [manifest.name for manifest in run_order(manifests)]


def test_the_giver_runs_first_whatever_the_list_says(tmp_path: Path, hemorrhage: BundleManifest) -> None:
    risk, age = load_manifest(write_bleed_risk(tmp_path / "a")), load_manifest(write_age_risk(tmp_path / "b"))
    assert names(risk, age, hemorrhage) == ["age_risk", "hemorrhage", "bleed_risk"]
    assert names(hemorrhage, risk, age) == ["hemorrhage", "bleed_risk", "age_risk"]


def test_a_need_that_nobody_serves_is_named(tmp_path: Path) -> None:
    risk = load_manifest(write_bleed_risk(tmp_path))
    with pytest.raises(BundleError, match="bleed_risk needs the finding 'hemorrhage', which no model"):
        run_order([risk])


def test_no_model_reads_a_scan_that_was_predicted(tmp_path: Path) -> None:
    later, age = load_manifest(write_later_scan(tmp_path / "a")), load_manifest(write_age_risk(tmp_path / "b"))
    with pytest.raises(BundleError, match="reader needs 'later_scan', a predicted scan: no model reads"):
        run_order([later, needing(age, "reader", "x", "later_scan")])


def test_a_circle_is_named(tmp_path: Path) -> None:
    age = load_manifest(write_age_risk(tmp_path))
    first, second = needing(age, "first", "x", "y"), needing(age, "second", "y", "x")
    with pytest.raises(BundleError, match=r"circle: (first -> second -> first|second -> first -> second)"):
        run_order([first, second])


def test_two_models_may_not_give_findings_of_one_name(hemorrhage: BundleManifest) -> None:
    other = hemorrhage.model_copy(update={"name": "other"})
    with pytest.raises(BundleError, match="hemorrhage and other both give a finding called 'hemorrhage'"):
        run_order([hemorrhage, other])
