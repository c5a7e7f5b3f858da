"""The fusion of head and record."""

from __future__ import annotations

import pytest
import torch

from dicomnode.zoo.edema.mixer import PAPER, AttentionMixer, Channels, MixerSize
from dicomnode.zoo.edema.network import EdemaNetwork

FEATURES, VARIABLES = 7, 5


def network(channels: Channels = Channels.FUSED, size: MixerSize | None = None) -> AttentionMixer:
    torch.manual_seed(1)
    return AttentionMixer(FEATURES, VARIABLES, channels, size).eval()


def patients(count: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(2)
    return torch.randn(count, FEATURES), torch.randn(count, VARIABLES)


def test_head_and_record_both_count() -> None:
    features, variables = patients()
    fused = network()
    whole = fused(features, variables)
    assert whole.shape == (4,)
    assert not torch.allclose(whole, fused(features, torch.full_like(variables, torch.nan)))
    assert not torch.allclose(whole, fused(torch.full_like(features, torch.nan), variables))


def test_a_network_of_one_channel_does_not_look_at_the_other() -> None:
    features, variables = patients()
    image, record = network(Channels.IMAGE), network(Channels.RECORD)
    assert torch.equal(image(features, variables), image(features, variables.flip(0)))
    assert torch.equal(record(features, variables), record(features.flip(0), variables))


def test_with_nothing_known_it_still_answers() -> None:
    nothing = network()(torch.full((1, FEATURES), torch.nan), torch.full((1, VARIABLES), torch.nan))
    assert bool(torch.isfinite(nothing).all())


@pytest.mark.parametrize("size", [MixerSize(attends=False), MixerSize(mixes=False), MixerSize(gaps="mean")])
def test_parts_can_be_left_out_for_comparison(size: MixerSize) -> None:
    features, variables = patients()
    logits, weights = network(size=size).explained(features, variables)
    assert logits.shape == (4,)
    assert (weights is None) == (not size.attends)


def test_what_a_patient_is_told_does_not_depend_on_who_else_is_asked() -> None:
    features, variables = patients()
    fused = network()
    alone = torch.cat([fused(features[i : i + 1], variables[i : i + 1]) for i in range(4)])
    assert torch.allclose(fused(features, variables), alone, atol=1e-5)


def test_the_paper_size_stays_below_two_million_weights_and_takes_a_step() -> None:
    fused = AttentionMixer(768, 33, size=PAPER)
    assert sum(weight.numel() for weight in fused.parameters()) < 2_000_000
    fused(torch.randn(2, 768), torch.randn(2, 33)).sum().backward()
    assert fused.logit.weight.grad is not None
    before = fused.logit.weight.detach().clone()
    torch.optim.AdamW(fused.parameters(), lr=1e-3).step()
    assert not torch.equal(before, fused.logit.weight)


def test_the_attention_of_the_council_is_a_share_of_each_variable() -> None:
    whole = EdemaNetwork(2).eval()
    features, variables = torch.randn(1, whole.heads.width), torch.randn(1, 33)
    attention = whole.attention(features, variables)
    assert attention.shape == (1, 33)
    assert float(attention.detach().sum()) == pytest.approx(1.0, abs=1e-5)
