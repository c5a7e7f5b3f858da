"""The reader of heads: what its slabs are shown, what is marked, and what that adds up to."""

from __future__ import annotations

import pytest
import torch

from dicomnode.zoo.networks.head_facts import KINDS
from dicomnode.zoo.networks.head_grid import SHAPE, windowed
from dicomnode.zoo.networks.head_reader import (
    PLACE_ML,
    PLACES,
    READ,
    SEEN,
    SUMMARY,
    WIDTHS,
    HeadReader,
    Marked,
    all_slabs_of,
    marks_of,
    slabs_of,
    summary_of,
)


def image(hu: torch.Tensor) -> torch.Tensor:
    return windowed(hu, 0.0)[None, None]


def test_a_slab_is_shown_with_its_neighbours_and_its_mirror_image() -> None:
    hu = torch.zeros(SHAPE)
    hu[10, 40:42, 20:22] = -15.0  # one place of the coarser grid, dark by one unit of the window
    seen = all_slabs_of(image(hu))
    assert seen.shape == (PLACES[0], SEEN, 48, 48)
    dark = {
        (slab, window)
        for slab in (8, 9, 10, 11, 12)
        for window in range(8)
        if float(seen[slab, 4 * window : 4 * window + 4].amin()) < -0.9
    }
    # two below, itself, two above; then one below to one above, mirrored: the slab above it sees it below
    assert dark == {(12, 0), (11, 1), (10, 2), (9, 3), (8, 4), (11, 5), (10, 6), (9, 7)}
    assert float(seen[10, 8:12, 20, 10].amax()) < -0.9
    assert float(seen[10, 24:28, 20, 48 - 1 - 10].amax()) < -0.9


def test_slabs_are_shown_alike_alone_and_with_all_others_and_know_where_they_lie() -> None:
    heads = torch.randint(0, 256, (2, 1, *SHAPE), dtype=torch.uint8)
    seen, whole = slabs_of(heads, torch.tensor([1, 0]), torch.tensor([0, 31])), all_slabs_of(heads)
    assert torch.equal(seen, whole[[PLACES[0], PLACES[0] - 1]])
    height, row, aside = seen[0, -3:]
    assert (height.unique().tolist(), row[0, 0].item(), row[-1, 0].item()) == ([-1.0], -1.0, 1.0)
    assert aside[0, 0].item() == aside[0, -1].item() == 1.0
    assert float(aside.min()) < 0.03


def test_what_is_marked_in_all_slabs_is_added_up_to_volumes() -> None:
    shares = torch.full((PLACES[0], len(KINDS), 48, 48), -30.0)
    shares[3:5, KINDS.index("oedema"), 10:12, 10:15] = 30.0
    fine = torch.zeros(PLACES[0], WIDTHS[0], 48, 48)
    fine[3:5, 7, 10:12, 10:15] = 2.0
    marked = Marked(shares, torch.full((PLACES[0], 48, 48), 1.25), fine, torch.zeros(PLACES[0], WIDTHS[-1]))
    hu = torch.zeros(SHAPE)
    hu[:, :, :60] = -15.0  # all that is marked is dark by one unit of the window
    summary = summary_of(marked, image(hu))[0]
    assert summary.shape == (SUMMARY,)
    volumes_ml = torch.expm1(summary[: len(KINDS)])
    assert float(volumes_ml[KINDS.index("oedema")]) == pytest.approx(20 * PLACE_ML, rel=1e-3)
    assert float(volumes_ml.sum()) == pytest.approx(20 * PLACE_ML, rel=1e-3)
    lowest = summary[3 * len(KINDS) + 2 : 3 * len(KINDS) + 8]
    assert lowest.tolist() == pytest.approx([-1.0] * 3 + [0.0] * 3, abs=0.02)  # oedema; no infarct
    within = summary[-2 * WIDTHS[0] :]  # means of each fine channel within oedema, then within the infarct
    assert float(within[7]) == pytest.approx(2.0 * 20 * PLACE_ML / (20 * PLACE_ML + 0.2), rel=1e-3)
    assert float(within.sum()) == pytest.approx(float(within[7]), rel=1e-3)
    depth = summary[3 * len(KINDS)]
    assert float(depth) == pytest.approx(1.25 * 20 * PLACE_ML / (20 * PLACE_ML + 0.2), rel=1e-3)


def test_a_reader_tells_every_fact_of_every_head_and_none_below_zero() -> None:
    torch.manual_seed(0)
    with torch.inference_mode():
        told = HeadReader().eval()(torch.randint(0, 256, (2, 1, *SHAPE), dtype=torch.uint8))
    assert told.shape == (2, len(READ))
    assert float(told.min()) >= 0.0


def test_what_is_marked_lies_in_the_slabs_of_its_own_head() -> None:
    torch.manual_seed(0)
    reader, heads = HeadReader().eval(), torch.randint(0, 256, (2, 1, *SHAPE), dtype=torch.uint8)
    with torch.inference_mode():
        marks, slab = marks_of(reader.look(heads)), reader.slabs(slabs_of(heads, torch.tensor([1]), torch.tensor([9])))
    assert marks.shape == (2, len(KINDS), *PLACES)
    assert torch.allclose(marks[1, :, 9], slab.shares[0].sigmoid(), atol=1e-4)


def test_each_head_is_told_of_by_itself() -> None:
    torch.manual_seed(0)
    reader, heads = HeadReader().eval(), torch.randint(0, 256, (2, 1, *SHAPE), dtype=torch.uint8)
    assert torch.allclose(reader(heads)[1], reader(heads[1:])[0], atol=1e-4)


def test_heads_like_a_known_one_are_marked_as_if_all_of_them_had_been_looked_at() -> None:
    torch.manual_seed(0)
    reader = HeadReader().eval()
    known = torch.randint(0, 256, (1, 1, *SHAPE), dtype=torch.uint8)
    heads = known.repeat(3, 1, 1, 1, 1)
    heads[0, 0, 0], heads[1, 0, 12:14], heads[1, 0, 31] = 10, 200, 90  # the third is the known one itself
    changed = (heads != known).flatten(3).any(dim=3)[:, 0]
    with torch.inference_mode():
        again, anew = reader.look_again(heads, reader.look(known), changed), reader.look(heads)
        untouched = reader.look_again(known, reader.look(known), changed[2:])
    for told, asked in zip(again, anew, strict=True):
        assert torch.allclose(told, asked, atol=1e-4)
    assert torch.equal(untouched.shares, reader.look(known).shares)


def test_only_slabs_that_show_something_new_are_looked_at_again() -> None:
    reader, seen = HeadReader().eval(), list[int]()
    reader.slabs.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    known = torch.zeros(1, 1, *SHAPE, dtype=torch.uint8)
    changed = torch.zeros(2, PLACES[0], dtype=torch.bool)
    changed[0, 10], changed[1, 31] = True, True
    with torch.inference_mode():
        reader.look_again(known.repeat(2, 1, 1, 1, 1), reader.look(known), changed)
    assert seen == [PLACES[0], 5 + 3]  # each with the two below and above that there are
