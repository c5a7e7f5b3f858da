"""The way of a slice-wise bundle as steps of its own: from a volume to planes, through the network, back to the slices.

The runner takes these steps in memory; ``python -m monai.bundle run`` takes the same ones as dictionary transforms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dicomnode.records import Volume
from dicomnode.zoo.head_check import brain_mask, interior_mask
from dicomnode.zoo.orientation import orientation_of
from dicomnode.zoo.planes import CPU, PlaneGrid, from_planes, plane_grid, to_planes, with_neighbours


@dataclass(frozen=True, slots=True)
class Head:
    """A head CT, and where its planes lie.

    Attributes
    ----------
    interior : (slices, rows, columns) bool in stack order, to which marks are confined.
    """

    volume: Volume
    interior: NDArray[np.bool_]
    grid: PlaneGrid


def head_of(
    volume: Volume, plane_size: int, plane_pixel_mm: float, device: torch.device = CPU
) -> tuple[Head, torch.Tensor]:
    """Find the head in a CT and cut its planes.

    Parameters
    ----------
    device : where planes are cut and lie.

    Returns
    -------
    The head, and (3, slices, size, size) HU: the slice below, the slice itself, the slice above.

    Raises
    ------
    SeriesError : ``NOT_A_HEAD`` no brain within a skull, ``NOT_AXIAL``.
    """
    grid = plane_grid(volume, brain_mask(volume), plane_size, plane_pixel_mm)
    offsets_mm = orientation_of(volume.stack).offsets_mm(volume.stack)
    return Head(volume, interior_mask(volume), grid), with_neighbours(to_planes(volume, grid, device), offsets_mm)


def on_slices(values: torch.Tensor, head: Head) -> NDArray[np.float32]:
    """(slices, rows, columns) in stack order from an output's planes (slices, size, size); 0 outside the skull."""
    slices, rows, columns = head.volume.hu.shape
    back = from_planes(values, head.grid, (slices, rows, columns))
    back *= head.interior  # in place: of a thin-slice exam it has half a gigabyte
    return back


class HeadPlanesd:
    """Dictionary transform: ``volume`` -> ``head``, and as ``image`` and ``hu`` what :func:`head_of` gives.

    Raises what :func:`head_of` raises.
    """

    def __init__(self, plane_size: int, plane_pixel_mm: float) -> None:
        self.plane_size, self.plane_pixel_mm = plane_size, plane_pixel_mm

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Preprocessing changes ``image``; ``hu`` stays for the postprocessing."""
        head, image = head_of(data["volume"], self.plane_size, self.plane_pixel_mm)
        return {**data, "head": head, "image": image, "hu": image}


class Inferd:
    """Dictionary transform: the network on ``image`` (channels, ...) -> ``pred`` (outputs, ...), raw."""

    def __init__(self, network: torch.nn.Module, inferer: Callable[..., Any], device: torch.device | str) -> None:
        self.network, self.inferer, self.device = network, inferer, torch.device(device)

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """One volume at a time."""
        self.network.to(self.device).eval()
        with torch.inference_mode():
            image = torch.as_tensor(data["image"])[None].to(self.device)
            return {**data, "pred": self.inferer(image, self.network)[0]}


class ToSlicesd:
    """Dictionary transform: ``pred`` on planes -> ``pred`` (outputs, slices, rows, columns) on the source's slices."""

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Float32 NumPy array, 0 outside the interior of the skull."""
        planes = torch.as_tensor(data["pred"]).float().cpu()
        return {**data, "pred": np.stack([on_slices(output, data["head"]) for output in planes])}
