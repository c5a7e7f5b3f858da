"""What a bundle's section may say, and how the first layout of the section is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dicomnode.errors import BundleError
from dicomnode.zoo.bundle import METADATA, BundleManifest, bundle_digest, load_manifest
from dicomnode.zoo.manifest import Limit, MaskOutput, Reading, ScoreOutput
from dicomnode.zoo.registry import BUILT_IN
from tests.tools.tiny_bundles import write_age_risk, write_bleed_risk

HEMORRHAGE = BUILT_IN / "hemorrhage" / "bundle"


def changed(bundle: Path, **changes: Any) -> BundleManifest:
    """The manifest with some keys of its section replaced."""
    file = bundle / METADATA
    content = json.loads(file.read_text())
    content["dicomnode"] |= changes
    file.write_text(json.dumps(content))
    return load_manifest(bundle)


def test_a_section_in_the_first_layout_is_read_as_it_is_written_now(tmp_path: Path) -> None:
    content = json.loads((HEMORRHAGE / METADATA).read_text())
    section = content["dicomnode"]
    section |= {"input": section.pop("needs")["image"], "outputs": section.pop("gives")}
    del section["reads"]
    (tmp_path / METADATA).parent.mkdir(parents=True)
    (tmp_path / METADATA).write_text(json.dumps(content))
    digest = bundle_digest(tmp_path)
    old, new = load_manifest(tmp_path), load_manifest(HEMORRHAGE)
    assert old.model_dump(exclude={"path"}) == new.model_dump(exclude={"path"})
    assert bundle_digest(tmp_path) == digest  # what was imported is pinned: reading it must not rewrite it


def test_an_imported_bundle_in_the_first_layout_reads_volumes(tmp_path: Path) -> None:
    content = json.loads((HEMORRHAGE / METADATA).read_text())
    section = content["dicomnode"]
    (output,) = section.pop("gives")
    section |= {
        "input": section.pop("needs")["image"],
        "outputs": [{**output, "channel": 1}],
        "volume": {"channels": 2},
    }
    del section["reads"]
    (tmp_path / METADATA).parent.mkdir(parents=True)
    (tmp_path / METADATA).write_text(json.dumps(content))
    assert load_manifest(tmp_path).reads is Reading.VOLUME


def test_masks_and_scores_are_told_apart_by_their_kind(tmp_path: Path) -> None:
    assert [type(output) for output in load_manifest(HEMORRHAGE).gives] == [MaskOutput]
    manifest = load_manifest(write_bleed_risk(tmp_path))
    assert (manifest.masks, manifest.images) == ((), ())
    (score,) = manifest.scores
    assert isinstance(score, ScoreOutput)
    assert (score.unit, score.threshold) == ("1", 0.5)
    assert manifest.needs.image is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"gives": [{"kind": "rumour", "name": "x", "label": "X"}]}, "gives"),
        ({"gives": [{"kind": "score", "name": "x", "label": "X"}] * 2}, "same name"),
        ({"gives": [{"kind": "score", "name": "longer_than_a_code", "label": "X"}]}, "name"),
        ({"population": [{"says": "no", "variable": "weight", "min": 1}]}, "no such finding or variable"),
        ({"population": [{"says": "no", "variable": "age"}]}, "min, max or among"),
        ({"population": [{"says": "no", "variable": "age", "finding": "hemorrhage", "min": 1}]}, "one of them"),
        ({"reads": "planes"}, "needs an image"),
        ({"volume": {"channels": 2}}, "belong together"),
    ],
)
def test_a_section_that_contradicts_itself_is_refused_in_words(
    tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    bundle = write_age_risk(tmp_path)
    with pytest.raises(BundleError, match=says):
        changed(bundle, **changes)


def test_a_limit_judges_numbers_by_range_and_words_by_list() -> None:
    adults = Limit(says="adults", variable="age", min=18)
    assert adults.holds(18)
    assert not adults.holds(17.9)
    assert not adults.holds("old")
    untreated = Limit(says="no thrombectomy", variable="thrombectomy", among=(False,))
    assert untreated.holds(False)
    assert not untreated.holds(True)


def test_a_bundle_may_ask_for_a_longer_run_but_not_for_a_shorter_one(tmp_path: Path) -> None:
    bundle = write_age_risk(tmp_path / "bundle")
    assert load_manifest(bundle).limit_s(300.0) == 300.0
    assert changed(bundle, run_limit_s=480.0).limit_s(300.0) == 480.0
    assert changed(bundle, run_limit_s=480.0).limit_s(900.0) == 900.0
    with pytest.raises(BundleError, match="run_limit_s"):
        changed(bundle, run_limit_s=0.0)
