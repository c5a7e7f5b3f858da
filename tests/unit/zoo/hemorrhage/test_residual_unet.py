"""The fast network of the haemorrhage model."""

from __future__ import annotations

import pytest
import torch
from monai.networks.layers import DropPath

from dicomnode.train.slices.noisy_student import set_dropout, set_stochastic_depth
from dicomnode.zoo.hemorrhage.residual_unet import ResidualBlock, ResidualUNet


@pytest.fixture
def network() -> ResidualUNet:
    torch.manual_seed(1)
    return ResidualUNet(6, 4, (8, 16, 24))


@pytest.mark.parametrize(("rows", "columns"), [(32, 32), (52, 36), (27, 41)])
def test_the_answer_has_the_size_of_the_image(network: ResidualUNet, rows: int, columns: int) -> None:
    assert network.eval()(torch.zeros(2, 6, rows, columns)).shape == (2, 4, rows, columns)


def test_a_skipped_block_passes_its_shortcut() -> None:
    block = ResidualBlock(3, 3).train()
    block.skip.drop_prob = 1.0 - 1e-7
    image = torch.randn(2, 3, 8, 8)
    assert torch.allclose(block(image), torch.nn.functional.leaky_relu(image, 0.1))


def test_the_noise_of_the_student_reaches_every_block_and_rests_in_evaluation(network: ResidualUNet) -> None:
    assert set_stochastic_depth(network, 0.2) == 5
    rates = [module.drop_prob for module in network.modules() if isinstance(module, DropPath)]
    assert rates == pytest.approx([0.04, 0.08, 0.12, 0.16, 0.2])
    assert set_dropout(network, 0.2) == 1
    image = torch.randn(2, 6, 32, 32)
    network.eval()
    assert torch.equal(network(image), network(image))
    network.train()
    assert not torch.equal(network(image), network(image))
