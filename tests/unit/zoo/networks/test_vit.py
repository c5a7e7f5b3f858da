"""Transformers for volumes, and the masked autoencoder."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from dicomnode.zoo.networks.masked import MaskedAutoencoder, SelfSupervised, VitDecoder, patched, unpatched
from dicomnode.zoo.networks.vit import FAST, PAPER, VitEncoder, places_of

TINY = replace(PAPER, volume=(16, 16, 16))
"""The paper's layers on a small input."""


def parameters(network: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def test_encoder_and_decoder_of_the_paper_have_its_numbers_of_weights() -> None:
    with torch.device("meta"):
        encoder, decoder = VitEncoder(PAPER), VitDecoder(PAPER)
    assert parameters(encoder) == pytest.approx(85.5e6, rel=0.02)
    assert parameters(decoder) == pytest.approx(25.9e6, rel=0.02)
    assert PAPER.tokens == (12, 12, 12)


def test_the_paper_size_takes_a_training_step_on_a_small_input() -> None:
    torch.manual_seed(1)
    network = SelfSupervised(TINY)
    views = network(torch.randint(0, 256, (2, 1, 16, 16, 16), dtype=torch.uint8))
    assert views.decoded.shape == (2, 1, 16, 16, 16)
    (views.decoded.square().mean() + views.asked.square().mean()).backward()
    weight = network.autoencoder.encoder.embedding.weight
    assert weight.grad is not None
    before = weight.detach().clone()
    torch.optim.AdamW(network.parameters(), lr=1e-4).step()
    assert not torch.equal(before, weight)


def test_the_fast_size_gives_a_vector_for_each_of_144_patches() -> None:
    tokens = VitEncoder()(torch.zeros(2, 1, 32, 96, 96, dtype=torch.uint8))
    assert tokens.shape == (2, 96, 4, 6, 6)


def test_patches_put_together_are_the_volume_again() -> None:
    volumes = torch.arange(2 * 32 * 96 * 96, dtype=torch.float32).reshape(2, 1, 32, 96, 96)
    assert torch.equal(unpatched(patched(volumes, FAST), FAST), volumes)
    first = patched(volumes, FAST)[0, 0].reshape(8, 16, 16)
    assert torch.equal(first, volumes[0, 0, :8, :16, :16])


def test_three_of_four_patches_are_taken_out_others_each_time_and_all_are_decoded() -> None:
    torch.manual_seed(2)
    network = MaskedAutoencoder()
    decoded, gone, pooled = network(torch.rand(2, 1, 32, 96, 96))
    assert gone.sum(dim=1).tolist() == [108, 108]
    assert not torch.equal(gone[0], gone[1])
    assert (decoded.shape, pooled.shape) == ((2, 1, 32, 96, 96), (2, 96))


def test_what_is_taken_out_does_not_reach_the_encoder() -> None:
    network = MaskedAutoencoder().eval()
    image = torch.rand(1, 1, 32, 96, 96)
    torch.manual_seed(3)
    _, gone, first = network(image)
    hidden = unpatched(gone.float()[..., None].expand(-1, -1, FAST.voxels), FAST)
    torch.manual_seed(3)
    _, _, second = network(torch.where(hidden > 0, 9.0, image))
    assert torch.allclose(first, second, atol=1e-5)


def test_places_are_told_apart_and_each_wave_is_a_sine_or_cosine() -> None:
    places = places_of((2, 3, 3), 14)
    assert places.shape == (18, 14)
    assert len({tuple(row) for row in places.tolist()}) == 18
    assert torch.equal(places[0], torch.tensor([0.0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0]))
