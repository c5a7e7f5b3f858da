"""Dense inference: what one pass over everything gives, in tiles."""

from __future__ import annotations

import pytest
import torch

from dicomnode.zoo.networks.deepmedic import DeepMedic
from dicomnode.zoo.networks.dense import class_probabilities

WHOLE = (slice(0, 36), slice(0, 30), slice(0, 42))


def tiny(seed: int) -> DeepMedic:
    """A small network of the same kind whose normalisation has learned something."""
    torch.manual_seed(seed)
    network = DeepMedic(3, scales=(3, 2, 1), path_maps=(3, 4, 4), hidden_maps=(6, 6)).eval()
    for name, value in network.named_buffers():
        if name.endswith(("mean", "var")):
            value.uniform_(0.5, 1.5)
    for value in network.parameters():
        value.data += 0.3 * torch.randn_like(value)
    return network


@pytest.fixture
def image() -> torch.Tensor:
    torch.manual_seed(5)
    return torch.rand(36, 30, 42) * 2.0 - 1.0


def in_one_pass(network: DeepMedic, image: torch.Tensor) -> torch.Tensor:
    """(classes, z, y, x) by the network's own forward pass, the edge of the volume repeated."""
    padded = torch.nn.functional.pad(image[None, None], (network.margin,) * 6, mode="replicate")
    with torch.no_grad():
        return torch.softmax(network(padded)[0], dim=0)


@pytest.mark.parametrize("tile", [8, 18, 100])
def test_tiles_of_any_size_give_what_one_pass_gives(image: torch.Tensor, tile: int) -> None:
    network = tiny(1)
    found = class_probabilities([network], image, WHOLE, tile=tile)
    assert torch.allclose(found, in_one_pass(network, image), atol=1e-5)
    assert float(found.std()) > 0.05


def test_a_box_that_begins_and_ends_anywhere_is_cut_from_the_whole(image: torch.Tensor) -> None:
    network, box = tiny(1), (slice(4, 17), slice(0, 29), slice(31, 42))
    found = class_probabilities([network], image, box)
    assert found.shape == (3, 13, 29, 11)
    assert torch.allclose(found, in_one_pass(network, image)[:, *box], atol=1e-5)


def test_only_wanted_voxels_need_an_answer(image: torch.Tensor) -> None:
    network, wanted = tiny(1), torch.zeros(36, 30, 42, dtype=torch.bool)
    wanted[20:23, 3, 40] = True
    found = class_probabilities([network], image, WHOLE, wanted, tile=12)
    assert torch.allclose(found[:, wanted], in_one_pass(network, image)[:, wanted], atol=1e-5)
    assert not found[:, :18].any()
    assert not found[..., :36].any()


def test_planes_of_thick_slices_are_judged_as_if_all_were(image: torch.Tensor) -> None:
    network, wanted = tiny(1), torch.zeros(36, 30, 42, dtype=torch.bool)
    wanted[[0, 5, 6, 17, 35], 4:25, 7:40] = True
    found = class_probabilities([network], image, WHOLE, wanted, tile=20)
    assert torch.allclose(found[:, wanted], in_one_pass(network, image)[:, wanted], atol=1e-5)
    assert not found[:, ~wanted].any()


def test_several_networks_are_averaged(image: torch.Tensor) -> None:
    networks = [tiny(1), tiny(2)]
    alone = [class_probabilities([network], image, WHOLE) for network in networks]
    assert torch.allclose(class_probabilities(networks, image, WHOLE), (alone[0] + alone[1]) / 2, atol=1e-6)
    assert not torch.allclose(alone[0], alone[1], atol=0.01)


def test_nothing_beyond_the_margin_of_a_block_matters_and_what_is_within_does(image: torch.Tensor) -> None:
    network, box = tiny(1), (slice(18, 24), slice(12, 18), slice(18, 24))
    before = class_probabilities([network], image, box)
    outside = image.clone()
    outside[: 18 - network.margin] = 1.0
    outside[24 + network.margin :] = 1.0
    assert torch.equal(class_probabilities([network], outside, box), before)
    within = image.clone()
    within[18 - network.margin + 1] = 1.0  # the middle of the lowest coarse voxel that is read
    assert not torch.allclose(class_probabilities([network], within, box), before, atol=1e-4)


def test_a_first_joining_layer_that_adds_its_input_is_no_exception(image: torch.Tensor) -> None:
    torch.manual_seed(3)
    network = DeepMedic(3, scales=(3, 2, 1), path_maps=(3, 4), hidden_maps=(12,)).eval()
    assert network.joining[0].adds
    found = class_probabilities([network], image, WHOLE)
    assert torch.allclose(found, in_one_pass(network, image), atol=1e-5)
