"""How a network learns to find a place in a head (:mod:`dicomnode.measure.anatomy.looking`).

It is shown each head anew in frames that are a little off, mirrored every other time, so that it learns to see the
place and not to expect it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from scipy.ndimage import map_coordinates
from torch import nn

from dicomnode.measure.anatomy.frame import Frame
from dicomnode.measure.anatomy.looking import DEPTH, Layers, Look
from dicomnode.measure.anatomy.sampling import Coarse
from dicomnode.train.descent import descend

WIDTHS = (24, 40, 56, 56)
MARGIN_MM = np.array([20.0, 15.0, 12.0])
"""Across, back, up: what is kept of a head about the grid, for frames that are off."""
DARKEST_HU, BRIGHTEST_HU = -60.0, 67.0
MOVED_MM, TURNED_DEG, SCALED = (4.0, 3.0, 3.0), 2.5, 0.03
"""SD of what a frame is off by when a head is shown."""
WIDTHS_STEPS = (1.2, 1.2)
"""SD of the wanted likelihood across and to the back, steps of the grid."""
MOST_STEP_MM = 4.0
BATCH, RATE, WARM_UP = 16, 2e-3, 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What is kept of a head.

    Attributes
    ----------
    block : (z, y, x) int8, HU above brain about the grid, in the found frame.
    place_mm : (3,) what is to be found, in that frame.
    """

    block: NDArray[np.int8]
    place_mm: NDArray[np.float64]


