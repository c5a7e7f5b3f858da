"""What encoders of heads learn from: edges, mirrored heads, facts."""

from __future__ import annotations

import pytest
import torch

from dicomnode.train.edema.edges import blurred, sobel
from dicomnode.train.edema.encoders import HeadBatches, facts_loss, masked_loss, mirrored
from dicomnode.train.edema.facts import volumes_by_token
from dicomnode.zoo.networks.head_encoder import HeadEncoder
from dicomnode.zoo.networks.head_facts import FACTS, KINDS
from dicomnode.zoo.networks.head_grid import SHAPE, VOXEL_ML
from dicomnode.zoo.networks.masked import Views


def heads(count: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {
        "image": torch.randint(0, 256, (count, 1, *SHAPE), dtype=torch.uint8),
        "tokens": torch.rand(count, len(KINDS), 4, 6, 6),
        "facts": torch.randn(count, len(FACTS)),
    }


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


def test_a_mirrored_head_has_its_facts_mirrored_with_it() -> None:
    given = heads(2)
    changed = mirrored(given, torch.tensor([True, False]))
    assert torch.equal(changed["image"][0], given["image"][0].flip(-1))
    assert torch.equal(changed["tokens"][0], given["tokens"][0].flip(-1))
    assert torch.equal(changed["image"][1], given["image"][1])
    turned = changed["facts"][0] / given["facts"][0]
    assert [name for name, sign in zip(FACTS, turned.tolist(), strict=True) if sign < 0] == ["blood_x", "dark_x"]


def test_the_volumes_of_the_tokens_are_those_of_the_voxels_in_them() -> None:
    masks = torch.zeros(1, *SHAPE)
    masks[0, 8:16, 16:32, 80:96] = 1.0
    tokens = volumes_by_token(masks)
    assert tokens.shape == (1, 4, 6, 6)
    assert float(tokens[0, 1, 1, 5]) == pytest.approx(8 * 16 * 16 * VOXEL_ML)
    assert float(tokens.sum()) == pytest.approx(8 * 16 * 16 * VOXEL_ML)


def test_edges_count_less_from_epoch_to_epoch_and_an_epoch_can_be_had_again() -> None:
    batches = HeadBatches(heads(32), 1, 4)
    assert batches.steps == 2
    weights = [float(next(iter(batches(epoch)))["edges"]) for epoch in (1, 2, 4)]
    assert weights == pytest.approx([0.01, 0.0075, 0.0025])
    first, again = (next(iter(batches(3))) for _ in range(2))
    assert torch.equal(first["image"], again["image"])


def test_facts_that_are_not_known_do_not_count() -> None:
    torch.manual_seed(2)
    network, batch = HeadEncoder(), heads(2)
    told = network(batch["image"])
    known = facts_loss(told, batch).item()
    batch["facts"][0, 3] = torch.nan
    assert facts_loss(told, batch).item() != known
    batch["facts"][:], batch["tokens"][:] = torch.nan, torch.nan
    assert facts_loss(told, batch).item() == 0.0


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
