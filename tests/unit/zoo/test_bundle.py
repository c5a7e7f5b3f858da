"""Manifests, digests and the registry."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dicomnode.errors import BundleError, Refusal, SeriesError
from dicomnode.train.hemorrhage.recipes import detector_learner
from dicomnode.train.outputs.figures import titles_of
from dicomnode.train.outputs.output import figures_of_all
from dicomnode.zoo import registry
from dicomnode.zoo.bundle import METADATA, bundle_digest, load_manifest, misfits, require_fit
from dicomnode.zoo.registry import Registry, open_bundle, pin, read_safetensors_header
from tests.unit.zoo.volumes import make_volume

BUILT_IN = Path(registry.__file__).parent / "hemorrhage" / "bundle"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BUILT_IN, tmp_path / "copy"))


def _edit(bundle: Path, **changes: object) -> None:
    file = bundle / METADATA
    content = json.loads(file.read_text())
    content["dicomnode"].update(changes)
    file.write_text(json.dumps(content))


def test_the_manifest_says_what_the_model_is() -> None:
    manifest = load_manifest(BUILT_IN)
    assert manifest.name == "hemorrhage"
    assert manifest.research
    assert "synthetic" in manifest.trained_on
    (output,) = manifest.gives
    assert (output.name, output.detection_limit_ml) == ("hemorrhage", 0.8)
    assert (output.type.value, output.type.scheme) == ("50960005", "SCT")
    assert manifest.model_ref("sha256:00").research


def test_every_fault_of_a_manifest_is_named_at_once(bundle: Path) -> None:
    _edit(bundle, research="perhaps", gives=[], surprise=1)
    with pytest.raises(BundleError) as caught:
        load_manifest(bundle)
    for key in ("dicomnode.research", "dicomnode.gives", "dicomnode.surprise"):
        assert key in str(caught.value)


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_missing_or_broken_manifest_is_a_bundle_error(bundle: Path, content: str | None) -> None:
    (bundle / METADATA).unlink()
    if content is not None:
        (bundle / METADATA).write_text(content)
    with pytest.raises(BundleError, match=r"metadata\.json"):
        load_manifest(bundle)


def test_a_changed_byte_changes_the_digest(bundle: Path) -> None:
    before = bundle_digest(bundle)
    assert before == bundle_digest(BUILT_IN)
    weights = bundle / "models" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert bundle_digest(bundle) != before


def test_a_renamed_or_added_file_changes_the_digest(bundle: Path) -> None:
    digests = {bundle_digest(bundle)}
    (bundle / "configs" / "more.json").write_text("{}")
    digests.add(bundle_digest(bundle))
    (bundle / "configs" / "more.json").rename(bundle / "configs" / "other.json")
    digests.add(bundle_digest(bundle))
    assert len(digests) == 3


def test_the_model_card_and_caches_do_not_change_the_digest(bundle: Path) -> None:
    before = bundle_digest(bundle)
    (bundle / "docs" / "README.md").write_text("other words")
    (bundle / "configs" / "__pycache__").mkdir()
    (bundle / "configs" / "__pycache__" / "x.pyc").write_bytes(b"1")
    assert bundle_digest(bundle) == before


def test_the_model_card_has_the_figures_of_the_report() -> None:
    card = (BUILT_IN / "docs" / "README.md").read_text()
    report = Path(registry.__file__).parents[2] / "docs" / "models" / "hemorrhage" / "figures.json"
    figures = json.loads(report.read_text())["as_shipped"]
    assert "dice_large" in figures
    titles = titles_of(figures_of_all(detector_learner().outputs))
    for name, (value, low, high) in figures.items():
        assert f"| {titles[name]} | {value:.3f} ({low:.3f} to {high:.3f}) |" in card


def test_an_empty_folder_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        bundle_digest(tmp_path)


def test_the_built_in_bundles_verify() -> None:
    verified = Registry().verify()
    assert [one.manifest.name for one in verified] == ["deterioration", "edema", "followup", "hemorrhage", "prognosis"]
    for one in verified:
        assert one.parameters > 100_000
        assert not one.pinned
        assert (one.manifest.path / "models" / "model.safetensors").stat().st_size < 8_000_000


def test_a_pinned_digest_is_accepted_and_a_wrong_one_refused_failure_mode_20() -> None:
    digest = bundle_digest(BUILT_IN)
    assert Registry(digests={"hemorrhage": digest}).get("hemorrhage").pinned
    wrong = Registry(digests={"hemorrhage": "sha256:" + "0" * 64})
    with pytest.raises(BundleError, match="is pinned"):
        wrong.get("hemorrhage")
    with pytest.raises(BundleError, match="is pinned"):
        wrong.verify()


def test_a_further_bundle_is_found_below_a_configured_folder(bundle: Path) -> None:
    _edit(bundle, name="another")
    found = Registry(paths=[bundle.parent])
    assert [manifest.name for manifest in found.list()] == [
        "another",
        "deterioration",
        "edema",
        "followup",
        "hemorrhage",
        "prognosis",
    ]
    assert found.get("another").digest != found.get("hemorrhage").digest


def test_wrong_paths_names_and_pins_are_all_named(bundle: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(BundleError) as caught:
        Registry(paths=[bundle, empty], digests={"unknown": "sha256:0"})
    for words in ("is taken by", "holds no bundle", "pinned for unknown"):
        assert words in str(caught.value)


def test_a_model_taken_out_of_its_folder_leaves_no_fault_behind(bundle: Path) -> None:
    models = bundle.parent
    pin(models, "gone", "sha256:0")
    metadata = json.loads((bundle / METADATA).read_text())
    metadata["dicomnode"]["name"] = "copied"
    (bundle / METADATA).write_text(json.dumps(metadata))
    assert not Registry([models]).get("copied").pinned
    pin(models, "copied", Registry([models]).get("copied").digest)
    assert Registry([models]).get("copied").pinned
    with pytest.raises(BundleError, match="pinned for gone"):
        Registry([models], {"gone": "sha256:0"})


def test_a_model_is_found_by_either_spelling_also_where_it_is_pinned() -> None:
    digest = Registry().get("hemorrhage").digest
    assert Registry(digests={"haemorrhage": digest}).get("haemorrhage").pinned
    with pytest.raises(BundleError, match="is pinned"):
        Registry(digests={"haemorrhage": "sha256:00"}).get("hemorrhage")


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(BundleError, match="there are: deterioration, edema, followup, hemorrhage, prognosis"):
        Registry().get("nothing")


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 100, (2).to_bytes(8, "little") + b"[]"])
def test_what_is_no_safetensors_file_is_refused(bundle: Path, content: bytes) -> None:
    (bundle / "models" / "model.safetensors").write_bytes(content)
    with pytest.raises(BundleError, match="safetensors"):
        open_bundle(bundle)


def test_weights_that_were_cut_short_are_refused(bundle: Path) -> None:
    weights = bundle / "models" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(BundleError, match="cut short"):
        read_safetensors_header(weights)


def test_geometry_outside_the_limits_is_refused() -> None:
    manifest = load_manifest(BUILT_IN)
    positions = np.arange(6.0)[:, None] * np.array([0.0, 0.0, 15.0])
    volume = make_volume(
        np.zeros((6, 8, 8), np.float32), positions, np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), (2.0, 2.0)
    )
    assert len(misfits(manifest, volume.stack)) == 3
    with pytest.raises(SeriesError) as caught:
        require_fit(manifest, volume.stack)
    assert caught.value.refusal is Refusal.OUTSIDE_INTENDED_USE
