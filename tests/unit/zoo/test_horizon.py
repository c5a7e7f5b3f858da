"""Hours to what a model foretells are chosen by the configuration, within what was trained on, and said."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from dicomnode.config.whole import Config
from dicomnode.errors import BundleError
from dicomnode.records import PatientContext
from dicomnode.zoo.applicability import inputs_digest
from dicomnode.zoo.bundle import BundleManifest
from dicomnode.zoo.registry import Registry


def at(**horizons_h: float) -> BundleManifest:
    return Registry(horizons_h=horizons_h).manifest("followup")


def test_the_words_of_image_and_score_and_what_they_are_held_to_say_the_hours() -> None:
    for manifest, hours in ((at(), 24), (at(followup=48), 48), (at(followup=1.5), 1.5)):
        assert [image.horizon for image in manifest.images] == [f"{hours} h after this scan"]
        (score,) = manifest.scores
        assert f"on CT {hours} h after this scan" in score.definition
        assert score.foretells is not None
        assert (score.foretells.at_h, manifest.horizon_h) == (hours, hours)


def test_other_hours_are_other_inputs_and_the_bundles_own_are_what_they_were() -> None:
    digests = [
        inputs_digest(manifest, PatientContext(), ()) for manifest in (at(), at(followup=24.0), at(followup=6.0))
    ]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("horizons_h", "says"),
    [
        ({"followup": 0.5}, "lie outside of 1 to 72 h"),
        ({"followup": 96.0}, "lie outside of 1 to 72 h"),
        ({"hemorrhage": 6.0}, "leaves no choice"),
        ({"forecast": 6.0}, "no bundle here"),
    ],
)
def test_hours_that_nobody_was_trained_for_are_refused(horizons_h: dict[str, float], says: str) -> None:
    with pytest.raises(BundleError, match=says):
        Registry(horizons_h=horizons_h)


def test_hours_of_a_configuration_are_numbers_above_zero() -> None:
    assert Config.model_validate({"zoo": {"horizons_h": {"followup": 6}}}).zoo.horizons_h == {"followup": 6.0}
    with pytest.raises(ValidationError):
        Config.model_validate({"zoo": {"horizons_h": {"followup": 0}}})
