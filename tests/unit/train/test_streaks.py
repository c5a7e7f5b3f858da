from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dicomnode.train.slices.streaks import RandStreaksd, hardening, project, project_back, starvation

SIZE, PIXEL_MM = 64, 2.0


def disc(radius: float, row: float = 31.5, column: float = 31.5) -> NDArray[np.bool_]:
    y, x = np.ogrid[:SIZE, :SIZE]
    return np.asarray(np.hypot(y - row, x - column) < radius)


def head(*petrous: tuple[float, float]) -> NDArray[np.float32]:
    """Air, brain of 30 HU, and pieces of dense bone."""
    hu = np.where(disc(28), 30.0, -1000.0)
    for place in petrous:
        hu[disc(5, *place)] = 1500.0
    return hu.astype(np.float32)[None]


def test_a_ray_through_the_middle_of_a_disc_measures_its_width() -> None:
    rays = project(disc(20).astype(np.float32)[None], PIXEL_MM)
    assert rays[0, :, 31:33].mean() == pytest.approx(2 * 20 * PIXEL_MM, rel=0.03)
    assert rays[0, :, 5].max() == 0.0


def test_what_was_projected_comes_back() -> None:
    back = project_back(project(40.0 * disc(20).astype(np.float32)[None], PIXEL_MM), PIXEL_MM)[0]
    assert back[disc(15)].mean() == pytest.approx(40.0, rel=0.05)
    assert abs(back[~disc(26)].mean()) < 2.0


def test_between_two_dense_bones_it_is_dark() -> None:
    error = hardening(head((31.5, 12.0), (31.5, 51.0)), PIXEL_MM)[0]
    between, above = error[30:34, 26:38].mean(), error[12:20, 26:38].mean()
    assert between < above - 5.0


def test_one_round_bone_draws_no_band() -> None:
    error = hardening(head((31.5, 31.5)), PIXEL_MM)[0]
    beside, above = error[28:36, 44:52].mean(), error[12:20, 28:36].mean()
    assert beside == pytest.approx(above, abs=0.5)


def test_rays_through_much_bone_are_noisier() -> None:
    rng = np.random.RandomState(5)
    noise = np.concatenate([starvation(head((31.5, 12.0), (31.5, 51.0)), PIXEL_MM, rng) for _ in range(6)])
    along, across = noise[:, 29:35, 24:40], noise[:, 10:16, 24:40]
    # along the line of both bones neighbours agree: streaks
    together = np.mean(along[:, :, 1:] * along[:, :, :-1]) / along.var()
    apart = np.mean(across[:, :, 1:] * across[:, :, :-1]) / across.var()
    assert together > apart + 0.1


def test_only_a_share_of_the_samples_is_changed_and_the_same_seed_changes_alike() -> None:
    image = {"image": torch.from_numpy(np.repeat(head((31.5, 12.0), (31.5, 51.0)), 3, axis=0))}
    drawn = []
    for _ in range(2):
        streaks = RandStreaksd("image", 1.0, 0.5)
        streaks.set_random_state(seed=7)
        drawn.append([streaks(image)["image"] for _ in range(20)])
    assert all(torch.equal(first, second) for first, second in zip(*drawn, strict=True))
    changed = sum(not torch.equal(one, image["image"]) for one in drawn[0])
    assert 4 <= changed <= 16
