"""Windows of a volume, maps of attention, and merging in the plane."""

from __future__ import annotations

import torch
from monai.networks.nets.swin_unetr import WindowAttention

from dicomnode.zoo.networks.in_plane import Expanding, InPlaneMerging
from dicomnode.zoo.networks.windows import AttentionMap, MappedBlock, SwinLevel, Windows

SHAPE, WINDOW = (4, 10, 8), (4, 6, 6)


def tokens(width: int = 8) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(2, *SHAPE, width)


def test_what_was_cut_into_windows_is_joined_as_it_was() -> None:
    for shifted in (False, True):
        windows = Windows.of(SHAPE, WINDOW, shifted=shifted)
        assert windows.padded == (4, 12, 12)
        assert torch.equal(windows.joined(windows.parts(tokens()), 2), tokens())


def test_a_window_as_large_as_the_volume_is_not_shifted() -> None:
    windows = Windows.of((4, 6, 12), WINDOW, shifted=True)
    assert windows.shift == (0, 0, 3)
    assert Windows.of((4, 6, 6), WINDOW, shifted=True).mask(torch.device("cpu")) is None


def test_a_map_sums_to_one_and_ends_that_a_shift_joins_do_not_see_each_other() -> None:
    torch.manual_seed(2)
    attention = AttentionMap(8, 2, WINDOW)
    windows = Windows.of(SHAPE, WINDOW, shifted=True)
    found = attention(tokens(), windows).detach()
    assert found.shape == (8, 2, 144, 144)
    assert torch.allclose(found.sum(dim=-1), torch.ones(8, 2, 144))
    # the last window of the shifted volume holds its first rows and columns behind its last ones
    rows = torch.arange(144) // 6 % 6
    assert float(found[3][:, rows < 3][:, :, rows >= 3].max()) < 1e-20


def test_with_its_own_values_a_map_is_the_attention_of_monai() -> None:
    torch.manual_seed(3)
    theirs = WindowAttention(8, 2, WINDOW, qkv_bias=True)
    ours, block = AttentionMap(8, 2, WINDOW), MappedBlock(8, 2)
    ours.norm = block.norm = block.second = block.mlp = torch.nn.Identity()
    ours.qkv.load_state_dict({"weight": theirs.qkv.weight[:16], "bias": theirs.qkv.bias[:16]})
    ours.relative_position_bias_table = theirs.relative_position_bias_table
    block.values.load_state_dict({"weight": theirs.qkv.weight[16:], "bias": theirs.qkv.bias[16:]})
    block.project = theirs.proj
    x, windows = tokens(), Windows.of(SHAPE, WINDOW, shifted=True)
    once = x + windows.joined(theirs(windows.parts(x), windows.mask(x.device)), 2)
    assert torch.allclose(block(x, ours(x, windows), windows), 2.0 * once, atol=1e-5)


def test_tokens_are_merged_and_spread_in_the_plane_alone() -> None:
    merged = InPlaneMerging(8)(tokens())
    assert merged.shape == (2, 4, 5, 4, 16)
    assert Expanding(16, 8)(merged).shape == (2, 4, 10, 8, 8)
    merge, other = InPlaneMerging(8), tokens()
    other[:, 2] += torch.randn(8)
    assert [bool(slab.any()) for slab in (merge(tokens()) - merge(other))[0]] == [False, False, True, False]


def test_a_spread_token_lies_where_it_was() -> None:
    expand = Expanding(2, 2, (2, 2, 2))
    x = torch.zeros(1, 3, 3, 3, 2)
    x[0, 1, 2, 0, 0] = 1.0
    there = (expand(x) - expand(torch.zeros_like(x))).abs().sum(dim=-1)[0]
    assert {tuple(place) for place in torch.nonzero(there > 1e-6).tolist()} <= {
        (a, b, c) for a in (2, 3) for b in (4, 5) for c in (0, 1)
    }
    assert float(there.sum().detach()) > 0.0


def test_a_level_of_two_blocks_sees_beyond_its_windows() -> None:
    torch.manual_seed(4)
    x = tokens()
    other = x.clone()
    other[:, :, 5] += torch.randn(8)  # the last row of the first window
    for depth, reaches in ((1, False), (2, True)):
        level = SwinLevel(8, 2, depth, WINDOW).eval()
        beyond = (level(x) - level(other))[:, :, 6].abs().max()
        assert (float(beyond.detach()) > 1e-6) is reaches
