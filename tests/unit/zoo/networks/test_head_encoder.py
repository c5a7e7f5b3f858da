"""The encoder that tells what is painted."""

from __future__ import annotations

import pytest
import torch

from dicomnode.zoo.networks.head_encoder import BINS_HU, HeadEncoder, Histograms, lesion_of, pooled_of
from dicomnode.zoo.networks.head_facts import FACTS, KINDS
from dicomnode.zoo.networks.head_grid import SHAPE, windowed


def steps_of(hu: float) -> torch.Tensor:
    return windowed(torch.full((1, 1, *SHAPE), hu), 0.0)


def test_an_even_head_is_one_bin_in_every_block() -> None:
    shares = Histograms()(steps_of(-30.0))
    assert shares.shape == (1, len(BINS_HU), 8, 12, 12)
    assert torch.allclose(shares[:, 0], torch.tensor(1.0))
    assert float(shares[:, 1:].abs().max()) == 0.0


def test_a_value_between_two_bins_counts_for_both_by_its_distance() -> None:
    shares = Histograms()(steps_of(9.0))[0, :, 0, 0, 0]
    below = BINS_HU.index(6.0)
    assert shares[below].item() == pytest.approx(0.5, abs=0.03)  # the window has steps of 0.3 HU
    assert shares[below + 1].item() == pytest.approx(0.5, abs=0.03)
    assert shares.sum().item() == pytest.approx(1.0)


def test_a_lesion_is_where_its_tokens_are_and_looks_as_they_do() -> None:
    tokens, volumes_ml = torch.zeros(1, 3, 4, 6, 6), torch.zeros(1, len(KINDS), 4, 6, 6)
    tokens[0, 2, 3, 0, 5] = 7.0
    volumes_ml[0, KINDS.index("oedema"), 3, 0, 5] = 1e6
    assert lesion_of(tokens, volumes_ml, ("oedema",))[0].tolist() == pytest.approx([0.0, 0.0, 7.0, 1.0, -1.0, 1.0])
    assert float(lesion_of(tokens, volumes_ml, ("infarct",)).abs().max()) == 0.0


def test_tokens_are_pooled_by_mean_and_maximum() -> None:
    tokens = torch.arange(4.0).reshape(1, 1, 1, 2, 2)
    assert pooled_of(tokens).tolist() == [[1.5, 3.0]]


def test_it_tells_facts_of_a_head_and_volumes_of_its_tokens_from_image_or_histograms() -> None:
    torch.manual_seed(1)
    encoder, image = HeadEncoder().eval(), torch.randint(0, 256, (2, 1, *SHAPE), dtype=torch.uint8)
    told, again = encoder(image), encoder(Histograms()(image))
    assert told.facts.shape == (2, len(FACTS))
    assert told.tokens.shape == (2, len(KINDS), 4, 6, 6)
    assert torch.allclose(told.facts, again.facts)
