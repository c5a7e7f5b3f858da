"""Attention within windows of a volume, the map of attention apart from what it is applied to.

Windows, masks and tables of relative positions are MONAI's; what is new is that one map serves several values.
Reference: Liu et al., ICCV 2021 (Swin transformer).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from monai.networks.blocks import MLPBlock
from monai.networks.nets.swin_unetr import (
    SwinTransformerBlock,
    WindowAttention,
    compute_mask,
    get_window_size,
    window_partition,
    window_reverse,
)
from torch import nn

Sizes = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Windows:
    """How the tokens of a volume fall into windows.

    Attributes
    ----------
    shape : tokens (slabs, rows, columns). size : of a window. shift : by which the windows are moved.
    """

    shape: Sizes
    size: Sizes
    shift: Sizes

    @classmethod
    def of(cls, shape: Sizes, size: Sizes, *, shifted: bool) -> Windows:
        """Windows no larger than the volume; moved by half of their size, where there are several along an axis."""
        half = tuple(length // 2 if shifted else 0 for length in size)
        fitted, moved = get_window_size(shape, size, half)
        return cls(shape, fitted, moved)

    @property
    def padded(self) -> Sizes:
        """Tokens along each axis, filled up to whole windows."""
        a, b, c = (-(-count // size) * size for count, size in zip(self.shape, self.size, strict=True))
        return a, b, c

    def parts(self, x: torch.Tensor) -> torch.Tensor:
        """(volumes * windows, tokens of a window, width) from (volumes, slabs, rows, columns, width)."""
        more = [extra for axis in (2, 1, 0) for extra in (0, self.padded[axis] - self.shape[axis])]
        filled = nn.functional.pad(x, (0, 0, *more))
        moved = torch.roll(filled, tuple(-step for step in self.shift), dims=(1, 2, 3))
        cut: torch.Tensor = window_partition(moved, self.size)
        return cut

    def joined(self, parts: torch.Tensor, volumes: int) -> torch.Tensor:
        """The way back of :meth:`parts`."""
        moved = window_reverse(parts, self.size, [volumes, *self.padded])
        whole = torch.roll(moved, self.shift, dims=(1, 2, 3))
        a, b, c = self.shape
        return whole[:, :a, :b, :c]

    def mask(self, device: torch.device) -> torch.Tensor | None:
        """(windows, tokens, tokens) to be added to logits, so that ends of the volume that a shift has brought
        together do not see each other; None without a shift."""
        if not any(self.shift):
            return None
        mask: torch.Tensor = compute_mask(self.padded, self.size, self.shift, device)
        return mask


class SwinLevel(nn.Module):
    """Swin blocks of one level, every second one shifted. MONAI's ``BasicLayer`` does the same, but wants ``einops``.

    Parameters
    ----------
    width, heads : of the attention. depth : blocks. window : its largest size.
    """

    def __init__(self, width: int, heads: int, depth: int, window: Sizes) -> None:
        super().__init__()
        self.window = window
        none, half = (0, 0, 0), tuple(length // 2 for length in window)
        self.blocks = nn.ModuleList(
            [SwinTransformerBlock(width, heads, window, half if place % 2 else none) for place in range(depth)]
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of the shape of ``x`` (volumes, slabs, rows, columns, width)."""
        a, b, c = x.shape[1:4]
        mask = Windows.of((a, b, c), self.window, shifted=True).mask(x.device)
        for block in self.blocks:
            x = block(x, mask)
        return x


class AttentionMap(WindowAttention):  # type: ignore[misc]
    """``A = softmax(q k^T / sqrt(d) + B)`` of tokens, to be applied to the values of others.

    Parameters
    ----------
    width, heads : of the attention. window : its largest size.
    """

    def __init__(self, width: int, heads: int, window: Sizes) -> None:
        super().__init__(width, heads, window, qkv_bias=True)
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 2 * width)
        self.proj = nn.Identity()

    def forward(self, x: torch.Tensor, windows: Windows) -> torch.Tensor:
        """(volumes * windows, heads, tokens, tokens), rows sum to 1, from (volumes, slabs, rows, columns, width)."""
        parts = windows.parts(self.norm(x))
        count, tokens, width = parts.shape
        q, k = self.qkv(parts).reshape(count, tokens, 2, self.num_heads, width // self.num_heads).permute(2, 0, 3, 1, 4)
        logits = self.scale * q @ k.transpose(-2, -1) + self._bias(tokens)
        mask = windows.mask(x.device)
        if mask is not None:
            logits = (logits.unflatten(0, (-1, len(mask))) + mask[:, None]).flatten(0, 1)
        return torch.softmax(logits, dim=-1)

    def _bias(self, tokens: int) -> torch.Tensor:
        """(heads, tokens, tokens) by relative position."""
        index = self.relative_position_index[:tokens, :tokens]
        bias: torch.Tensor = self.relative_position_bias_table[index].permute(2, 0, 1)
        return bias


class MappedBlock(nn.Module):
    """A block of a transformer whose values are its own, and whose map of attention is given.

    ``u = x + W A v(LN(x))``, ``y = u + MLP(LN(u))``.

    Parameters
    ----------
    width, heads : of the attention.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.values, self.project = nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, width)
        self.second, self.mlp = nn.LayerNorm(width), MLPBlock(width, 4 * width, dropout_mode="swin")

    def forward(self, x: torch.Tensor, attention: torch.Tensor, windows: Windows) -> torch.Tensor:
        """Of the shape of ``x`` (volumes, slabs, rows, columns, width).

        Parameters
        ----------
        attention : (volumes * windows, heads, tokens, tokens) of the same windows.
        """
        values = self.values(windows.parts(self.norm(x))).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        found = (attention @ values).transpose(1, 2).flatten(2)
        x = x + windows.joined(self.project(found), len(x))
        mixed: torch.Tensor = x + self.mlp(self.second(x))
        return mixed
