"""What is told of heads that were learned from and of others, and readings that are drawn for patients without one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dicomnode.cohort.lesions import Lesions
from dicomnode.train.head_reader.painted import PAINTED, facts_of
from dicomnode.train.head_reader.telling import TOLD, Errors, explained, taught_to_tell, told_of_others
from dicomnode.zoo.networks.head_reader import READ, SUMMARY


def test_facts_are_those_of_the_lesions_that_were_drawn() -> None:
    lesions = Lesions(iph_ml=20.0, sdh_ml=3.0, edh_ml=1.0, oedema_ml=9.0, oedema_hu=7.5, infarct_depth_hu=4.0)
    facts = facts_of(lesions)
    assert list(facts) == list(PAINTED)
    assert facts["painted_intraparenchymal"] == pytest.approx(np.log1p(20.0))
    assert facts["painted_extra_axial"] == pytest.approx(np.log1p(4.0))
    assert facts["painted_oedema"] == pytest.approx(np.log1p(9.0))
    assert facts["painted_darkness"] == 7.5


def summaries() -> tuple[torch.Tensor, torch.Tensor]:
    """Facts that the summaries show, but for some noise."""
    generator = torch.Generator().manual_seed(3)
    facts = torch.rand(2000, len(READ), generator=generator) * 4.0
    shown = torch.randn(2000, SUMMARY, generator=generator)
    shown[:, : len(READ)] = facts + 0.3 * torch.randn(facts.shape, generator=generator)
    return shown, facts


def test_a_teller_learns_what_summaries_show() -> None:
    shown, facts = summaries()
    teller = taught_to_tell(shown[:1600], facts[:1600])
    with torch.inference_mode():
        shares = explained(facts[1600:], teller(shown[1600:]))
    assert min(shares.values()) > 0.6  # 279 sums say nothing else, and there are 1,600 heads


def test_of_others_no_more_is_told_than_can_be_known() -> None:
    shown, facts = summaries()
    own = explained(facts, taught_to_tell(shown, facts)(shown).detach())
    others = explained(facts, told_of_others(shown, facts))
    assert all(others[name] < own[name] for name in READ)


def test_a_reading_is_what_is_true_with_the_error_of_a_like_head_of_the_same_arm() -> None:
    facts = torch.zeros(4, len(READ))
    facts[:, 4] = torch.tensor([1.0, 1.1, 1.2, 5.0])
    told = facts.clone()
    told[:, 4] += torch.tensor([0.5, 0.5, 9.0, 0.5])
    errors = Errors(facts, told, ["ich", "ich", "trauma", "ich"])
    painted = {name: 0.0 for name in PAINTED} | {"painted_oedema": 1.05}
    for seed in range(20):
        assert errors.drawn(painted, "ich", seed)["read_oedema"] == pytest.approx(1.55)
    assert errors.drawn(painted, "trauma", 1)["read_oedema"] == pytest.approx(10.05)
    assert list(errors.drawn(painted, "ich", 1)) == list(TOLD)


def test_no_reading_lies_below_zero() -> None:
    facts = torch.ones(2, len(READ))
    errors = Errors(facts, torch.zeros(2, len(READ)), ["ich", "ich"])
    assert min(errors.drawn(dict.fromkeys(PAINTED, 0.25), "ich", 1).values()) == 0.0
