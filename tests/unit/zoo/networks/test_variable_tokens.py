"""Variables as tokens, cross-attention, and the mixer, against what is computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from dicomnode.zoo.networks.variable_tokens import CrossAttention, Gaps, MixerBlock, VariableTokens


def test_a_variable_is_its_scaled_value_times_a_weight_plus_a_bias() -> None:
    tokens = VariableTokens(2, 3)
    tokens.mean[:], tokens.deviation[:] = torch.tensor([10.0, 0.0]), torch.tensor([2.0, 1.0])
    given = tokens(torch.tensor([[14.0, -1.0]]))
    assert torch.allclose(given[0, 0], 2.0 * tokens.weight[0] + tokens.bias[0])
    assert torch.allclose(given[0, 1], -tokens.weight[1] + tokens.bias[1])


def test_what_is_not_known_is_an_embedding_of_its_own_for_each_variable() -> None:
    tokens = VariableTokens(2, 3)
    given = tokens(torch.tensor([[torch.nan, torch.nan]]))[0]
    assert torch.equal(given, tokens.missing)
    assert not torch.equal(tokens.missing[0], tokens.missing[1])


def test_with_the_mean_in_its_place_what_is_not_known_is_as_an_average_value() -> None:
    tokens = VariableTokens(1, 3, Gaps.MEAN)
    tokens.mean[:] = 7.0
    assert torch.equal(tokens(torch.tensor([[torch.nan]])), tokens(torch.tensor([[7.0]])))


def test_a_share_of_the_variables_is_withheld_in_training_alone() -> None:
    torch.manual_seed(1)
    tokens = VariableTokens(400, 1, lost=0.5)
    values = torch.zeros(50, 400)
    withheld = (tokens(values) == tokens.missing).all(dim=-1).float().mean()
    assert float(withheld) == pytest.approx(0.25, abs=0.05)  # of a share that is 0 to 0.5
    assert not (tokens.eval()(values) == tokens.missing).all(dim=-1).any()


def test_a_value_far_out_counts_as_six_deviations() -> None:
    tokens = VariableTokens(1, 2)
    assert torch.equal(tokens(torch.tensor([[1e9]])), tokens(torch.tensor([[6.0]])))


def test_the_attention_of_each_head_sums_to_one_also_where_nothing_is_known() -> None:
    torch.manual_seed(2)
    ask = CrossAttention(8, 4)
    tokens = VariableTokens(5, 8)(torch.full((3, 5), torch.nan))
    found, weights = ask(torch.randn(3, 8), tokens)
    assert (found.shape, weights.shape) == ((3, 8), (3, 4, 5))
    assert torch.allclose(weights.sum(dim=2), torch.ones(3, 4))
    assert bool((weights >= 0).all())


def test_of_equal_tokens_each_gets_an_equal_share_of_the_attention() -> None:
    _, weights = CrossAttention(8, 2)(torch.randn(1, 8), torch.ones(1, 4, 8))
    assert torch.allclose(weights, torch.full((1, 2, 4), 0.25))


def test_a_mixer_block_is_the_published_equation() -> None:
    block = MixerBlock(2, 2, 2)
    one, across, channels = torch.eye(2), block.across_tokens, block.across_channels
    with torch.no_grad():
        for layer in (across[0], across[3], channels[0], channels[3]):
            layer.weight.zero_()
            layer.bias.zero_()
        across[0].weight.copy_(one)
        across[3].weight.copy_(2.0 * one)
    given = block(torch.tensor([[[3.0, 1.0], [5.0, 5.0]]]))[0]
    # LN of (3, 1) is (1, -1), of (5, 5) it is 0; gelu(1) = 0.8413, gelu(-1) = -0.1587; the second half adds nothing
    gelu = [x * (1.0 + math.erf(x / math.sqrt(2.0))) / 2.0 for x in (1.0, -1.0)]
    expected = torch.tensor([[3.0 + 2.0 * gelu[0], 1.0 + 2.0 * gelu[1]], [5.0, 5.0]])
    assert torch.allclose(given, expected, atol=1e-4)


def test_the_second_half_of_a_mixer_block_mixes_channels() -> None:
    block = MixerBlock(1, 2, 1)
    channels = block.across_channels
    with torch.no_grad():
        for part in (block.across_tokens[3], channels[0], channels[3]):
            part.weight.zero_()
            part.bias.zero_()
        channels[0].weight[0, 0] = 1.0
        channels[3].weight[1, 0] = 1.0
    given = block(torch.tensor([[[3.0, 1.0]]]))[0, 0]
    assert given.tolist() == pytest.approx([3.0, 1.0 + 0.8413], abs=1e-3)
