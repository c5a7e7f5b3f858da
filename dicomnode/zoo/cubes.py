"""A head on cubes of 1 mm: networks judge it there, and what they say goes back to the source's own slices.

The object of a bundle that reads ``inputs``: :class:`LesionsOnCubes` stands as ``model_def`` in its configuration.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from dicomnode.records import Inputs, Stack, Volume
from dicomnode.zoo.grid import on_source_slices, places_of
from dicomnode.zoo.head_check import brain_mask, interior_mask
from dicomnode.zoo.isotropic import isotropic
from dicomnode.zoo.networks.deepmedic import VOXEL_MM, normalised
from dicomnode.zoo.networks.dense import Box, class_probabilities
from dicomnode.zoo.networks.members import Members
from dicomnode.zoo.volumes import scores_of

log = logging.getLogger(__name__)

TOLD_EVERY_S = 10.0
"""A run of minutes says this often how far it is."""
NEAR = 1e-3
"""A pixel as near as this to the middle of a cube, in cubes, asks no other in that direction."""


class LesionsOnCubes:
    """Marks each kind of lesion within the skull.

    Parameters
    ----------
    members : the networks.
    outputs : name of a mask -> channel of the networks.
    """

    def __init__(self, members: Members, outputs: Mapping[str, int]) -> None:
        self.members, self.outputs = members, dict(outputs)

    def __call__(self, inputs: Inputs) -> dict[str, NDArray[np.float32]]:
        """Score of every mask, (slices, rows, columns) in stack order, 0 outside the interior of the skull.

        A score is the probability of a kind against that of its strongest rival: above 0.5 it wins.

        Raises
        ------
        SeriesError : ``NOT_A_HEAD`` no brain within a skull, ``NOT_AXIAL``.
        """
        volume = inputs.volume
        assert isinstance(volume, Volume)  # the manifest demands an image
        within = _with_brain(interior_mask(volume), brain_mask(volume))
        hu, affine = isotropic(volume, VOXEL_MM)
        wanted = _cubes_of(within, affine, volume.stack, hu.shape)
        (box,) = ndimage.find_objects(wanted.astype(np.uint8)) or [None]
        if box is None:
            return {name: np.zeros(within.shape, np.float32) for name in self.outputs}
        scores = self._scores(self._probabilities(hu, box, wanted), _moved(affine, box), volume.stack) * within
        return dict(zip(self.outputs, scores, strict=True))

    def _probabilities(self, hu: torch.Tensor, box: Box, wanted: NDArray[np.bool_]) -> torch.Tensor:
        """(classes, z, y, x) of the box, on the CPU."""
        networks = self.members.networks
        device = next(self.members.parameters()).device
        progress = _Progress(len(networks))
        image, asked = normalised(hu).to(device), torch.from_numpy(wanted).to(device)
        return class_probabilities(networks, image, box, asked, progress=progress).cpu()

    def _scores(self, probabilities: torch.Tensor, affine: NDArray[np.float64], stack: Stack) -> NDArray[np.float32]:
        """(outputs, slices, rows, columns)."""
        channels, values = list(self.outputs.values()), probabilities.permute(0, 3, 2, 1)
        planes = [scores_of(seen, channels, "argmax") for seen in on_source_slices(values, affine, stack)]
        result: NDArray[np.float32] = torch.stack(planes, dim=1).numpy()
        return result


def _with_brain(within: NDArray[np.bool_], brain: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The connected pieces of a mask that hold brain: a head rest is none."""
    pieces, count = ndimage.label(within)
    held = np.zeros(count + 1, np.bool_)
    held[np.unique(pieces[brain & within])] = True
    return np.asarray(held[pieces] & within)


def _cubes_of(
    within: NDArray[np.bool_], affine: NDArray[np.float64], stack: Stack, shape: Sequence[int]
) -> NDArray[np.bool_]:
    """(z, y, x) cubes that pixels of a mask ask on the way back: the eight around each, fewer where it lies on one."""
    asked, last = np.zeros(tuple(reversed(shape)), np.bool_), np.array(shape)[::-1] - 1
    for places, inside in zip(places_of(affine, stack), within, strict=True):
        low, high = (np.floor(places[inside] + NEAR), np.ceil(places[inside] - NEAR))
        ends = [np.clip(end, 0, last).astype(np.intp).T for end in (low, high)]
        for i, j, k in itertools.product(*zip(*ends, strict=True)):
            asked[i, j, k] = True
    return np.ascontiguousarray(asked.transpose(2, 1, 0))


def _moved(affine: NDArray[np.float64], box: Box) -> NDArray[np.float64]:
    """The affine from (x, y, z, 1) of a box to millimetres."""
    result = affine.copy()
    result[:3, 3] += affine[:3, :3] @ [side.start for side in reversed(box)]
    return result


class _Progress:
    """Says in the log how far a run is: each network, and every few seconds."""

    def __init__(self, members: int) -> None:
        self.members, self.began = members, time.monotonic()
        self.told = self.began

    def __call__(self, member: int, done: int, tiles: int) -> None:
        now = time.monotonic()
        if done == tiles or now - self.told >= TOLD_EVERY_S:
            facts = {"network": f"{member + 1} of {self.members}", "tiles": f"{done} of {tiles}"}
            log.info("judging the head", extra={"action": "infer", **facts, "seconds": round(now - self.began, 1)})
            self.told = now
