"""The readers of the piece: each learns from other heads; what is told of a head comes from the one that did not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dicomnode.train.followup import piece
from dicomnode.train.followup.piece import crossed
from dicomnode.zoo.followup import piece as zoo_piece
from dicomnode.zoo.followup.exam import READERS
from dicomnode.zoo.followup.piece import CROP, LAYERS

HEADS = 96


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo_piece, "WIDTH", 8)


@pytest.fixture(scope="module")
def heads() -> tuple[torch.Tensor, torch.Tensor]:
    """A bright spot in the second layer whose height is the fact."""
    rng = np.random.default_rng(3)
    density = rng.uniform(-1.5, 1.5, HEADS)
    crops = np.zeros((HEADS, LAYERS, *CROP), np.float32)
    crops[:, 1, 4:6, 11:13, 11:13] = (density + 2.0)[:, None, None, None]
    return torch.from_numpy(crops), torch.tensor(density, dtype=torch.float32)[:, None]


def test_a_reader_tells_of_heads_that_it_has_not_seen(heads: tuple[torch.Tensor, torch.Tensor]) -> None:
    readers, told = crossed(*heads, 1, progress=False)
    error = float((told - heads[1]).var() / heads[1].var())
    assert (len(readers), told.shape) == (READERS, heads[1].shape)
    assert error < 0.6
    own = torch.cat([readers[number % READERS](heads[0][number : number + 1]) for number in range(8)])
    assert torch.allclose(told[:8], own, atol=1e-4)


def test_a_head_has_no_say_in_what_is_told_of_it(
    heads: tuple[torch.Tensor, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(piece, "EPOCHS", 1)
    crops, facts = heads
    changed = facts.clone()
    changed[5] += 100.0
    before, after = (crossed(crops, some, 1, progress=False)[1] for some in (facts, changed))
    share = torch.arange(HEADS) % READERS == 5 % READERS
    assert torch.equal(before[share], after[share])
    assert not torch.equal(before[~share], after[~share])