class LookNet(nn.Module):
    """As :func:`dicomnode.measure.anatomy.looking.scored` computes it, with a normalisation that is folded in later."""

    def __init__(self, channels: int, outputs: int = 1) -> None:
        super().__init__()
        before, layers = channels, dict[str, nn.Module]()
        for level, width in enumerate(WIDTHS):
            layers[f"down{level}a"], layers[f"down{level}b"] = Layer(before, width), Layer(width, width)
            before = width
        for level in reversed(range(DEPTH)):
            layers[f"up{level}"] = Layer(WIDTHS[level] + before, WIDTHS[level])
            before = WIDTHS[level]
        self.layers = nn.ModuleDict(layers)
        self.out = nn.Conv2d(before, outputs, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(heads, outputs, y, x) scores of (heads, channels, y, x)."""
        levels, here = list[torch.Tensor](), image
        for level in range(DEPTH + 1):
            here = here if level == 0 else nn.functional.max_pool2d(here, 2)
            here = self.layers[f"down{level}b"](self.layers[f"down{level}a"](here))
            levels.append(here)
        for level in reversed(range(DEPTH)):
            here = nn.functional.interpolate(here, scale_factor=2.0, mode="nearest")
            here = self.layers[f"up{level}"](torch.cat([levels[level], here], dim=1))
        scores: torch.Tensor = self.out(here)
        return scores


class Layer(nn.Module):
    """Convolution, normalisation, rectifier."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """As many rows and columns as are given."""
        return torch.relu(self.norm(self.convolution(image)))

    def folded(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weight and bias of one convolution that does the same."""
        states = {name: value.detach().numpy() for name, value in self.norm.state_dict().items()}
        gain = states["weight"] / np.sqrt(states["running_var"] + self.norm.eps)
        weight = self.convolution.weight.detach().numpy() * gain[:, None, None, None]
        return weight, states["bias"] - states["running_mean"] * gain


def shown_of(look: Look, seen: Coarse, frame: Frame, brain_hu: float, place_mm: NDArray[np.float64]) -> Shown:
    """What is kept of a head for a network.

    Parameters
    ----------
    place_mm : (3,) what is to be found, in the frame.
    """
    z, y, x = np.meshgrid(*_lines(look)[::-1], indexing="ij")
    hu = seen.at(frame.to_patient(np.stack([x, y, z], axis=-1).reshape(-1, 3))).reshape(z.shape)
    block = np.clip(np.nan_to_num(hu - brain_hu, nan=0.0), DARKEST_HU, BRIGHTEST_HU)
    return Shown(block=np.rint(block).astype(np.int8), place_mm=place_mm)


def _lines(look: Look) -> list[NDArray[np.float64]]:
    """Head coordinates of the kept block: x, y, z."""
    grid = (look.across_mm, look.back_mm, look.up_mm)
    return [
        np.arange(line[0] - margin, line[-1] + margin, min(line[1] - line[0], MOST_STEP_MM))
        for line, margin in zip(grid, MARGIN_MM, strict=True)
    ]


def example(
    look: Look, head: Shown, rng: np.random.Generator, plain: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Channels of a head in a frame that is a little off, and what is to be found there (x, y).

    Parameters
    ----------
    plain : in the frame that was found.
    """
    change = np.eye(3, 4) if plain else _off(rng)
    place = (head.place_mm - change[:, 3]) @ np.linalg.inv(change[:, :3]).T
    points, lines = look.points_mm() @ change[:, :3].T + change[:, 3], _lines(look)
    low, step = (np.array([line[0] for line in lines]), np.array([line[1] - line[0] for line in lines]))
    index = ((points - low) / step).T[::-1]
    hu = map_coordinates(head.block.astype(np.float32), index, order=1, mode="nearest").reshape(look.shape)
    if plain:
        return look.channels_of(hu), place[:2]
    hu = hu * np.exp(rng.normal(0.0, 0.1)) + rng.normal(0.0, 2.0) + rng.normal(0.0, rng.uniform(0.0, 3.0), hu.shape)
    mirrored = rng.random() < 0.5
    return look.channels_of(hu[..., ::-1] if mirrored else hu), place[:2] * ([-1.0, 1.0] if mirrored else [1.0, 1.0])


def _off(rng: np.random.Generator) -> NDArray[np.float64]:
    """(3, 4) coordinates in the found frame from those in one that is a little off."""
    turn = np.deg2rad(rng.normal(0.0, TURNED_DEG, 3))
    skew = np.array([[0.0, -turn[2], turn[1]], [turn[2], 0.0, -turn[0]], [-turn[1], turn[0], 0.0]])
    scale = np.exp(rng.normal(0.0, SCALED, 3))
    return np.column_stack([(np.eye(3) + skew) * scale, rng.normal(0.0, MOVED_MM)])


def wanted(look: Look, place_mm: NDArray[np.float64]) -> NDArray[np.float32]:
    """(y, x) likelihood that is to be learned; ``place_mm`` : (2,) x, y."""
    lines = (look.across_mm, look.back_mm)
    x, y = (
        np.exp(-0.5 * ((line - at) / (width * (line[1] - line[0]))) ** 2)
        for line, at, width in zip(lines, place_mm, WIDTHS_STEPS, strict=True)
    )
    both = y[:, None] * x
    return np.asarray(both / max(float(both.sum()), 1e-9), np.float32)


def batches(
    look: Look, heads: Sequence[Shown], epochs: int, rng: np.random.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Channels and wanted likelihood, every head once an epoch."""
    for _ in range(epochs):
        order = rng.permutation(len(heads))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            drawn = [example(look, heads[number], rng) for number in order[start : start + BATCH]]
            channels, places = zip(*drawn, strict=True)
            likely = np.stack([wanted(look, place) for place in places])
            yield torch.from_numpy(np.stack(channels)), torch.from_numpy(likely)


def trained(look: Look, heads: Sequence[Shown], epochs: int, seed: int = 0) -> LookNet:
    """Learn from heads."""
    torch.manual_seed(seed)
    net = LookNet(look.channels)
    steps = epochs * (len(heads) // BATCH)
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=1e-3)
    drawn = track(batches(look, heads, epochs, np.random.default_rng(seed)), look.name, steps)
    descend(optimiser, (loss_of(net(channels), likely) for channels, likely in drawn), steps, warm_up=WARM_UP)
    return net.eval()


def loss_of(said: torch.Tensor, likely: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the place, (heads, 1, ...) scores against (heads, ...) likelihood."""
    scores = said[:, 0].flatten(1)
    return -(likely.flatten(1) * scores.log_softmax(dim=1)).sum(dim=1).mean()


def layers_of(net: LookNet) -> Layers:
    """Weights as :func:`dicomnode.measure.anatomy.looking.scored` reads them: normalisation folded in."""
    weight, bias = (one.detach().numpy() for one in net.out.parameters())
    found: Layers = {"out.weight": weight[..., 0, 0], "out.bias": bias}
    for name, layer in net.layers.items():
        if isinstance(layer, Layer):
            found[f"{name}.weight"], found[f"{name}.bias"] = layer.folded()
    return found
