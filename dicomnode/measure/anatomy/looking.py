"""A small network that says where something lies in a head: slabs along the axes of its frame go in, a map comes out.

It runs in numpy, since lesions are measured where no torch is; ``dicomnode.train.anatomy.looking`` trains it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from dicomnode.measure.anatomy.frame import Frame
from dicomnode.measure.anatomy.sampling import Coarse

Field = NDArray[np.float32]
Layers = dict[str, Field]
Line = NDArray[np.float64]

DEPTH = 3
"""Times that the picture is halved: rows and columns are multiples of 8."""
NEAR = 3
"""Steps of the grid across: what is thought likely so near to the likeliest place speaks for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a network looks at.

    Attributes
    ----------
    name : of the file with its weights.
    across_mm, back_mm, up_mm : head coordinates of the points of its grid; across they lie evenly about the midline.
    windows_hu : where each window begins and how wide it is, counted from brain; values run from 0 to 1 in it.
    """

    name: str
    across_mm: Line
    back_mm: Line
    up_mm: Line
    windows_hu: tuple[tuple[float, float], ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(z, y, x) number of points."""
        return len(self.up_mm), len(self.back_mm), len(self.across_mm)

    @property
    def channels(self) -> int:
        """Number of pictures that go in."""
        return len(self.windows_hu) * len(self.up_mm)

    def points_mm(self) -> NDArray[np.float64]:
        """(points, 3) head coordinates, in the order z, y, x."""
        z, y, x = np.meshgrid(self.up_mm, self.back_mm, self.across_mm, indexing="ij")
        return np.stack([x, y, z], axis=-1).reshape(-1, 3)

    def channels_of(self, above_brain_hu: NDArray[np.floating]) -> Field:
        """(channels, y, x) what the network reads; what lies outside of the scan is taken for brain.

        Parameters
        ----------
        above_brain_hu : (z, y, x) counted from brain; NaN outside of the scan.
        """
        hu = np.nan_to_num(np.asarray(above_brain_hu, np.float32), nan=0.0)
        return np.concatenate([np.clip((hu - low) / width, 0.0, 1.0) for low, width in self.windows_hu])


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where something lies, head coordinates.

    Attributes
    ----------
    x_mm, y_mm : to the patient's left, to the back.
    sureness : 0 to 1, how much of the likelihood lies near ``x_mm``.
    """

    x_mm: float
    y_mm: float
    sureness: float


@functools.cache
def learned(name: str) -> Layers:
    """Weights that ship with the node."""
    with resources.files(__package__).joinpath(f"{name}.npz").open("rb") as file, np.load(file) as arrays:
        return {key: arrays[key].astype(np.float32) for key in arrays.files}


def found(look: Look, seen: Coarse, frame: Frame, brain_hu: float) -> Place:
    """Where a network sees in a head what it looks for.

    Parameters
    ----------
    seen : with voxels of about a millimetre.
    """
    hu = seen.at(frame.to_patient(look.points_mm())).reshape(look.shape)
    return placed(look, likelihood(look.channels_of(hu - brain_hu), learned(look.name)))


def likelihood(channels: Field, layers: Layers) -> Field:
    """(y, x) of each place; they add up to 1. A mirrored head has the mirrored one."""
    either = scored(channels, layers)[0] + scored(channels[..., ::-1], layers)[0, :, ::-1]
    risen = np.exp(either / 2.0 - either.max() / 2.0)
    return np.asarray(risen / risen.sum())


def placed(look: Look, likely: Field) -> Place:
    """The likeliest place, between the points of the grid."""
    y, x = np.unravel_index(int(np.argmax(likely)), likely.shape)
    near = likely[max(y - NEAR, 0) : y + NEAR + 1, max(x - NEAR, 0) : x + NEAR + 1]
    back_mm, across_mm = look.back_mm[max(y - NEAR, 0) : y + NEAR + 1], look.across_mm[max(x - NEAR, 0) : x + NEAR + 1]
    columns = likely[:, max(x - NEAR, 0) : x + NEAR + 1]
    return Place(
        x_mm=float(near.sum(axis=0) @ across_mm / near.sum()),
        y_mm=float(near.sum(axis=1) @ back_mm / near.sum()),
        sureness=float(columns.sum()),
    )


def scored(channels: Field, layers: Layers) -> Field:
    """(outputs, y, x) scores of every place: a U-Net, on each level two convolutions down and one up."""
    levels, here = list[Field](), channels
    for level in range(DEPTH + 1):
        here = here if level == 0 else _halved(here)
        here = _convolved(_convolved(here, layers, f"down{level}a"), layers, f"down{level}b")
        levels.append(here)
    for level in reversed(range(DEPTH)):
        here = _convolved(np.concatenate([levels[level], _doubled(here)]), layers, f"up{level}")
    return np.asarray(np.tensordot(layers["out.weight"], here, axes=1) + layers["out.bias"][:, None, None])


def _convolved(image: Field, layers: Layers, name: str) -> Field:
    """3 x 3 convolution and rectifier."""
    weight, bias = layers[f"{name}.weight"], layers[f"{name}.bias"]
    _, rows, columns = image.shape
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)))
    total = np.repeat(bias[:, None], rows * columns, axis=1)
    for i in range(3):
        for j in range(3):
            moved = padded[:, i : i + rows, j : j + columns].reshape(len(image), -1)
            total += weight[:, :, i, j] @ moved
    return np.maximum(total, 0.0).reshape(-1, rows, columns)


def _halved(image: Field) -> Field:
    """The largest of every four."""
    channels, rows, columns = image.shape
    return np.asarray(image.reshape(channels, rows // 2, 2, columns // 2, 2).max(axis=(2, 4)))


def _doubled(image: Field) -> Field:
    return image.repeat(2, axis=1).repeat(2, axis=2)
