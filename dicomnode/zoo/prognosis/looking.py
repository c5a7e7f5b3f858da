"""Where of the head a probability comes from: Score-CAM over what the reader marks, on the scan's slices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from dicomnode.language import told
from dicomnode.records import MEASURED, MaskFinding, ReferenceScore, ScoreInput, Volume
from dicomnode.zoo.networks.head_grid import STEPS, VOXEL_MM, WINDOW_HU, HeadGrid, as_floats
from dicomnode.zoo.networks.head_reader import MARKED
from dicomnode.zoo.networks.lighter import block_of, lighter
from dicomnode.zoo.networks.score_cam import CHANNELS, score_cam
from dicomnode.zoo.planes import from_planes

NEAR_MM = 10.0
AT_BLEED = "cam_at_bleed"
PLAIN_BRAIN = -WINDOW_HU[0] / (WINDOW_HU[1] - WINDOW_HU[0]) * 2.0 - 1.0
"""What stands where nothing is shown: the commonest attenuation of the brain."""
MEANING = "Share of the Score-CAM (up to {channels} kinds of what is marked) within {near:g} mm of the marked bleed."


@dataclass(frozen=True, slots=True)
class Looked:
    """See :class:`~dicomnode.zoo.reading.contract.Explained`."""

    beside: tuple[ReferenceScore, ...] = ()
    attention: NDArray[np.uint8] | None = None


def looked(
    marks: torch.Tensor,
    score: Callable[[torch.Tensor], torch.Tensor],
    grid: HeadGrid,
    image: torch.Tensor,
    volume: Volume,
    mask: MaskFinding,
) -> Looked:
    """Where a score comes from, and how much of that lies at the bleed.

    Parameters
    ----------
    marks : (kinds, 32, 48, 48) of the head by the reader; each kind that is there is a channel that is asked.
    score : heads -> (heads,) log odds.
    grid, image : of the lighter scan; (32, 96, 96) uint8.
    volume : the scan itself, on whose slices the answer lies.
    """
    marks = marks[marks.flatten(1).amax(dim=1) > MARKED]
    if not len(marks):
        return Looked()
    seen = score_cam(as_floats(image), marks, PLAIN_BRAIN, score).cpu()
    share = near_share(seen, grid.sampled(_canonical(mask, volume, grid), 0.0) > 0.0)
    beside = () if share is None else (_reference(share),)
    return Looked(beside, on_slices(seen, grid, volume))


def near_share(seen: torch.Tensor, bleed: torch.Tensor) -> float | None:
    """Share of a map within ``NEAR_MM`` of a bleed, both (32, 96, 96); None where either is empty."""
    if not bool(bleed.any()) or float(seen.sum()) <= 0.0:
        return None
    away_mm = ndimage.distance_transform_edt(~bleed.numpy(), sampling=VOXEL_MM)
    return float(seen[torch.from_numpy(away_mm <= NEAR_MM)].sum() / seen.sum())


def on_slices(seen: torch.Tensor, grid: HeadGrid, volume: Volume) -> NDArray[np.uint8]:
    """(slices, rows, columns) of a scan, 0 to 255, from a map (32, 96, 96) on the grid of the lighter one."""
    weights = grid.weights.T / grid.weights.T.sum(dim=1, keepdim=True).clamp(min=1e-9)
    planes = torch.tensordot(weights, seen, dims=1)
    (down, across), (slices, rows, columns) = block_of(volume.stack), volume.hu.shape
    back = from_planes(planes, grid.planes, (slices, rows // down, columns // across)).clip(0.0, 1.0)
    large = np.zeros(volume.hu.shape, np.uint8)
    blown = (back * STEPS).astype(np.uint8).repeat(down, axis=1).repeat(across, axis=2)
    large[:, : blown.shape[1], : blown.shape[2]] = blown
    return large


def _canonical(mask: MaskFinding, volume: Volume, grid: HeadGrid) -> NDArray[np.float32]:
    """The mask on the lighter scan, in canonical orientation."""
    marked = Volume(mask.mask.astype(np.float32), volume.stack, volume.sop_instance_uids)
    return np.ascontiguousarray(grid.planes.orientation.to_canonical(lighter(marked).hu))


def _reference(share: float) -> ReferenceScore:
    said = told("{share:.0f} %", share=100.0 * share)
    return ReferenceScore(
        name=AT_BLEED,
        label="Score-CAM at the bleed",
        value=float(round(100.0 * share)),
        unit="%",
        meaning=told(MEANING, channels=CHANNELS, near=NEAR_MM),
        inputs=(ScoreInput("Score-CAM", said, MEASURED),),
    )
