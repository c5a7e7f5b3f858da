"""The balance of two tasks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dicomnode.train.followup.balance import EVERY, GradNorm


def test_the_task_that_pulls_harder_is_weighed_down_until_both_pull_alike() -> None:
    shared, balance = nn.Parameter(torch.ones(2)), GradNorm(2)
    for _ in range(200):
        balance([9.0 * shared[0], shared[1]], shared)
    # both losses stay as they are, so both learn as fast: the pulls 9 w1 and w2 meet at w1 = 0.2
    assert balance.weights.tolist() == pytest.approx([0.2, 1.8], abs=0.1)


def test_the_task_that_lags_behind_is_weighed_up() -> None:
    shared, balance = nn.Parameter(torch.ones(2)), GradNorm(2)
    balance.first.copy_(torch.tensor([4.0, 1.0]))
    for _ in range(20 * EVERY):
        balance([shared[0], shared[1]], shared)
    assert balance.weights[1] > 1.2 > balance.weights[0]
    assert float(balance.weights.sum()) == pytest.approx(2.0)


def test_without_gradients_and_with_one_task_nothing_moves() -> None:
    shared = nn.Parameter(torch.ones(2))
    for balance, losses in ((GradNorm(1), [shared.sum()]), (GradNorm(2), [shared[0], 3.0 * shared[1]])):
        with torch.set_grad_enabled(len(losses) == 1):
            total = balance(losses, shared)
        assert total.item() == pytest.approx(sum(loss.item() for loss in losses))
        assert bool((balance.weights == 1.0).all())


def test_a_training_that_is_taken_up_again_knows_the_weights() -> None:
    shared, balance, again = nn.Parameter(torch.ones(2)), GradNorm(2), GradNorm(2)
    balance([9.0 * shared[0], shared[1]], shared)
    again.load_state_dict(balance.state_dict())
    assert torch.equal(again.weights, balance.weights)
    assert again.first.tolist() == [9.0, 1.0]
