"""What the reader of heads is shown while it learns to mark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from dicomnode.cohort.streams import stream
from dicomnode.train.engine import FitSettings
from dicomnode.train.head_reader.marking import (
    HEADS,
    SLABS,
    SlabBatches,
    batch_of,
    marking_loss,
    trained_to_mark,
)
from dicomnode.train.head_reader.painted import Heads
from dicomnode.zoo.networks.head_facts import KINDS
from dicomnode.zoo.networks.head_grid import SHAPE, windowed
from dicomnode.zoo.networks.head_reader import DEPTH_HU, PLACES, READ, SEEN, Marked

DARKNESS_HU = 9.0


def heads(count: int) -> Heads:
    """A dark block on the left of slabs 12 to 14, painted as oedema."""
    hu = torch.zeros(count, 1, *SHAPE)
    hu[:, :, 12:15, 30:50, 60:80] = -DARKNESS_HU
    shares = torch.zeros(count, len(KINDS), *PLACES, dtype=torch.uint8)
    shares[:, KINDS.index("oedema"), 12:15, 15:25, 30:40] = 255
    facts = torch.zeros(count, len(READ))
    facts[:, READ.index("darkness")] = DARKNESS_HU
    return Heads(windowed(hu, 0.0), shares, facts)


def test_slabs_with_a_finding_come_first_and_what_is_painted_lies_where_it_is_seen() -> None:
    batch = batch_of(heads(4), np.arange(4), stream(1, "test"))
    assert batch["slabs"].shape == (4 * SLABS, SEEN, 48, 48)
    painted = batch["shares"][:, KINDS.index("oedema")] > 0.5
    assert int(painted.any(dim=(1, 2)).sum()) == 4 * 3
    for slab in torch.where(painted.any(dim=(1, 2)))[0]:
        dark = batch["slabs"][slab, 8:12].mean(dim=0)  # the slab itself, mean of the four finer places
        assert float(dark[painted[slab]].mean()) < float(dark[~painted[slab]].mean()) - 0.3
    assert batch["darkness"].tolist() == [DARKNESS_HU] * len(batch["slabs"])


def test_heads_are_mirrored_together_with_what_is_painted() -> None:
    sides = set()
    for seed in range(6):
        batch = batch_of(heads(1), np.arange(1), stream(seed, "test"))
        columns = torch.where(batch["shares"][:, KINDS.index("oedema")].amax(dim=(0, 1)) > 0.5)[0]
        sides.add((int(columns.min()), int(columns.max())))
    assert sides == {(30, 39), (8, 17)}


def test_an_epoch_can_be_had_again() -> None:
    batches = SlabBatches(heads(2 * HEADS), 3)
    assert batches.steps == 2
    for epoch in (1, 2):
        torch.manual_seed(0)
        first = next(iter(batches(epoch)))
        torch.manual_seed(0)
        again = next(iter(batches(epoch)))
        assert torch.equal(first["slabs"], again["slabs"])


def test_the_loss_is_least_where_shares_and_depth_are_right() -> None:
    shares = torch.zeros(1, len(KINDS), 48, 48)
    shares[0, KINDS.index("infarct"), :10] = 1.0
    batch = {"shares": shares, "darkness": torch.tensor([DARKNESS_HU])}

    def loss(logits: torch.Tensor, depth: float) -> float:
        none = torch.zeros(1, 1, 48, 48)
        return float(marking_loss(Marked(logits, torch.full((1, 48, 48), depth), none, torch.zeros(1, 1)), batch))

    right = loss(40.0 * shares - 20.0, DARKNESS_HU / DEPTH_HU)
    assert right < 0.01
    assert loss(40.0 * shares - 20.0, DARKNESS_HU / DEPTH_HU + 1.0) > right + 0.4
    assert loss(torch.full_like(shares, -20.0), DARKNESS_HU / DEPTH_HU) > right + 0.4


def test_a_training_that_is_called_again_goes_on_where_it_stopped(tmp_path: Path) -> None:
    settings = FitSettings(epochs=2, learning_rate=1e-3, patience=0, device="cpu", averaging=0.5)
    first = trained_to_mark(tmp_path, heads(HEADS), settings)
    again = trained_to_mark(tmp_path, heads(HEADS), settings)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
