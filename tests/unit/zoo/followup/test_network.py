"""The network of the predicted follow-up scan."""

from __future__ import annotations

import math

import pytest
import torch

from dicomnode.zoo.followup.exam import EVIDENCE, evidence_of
from dicomnode.zoo.followup.network import FollowUpNetwork, channels_of
from dicomnode.zoo.followup.sizes import FollowUpParts

HOURS = torch.tensor([[6.0], [48.0]])


def network(parts: FollowUpParts | None = None) -> FollowUpNetwork:
    torch.manual_seed(1)
    return FollowUpNetwork("fast", parts).eval()


def heads() -> torch.Tensor:
    torch.manual_seed(2)
    image = torch.randn(2, 3, 4, 24, 20) * 20.0
    image[:, 1] = 1.0
    return image


def count(module: torch.nn.Module | None) -> int:
    return 0 if module is None else sum(value.numel() for value in module.parameters())


def test_sizes_are_those_of_the_specification() -> None:
    whole = network()
    # what looks about each voxel and at the piece comes on top: decisions 066, 094
    on_top = (whole.scan.around, whole.exam.readers, whole.exam.facts)
    assert count(whole) - sum(map(count, on_top)) == pytest.approx(0.34e6, rel=0.02)
    with torch.device("meta"):
        paper = FollowUpNetwork("paper")
    assert count(paper.encoder) == pytest.approx(13.5e6, rel=0.02)
    # 28.0 million less what concatenated skips would take: here the encoder speaks through its attention alone
    assert count(paper) == pytest.approx(26.4e6, rel=0.02)


def test_before_anything_is_learned_nothing_changes_and_nothing_bleeds() -> None:
    said = network()(heads(), HOURS)
    assert said.change_hu.shape == said.blood_logit.shape == (2, 4, 24, 20)
    assert said.exam_logit.shape == (2,)
    assert float(said.change_hu.detach().abs().mean()) < 1.5
    assert bool((said.blood_logit < -3.0).all())


def test_both_tasks_teach_the_one_map_and_each_its_own_values() -> None:
    whole = network()
    whole(heads(), HOURS).exam_logit.sum().backward()
    assert all(value.grad is not None and bool(value.grad.any()) for value in whole.maps.levels[0][0].qkv.parameters())
    assert all(value.grad is None for value in whole.generates.parameters())


def test_with_attention_of_its_own_the_exam_leaves_the_map_of_the_scan_alone() -> None:
    apart = network(FollowUpParts(shares=False))
    apart(heads(), HOURS).exam_logit.sum().backward()
    assert all(value.grad is None for value in apart.maps.parameters())
    assert count(apart) - count(network()) == count(apart.own_maps)


def test_a_network_of_one_task_has_one_decoder_and_says_nothing_of_the_other() -> None:
    scan, exam = network(FollowUpParts(classifies=False)), network(FollowUpParts(generates=False))
    assert not scan(heads(), HOURS).exam_logit.any()
    assert not exam(heads(), HOURS).change_hu.any()
    assert count(scan) < count(network()) > count(exam)


def test_hours_count_once_something_is_learned() -> None:
    learned = network()
    for level in learned.conditions.levels:
        torch.nn.init.normal_(level.weight, std=0.1)
    torch.nn.init.normal_(learned.scan.mix[2].weight)
    early, late = (learned(heads(), torch.full((2, 1), hours)).change_hu for hours in (6.0, 48.0))
    assert not torch.allclose(early, late)


def test_a_variable_that_is_not_known_is_no_number() -> None:
    told = network(FollowUpParts(variables=2))
    known = torch.tensor([[24.0, 1.0, 0.0], [24.0, torch.nan, 0.0]])
    assert bool(torch.isfinite(told.conditions(known)).all())
    assert not torch.equal(told.conditions(known)[0], told.conditions(known)[1])


def test_windows_lie_about_the_brain_and_are_cut_off() -> None:
    head = torch.tensor([-100.0, -30.0, 10.0, 50.0, 300.0])[None, None].repeat(1, 3, 1)
    head[:, 1] = 0.5
    narrow, wide, densest, within = channels_of(head)[0]
    assert narrow.tolist() == [-1.0, -1.0, 0.0, 1.0, 1.0]
    assert wide[-1] == densest[-1] == 1.0
    assert float(densest[3]) == pytest.approx(0.0)
    assert within.tolist() == [0.0] * 5


def test_how_much_fades_is_a_share_of_what_is_denser_than_brain() -> None:
    fading = network()
    last = fading.scan.mix[2]
    torch.nn.init.zeros_(last.weight)
    last.bias.data.copy_(torch.tensor([0.0, 0.0, -4.0, -4.0, -4.0]))  # log odds 0: half of it fades
    head = heads()
    change = fading(head, HOURS).change_hu
    assert torch.allclose(change, -0.5 * head[:, 0].clamp(0.0, 150.0), atol=1e-4)


def test_the_exam_goes_by_how_much_is_stained_how_dense_and_how_much_is_dead() -> None:
    head = torch.zeros(1, 3, 6, 20, 20)
    head[:, 1] = 1.0
    stained = torch.full((1, 2, 6, 20, 20), -30.0)
    stained[0, 0, 2:4, 5:10, 5:10] = 30.0  # 50 voxels of 54 microlitres
    head[0, 2, 3, 7, 7], head[0, 2, 0, 0, 0] = 70.0, 400.0  # bone at the edge is not asked
    stained[0, 0, 4, 12:14, 12:14] = 30.0  # a smaller piece, denser: calcium that was taken for staining
    head[0, 2, 4, 12, 12] = 150.0
    found = evidence_of(torch.full((1, 6, 20, 20), -30.0), stained, head)[0][0].tolist()
    assert len(found) == EVIDENCE
    blood_ml, stained_ml, dead_ml, densest = found[:4]
    assert blood_ml == dead_ml == pytest.approx(math.log(0.1))
    assert stained_ml == pytest.approx(math.log(54 * 0.054 + 0.1), rel=1e-3)
    assert densest == pytest.approx(150.0)
    of_piece, ml = found[6], found[12]
    assert of_piece == pytest.approx(70.0), "the larger piece counts"
    assert ml == pytest.approx(math.log(2.7 + 0.1), rel=1e-3)


def test_a_head_without_staining_has_no_piece() -> None:
    head, nothing = torch.zeros(1, 3, 6, 20, 20), torch.full((1, 2, 6, 20, 20), -30.0)
    head[:, 1] = 1.0
    found = evidence_of(torch.full((1, 6, 20, 20), -30.0), nothing, head)[0][0].tolist()
    assert found[6:12] == [-40.0] * 6
    assert found[12] == pytest.approx(math.log(0.1))


def test_until_it_is_taught_the_exam_goes_by_its_tokens_alone() -> None:
    said = network()(heads(), HOURS)
    assert torch.equal(said.exam_logit, said.token_logit)
