"""A head on its small grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dicomnode.zoo.networks.head_grid import STEPS, as_floats, slab_weights, windowed


def test_slabs_between_slices_are_weighted_by_distance() -> None:
    weights = slab_weights(np.array([0.0, 5.0, 10.0]), np.array([5.0, 6.0]))
    assert weights[0].tolist() == pytest.approx([0.0, 1.0, 0.0])
    assert weights[1].tolist() == pytest.approx([0.0, 0.8, 0.2])


def test_a_slab_outside_of_the_scan_is_none_of_its_slices() -> None:
    weights = slab_weights(np.array([0.0, 5.0]), np.array([-2.5, -2.6, 7.5, 7.6]))
    assert weights.sum(dim=1).tolist() == pytest.approx([1.0, 0.0, 1.0, 0.0])


def test_thin_slices_are_averaged_and_wide_gaps_are_bridged() -> None:
    thin = slab_weights(np.arange(0.0, 20.0), np.array([10.0]))[0]
    assert int((thin > 0).sum()) == 9
    assert float(thin.sum()) == pytest.approx(1.0)
    wide = slab_weights(np.array([0.0, 10.0]), np.array([4.0]))[0]
    assert wide.tolist() == pytest.approx([0.6, 0.4])


def test_thin_slices_count_for_as_much_of_the_patient_as_they_show() -> None:
    offsets_mm = np.array([0.0, 1.0, 2.0, 3.0, 8.0])
    weights = slab_weights(offsets_mm, np.array([5.5]))[0]
    # 2.5 mm from both 3.0 and 8.0; 3.0 stands for (1 + 5) / 2 = 3 mm, 8.0 for 5 mm
    assert float(weights[4] / weights[3]) == pytest.approx(5.0 / 3.0)


def test_the_window_lies_about_the_brain() -> None:
    steps = windowed(torch.tensor([-100.0, 2.0, 32.0, 82.0, 300.0]), 32.0)
    assert steps.tolist() == [0, 0, 96, STEPS, STEPS]
    assert as_floats(steps)[0] == -1.0
    assert as_floats(steps)[-1] == pytest.approx(1.0)
    assert torch.equal(windowed(torch.tensor([40.0]), 30.0), windowed(torch.tensor([46.0]), 36.0))
