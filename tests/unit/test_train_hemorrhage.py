"""Training of the haemorrhage model, in small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dicomnode.train.hemorrhage.data import TrainingSeries, make_series
from dicomnode.train.hemorrhage.train import BUNDLE, WINDOW, Settings, SliceSampler, augment, blur, train
from dicomnode.zoo.parts import load_parts


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("heads")


@pytest.fixture(scope="module")
def series(cache: Path) -> list[TrainingSeries]:
    return [one for head in make_series(1, 3, 208, 1.0, cache=cache) for one in head]


def test_cached_heads_equal_fresh_ones(series: list[TrainingSeries]) -> None:
    fresh = next(iter(make_series(1, 1, 208, 1.0)))
    assert all(
        np.array_equal(a.hu, b.hu) and np.array_equal(a.mask, b.mask) for a, b in zip(fresh, series, strict=False)
    )


def test_a_bleeding_window_holds_blood(series: list[TrainingSeries]) -> None:
    hu, truth = SliceSampler(series, np.random.default_rng(0)).batch(10)
    assert hu.shape == (3, 10, WINDOW, WINDOW)
    assert [bool(one.any()) for one in truth] == [True] * 5 + [False] * 5


def test_augmentation_never_makes_blood_of_bone(series: list[TrainingSeries]) -> None:
    rng = np.random.default_rng(0)
    hu, truth = SliceSampler(series, rng).batch(8)
    changed, kept = augment(hu.clone(), truth.clone(), rng)
    assert changed.shape == hu.shape
    assert not torch.equal(changed, hu)
    assert float(kept.sum()) <= float(truth.sum())
    assert float(changed[1][:, None][kept > 0].max()) < 180.0


def test_blur_keeps_the_mean_and_spreads_an_edge() -> None:
    hu = torch.zeros(3, 2, 32, 32)
    hu[:, :, :, 16:] = 1000.0
    soft = blur(hu, torch.tensor([0.0, 1.2]))
    assert torch.allclose(soft[:, 0], hu[:, 0], atol=1e-3)
    assert 100.0 < float(soft[0, 1, 16, 15]) < 450.0
    assert float(soft[0, 1].mean()) == pytest.approx(500.0, abs=1.0)


def test_training_writes_weights_that_load_and_an_honest_report(
    cache: Path, tmp_path: Path, series: list[TrainingSeries]
) -> None:
    settings = Settings(
        seed=1, heads=3, steps=21, batch=2, processes=1, threads=1, test_heads=3, cache=cache, score_only=False
    )
    dice = train(settings, tmp_path)
    assert dice.shape == (2,)
    from safetensors.torch import load_file

    weights = load_file(tmp_path / "model.safetensors")
    load_parts(BUNDLE).network.load_state_dict(weights)
    assert {tensor.dtype for tensor in weights.values()} <= {torch.float16, torch.int64}
    assert "**synthetic**" in (tmp_path / "report.md").read_text()
