"""Blood is faded toward brain: as far as asked, with the noise left in it, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dicomnode.train.slices.faint import LEAST_HU, RandFaintd, faded

BRAIN_HU, CLOT_HU, NOISE_HU = 34.0, 62.0, 4.0


@pytest.fixture
def clot() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Three slices of noisy brain with a square clot, and bone at one edge of the clot."""
    rng = np.random.default_rng(0)
    blood = np.zeros((3, 64, 64), np.float32)
    blood[:, 20:44, 20:44] = 1.0
    hu = BRAIN_HU + (CLOT_HU - BRAIN_HU) * blood + NOISE_HU * rng.standard_normal(blood.shape)
    hu[:, 20:44, 41:44] = 700.0
    return hu.astype(np.float32), blood


@pytest.mark.parametrize("left_hu", [6.0, 12.0, 20.0])
def test_a_clot_keeps_as_much_above_brain_as_asked(
    clot: tuple[NDArray[np.float32], NDArray[np.float32]], left_hu: float
) -> None:
    hu, blood = clot
    seen = faded(hu, blood, left_hu, BRAIN_HU)[:, 22:42, 22:39]
    assert seen.mean() == pytest.approx(BRAIN_HU + left_hu, abs=1.0)
    assert seen.std() == pytest.approx(NOISE_HU, rel=0.15)


def test_brain_away_from_the_clot_and_bone_stay_as_they_are(
    clot: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> None:
    hu, blood = clot
    away = np.ones(blood.shape, np.bool_)
    away[:, 14:50, 14:50] = False
    changed = faded(hu, blood, 6.0, BRAIN_HU)
    np.testing.assert_array_equal(changed[away], hu[away])
    np.testing.assert_array_equal(changed[hu > 600.0], hu[hu > 600.0])


def test_blood_that_is_fainter_already_stays_as_it_is(clot: tuple[NDArray[np.float32], NDArray[np.float32]]) -> None:
    hu, blood = clot
    np.testing.assert_array_equal(faded(hu, blood, CLOT_HU - BRAIN_HU + 3.0, BRAIN_HU), hu)


def test_a_training_sees_blood_of_every_attenuation_and_the_share_is_kept(
    clot: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> None:
    hu, blood = clot
    change = RandFaintd("image", "blood", BRAIN_HU, 0.5)
    change.set_random_state(3)
    seen = [change({"image": torch.from_numpy(hu), "blood": torch.from_numpy(blood)}) for _ in range(40)]
    assert all("blood" not in sample for sample in seen)
    left = np.array([float(sample["image"][:, 22:42, 22:39].mean()) - BRAIN_HU for sample in seen])
    assert np.count_nonzero(left > CLOT_HU - BRAIN_HU - 1.0) == pytest.approx(20, abs=8)
    assert left.min() == pytest.approx(LEAST_HU, abs=3.0)


def test_a_slice_without_blood_is_left_alone(clot: tuple[NDArray[np.float32], NDArray[np.float32]]) -> None:
    hu = torch.from_numpy(clot[0])
    sample = RandFaintd("image", "blood", BRAIN_HU, 1.0)({"image": hu, "blood": torch.zeros_like(hu)})
    assert sample["image"] is hu
