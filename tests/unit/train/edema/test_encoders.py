"""What the encoder that fills in heads learns from: edges, what was taken out."""

from __future__ import annotations

import pytest
import torch

from dicomnode.train.edema.edges import blurred, sobel
from dicomnode.train.edema.encoders import HeadBatches, masked_loss
from dicomnode.zoo.networks.head_grid import SHAPE
from dicomnode.zoo.networks.masked import Views


def heads(count: int) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randint(0, 256, (count, 1, *SHAPE), dtype=torch.uint8)


def test_the_gradient_of_a_ramp_is_its_slope_along_its_axis_alone() -> None:
    ramp = 3.0 * torch.arange(8.0)[:, None].expand(6, 8, 7)[None, None]
    inner = sobel(ramp)[0, :, 1:-1, 1:-1, 1:-1]
    assert torch.allclose(inner[1], torch.tensor(3.0), atol=1e-5)
    assert float(inner[[0, 2]].abs().max()) < 1e-5


def test_smoothing_keeps_what_is_even_and_spreads_a_point_by_the_gaussian() -> None:
    assert torch.allclose(blurred(torch.full((1, 1, 9, 9, 9), 2.0), 2.0), torch.tensor(2.0))
    point = torch.zeros(1, 1, 15, 15, 15)
    point[0, 0, 7, 7, 7] = 1.0
    spread = blurred(point, 2.0)[0, 0]
    assert float(spread.sum()) == pytest.approx(1.0, abs=1e-5)
    assert float(spread[7, 7, 9] / spread[7, 7, 7]) == pytest.approx(0.6065, abs=1e-3)  # exp(-1/2)


def test_edges_count_less_from_epoch_to_epoch_and_an_epoch_can_be_had_again() -> None:
    batches = HeadBatches(heads(32), 1, 4)
    assert batches.steps == 2
    weights = [float(next(iter(batches(epoch)))["edges"]) for epoch in (1, 2, 4)]
    assert weights == pytest.approx([0.01, 0.0075, 0.0025])
    first, again = (next(iter(batches(3))) for _ in range(2))
    assert torch.equal(first["image"], again["image"])


def test_the_masked_loss_looks_at_what_was_taken_out_alone() -> None:
    target = torch.zeros(1, 1, *SHAPE)
    gone = torch.zeros(1, 144, dtype=torch.bool)
    gone[0, 0] = True
    decoded = target.clone()
    decoded[0, 0, :8, :16, :16] = 2.0  # the first patch, wrong by 2 in each voxel
    decoded[0, 0, 8:] = 5.0
    same = torch.ones(2, 4)
    views = Views(target, decoded, gone, same, same)
    loss = masked_loss(views, {"edges": torch.tensor(0.0)})
    assert float(loss) == pytest.approx(4.0 - 0.001)
