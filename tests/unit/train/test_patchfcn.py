from __future__ import annotations

import pytest
import torch
from monai.networks.layers import DropPath

from dicomnode.train.slices.noisy_student import IGNORE, masked_bce, set_dropout, set_stochastic_depth
from dicomnode.zoo.hemorrhage.patchfcn import BasicBlock, DilatedResNet38, PatchFCN


@pytest.fixture(scope="module")
def network() -> PatchFCN:
    torch.manual_seed(1)
    return PatchFCN(dropout=0.2, drop_path=0.2)


def test_the_backbone_has_38_layers_and_26_million_parameters() -> None:
    backbone = DilatedResNet38()
    counted = sum(p.numel() for p in backbone.parameters())
    assert round(counted / 1e6, 1) == 26.0
    main_path = [
        module
        for name, module in backbone.named_modules()
        if isinstance(module, torch.nn.Conv2d) and "shortcut" not in name
    ]
    # 37 convolutions and, in the original, the classifier
    assert len(main_path) + 1 == 38
    assert {module.dilation[0] for module in main_path} == {1, 2, 4}


def test_both_branches_answer_in_the_size_of_the_input(network: PatchFCN) -> None:
    network.eval()
    with torch.inference_mode():
        features = network.backbone(torch.rand(1, 3, 64, 48))
        out = network(torch.rand(2, 3, 50, 34))
    assert features.shape == (1, 512, 8, 6)
    assert out.pixels.shape == (2, 1, 50, 34)
    assert out.slices.shape == (2, 1)


def test_stochastic_depth_rises_linearly_and_rests_in_evaluation(network: PatchFCN) -> None:
    rates = [module.drop_prob for module in network.modules() if isinstance(module, DropPath)]
    assert len(rates) == 16
    assert rates == pytest.approx([0.2 * k / 16 for k in range(1, 17)])
    network.eval()
    x = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(network(x).pixels, network(x).pixels)


def test_a_skipped_block_passes_its_shortcut() -> None:
    block = BasicBlock(4, 4, 1, 1, drop_path=0.5).train()
    x = torch.rand(64, 4, 5, 5)
    skipped = (block(x) == x).flatten(1).all(dim=1)
    assert 16 < int(skipped.sum()) < 48


def test_a_training_step_changes_every_part_and_lowers_the_loss(network: PatchFCN) -> None:
    torch.manual_seed(2)
    set_dropout(network, 0.0)
    set_stochastic_depth(network, 0.0)
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    image, truth = torch.rand(2, 3, 32, 32), torch.zeros(2, 1, 32, 32)
    image[:1, :, 8:24, 8:24] += 1.0
    truth[:1, :, 8:24, 8:24] = 1.0
    truth[:, :, :2] = IGNORE
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    losses = []
    for _ in range(3):
        out = network(image)
        loss = masked_bce(out.pixels, truth) + masked_bce(out.slices, truth.amax(dim=(2, 3)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert all(not torch.equal(value, before[name]) for name, value in network.named_parameters())
