"""What is not known, and what a network is shown."""

from __future__ import annotations

import pytest
import torch

from dicomnode.zoo.deterioration.fusion import Channels, ConcatFusion, Council

NAN = float("nan")


@pytest.fixture
def network() -> ConcatFusion:
    torch.manual_seed(1)
    return ConcatFusion(3, 2).eval()


def test_what_is_not_known_is_told_from_what_is_average(network: ConcatFusion) -> None:
    text = torch.zeros(2, 2)
    average, unknown = network(torch.tensor([[0.0, 1.0, 2.0], [NAN, 1.0, 2.0]]), text).tolist()
    assert average != unknown


def test_an_empty_record_and_no_text_still_give_a_number(network: ConcatFusion) -> None:
    assert torch.isfinite(network(torch.full((1, 3), NAN), torch.full((1, 2), NAN))).all()


def test_each_channel_alone_does_not_see_the_other() -> None:
    variables, text = torch.randn(4, 3), torch.rand(4, 2)
    of_text = ConcatFusion(3, 2, channels=Channels.TEXT).eval()
    of_record = ConcatFusion(3, 2, channels=Channels.STRUCTURED).eval()
    assert torch.equal(of_text(variables, text), of_text(-variables, text))
    assert torch.equal(of_record(variables, text), of_record(variables, -text))
    assert not torch.equal(of_record(variables, text), of_record(-variables, text))


def test_an_absurd_value_counts_as_a_very_high_one(network: ConcatFusion) -> None:
    text = torch.zeros(2, 2)
    far, farther = network(torch.tensor([[1e3, 0.0, 0.0], [1e9, 0.0, 0.0]]), text).tolist()
    assert far == farther


def test_a_council_gives_the_mean_of_its_members() -> None:
    members = [ConcatFusion(3, 2).eval() for _ in range(3)]
    variables, text = torch.randn(5, 3), torch.rand(5, 2)
    mean = torch.stack([member(variables, text) for member in members]).mean(dim=0)
    assert torch.allclose(Council(members)(variables, text), mean)


def test_in_training_some_texts_are_withheld_so_that_their_absence_is_learned(network: ConcatFusion) -> None:
    torch.manual_seed(2)
    network.train()
    loss = network(torch.zeros(200, 3), torch.ones(200, 2)).sum()
    loss.backward()
    assert network.no_text.grad is not None
    assert network.no_text.grad.abs().sum() > 0.0
