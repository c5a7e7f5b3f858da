"""Two scans of one head on the grid of the network: the first as it is, the second laid onto it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file

from dicomnode.images.files import ReadError, read_image
from dicomnode.measure.parenchyma import commonest_soft_tissue_hu
from dicomnode.records import Volume
from dicomnode.train.checkpoint import save_weights
from dicomnode.train.importers.cohort import LATER
from dicomnode.train.manifest import Case
from dicomnode.train.masks import read_mask
from dicomnode.train.samples import digest_of, image_of, stamp_of
from dicomnode.zoo.followup.grid import SHAPE, VOXEL_MM, FollowUpHead, head_of, relative_hu
from dicomnode.zoo.grid import volume_on
from dicomnode.zoo.orientation import orientation_of
from dicomnode.zoo.registration import motion_between

VERSION = 2
"""Of what lies in the cache."""
TARGET = "followup"
FINDINGS = ("hemorrhage", "staining", "infarct")
MASKS = frozenset((*FINDINGS, *(LATER + name for name in FINDINGS)))
"""On the first scan, and on the second."""
STAINED, DEAD = 1, 2
"""Kinds of voxel on the first scan; 0 is any other."""
HALF, TOUCHED, NOT_AIR_HU = 0.5, 0.05, -150.0
Pair = Mapping[str, torch.Tensor]
"""All (24, 64, 64), ``head`` (3, 24, 64, 64).

``head`` as :class:`dicomnode.zoo.followup.grid.FollowUpHead` has it, ``target`` HU from the brain, float16; ``blood``
share of the second scan's voxels that holds blood, float16; ``kind`` of the first scan's voxels, ``changed`` stained,
dead or bleeding on either scan, ``known`` brain that both scans show, uint8."""


def pair_of(case: Case, cache: Path) -> Pair:
    """Both scans of an exam, registered once.

    Raises
    ------
    ReadError, SeriesError : a scan or a mask cannot be used, or the two show no common head.
    """
    image, target = image_of(case), case.targets[TARGET]
    masks = [(name, mask.values, stamp_of(mask.path)) for name, mask in sorted(case.masks.items()) if name in MASKS]
    stamps = [stamp_of(image), stamp_of(target), masks, SHAPE, VOXEL_MM, VERSION]
    kept = cache / "pairs" / f"{digest_of(stamps)}.safetensors"
    try:
        found: Pair = load_file(kept)
    except (FileNotFoundError, SafetensorError):
        found = _registered(case, read_image(image), read_image(target))
        kept.parent.mkdir(parents=True, exist_ok=True)
        save_weights(dict(found), kept)
    return found


def _registered(case: Case, first: Volume, second: Volume) -> dict[str, torch.Tensor]:
    try:
        motion = motion_between(first, second)
    except RuntimeError as error:
        raise ReadError(f"the two scans cannot be laid onto each other: {str(error).splitlines()[-1]}") from error
    head = head_of(first)
    target = _target(head, volume_on(second, first.stack, motion))
    now = {name: _share_of(case, name, first, head) for name in FINDINGS}
    then = {name: _share_to_come(case, name, first, second, motion, head) for name in now}
    changed = torch.stack([*now.values(), *then.values()]).amax(dim=0) > TOUCHED
    kind = torch.where(now["staining"] >= HALF, STAINED, torch.where(now["infarct"] >= HALF, DEAD, 0))
    known = head.inner & (target > NOT_AIR_HU)
    return {
        "head": head.image.half(),
        "target": target.half(),
        "blood": then["hemorrhage"].half(),
        "kind": kind.to(torch.uint8),
        "changed": changed.to(torch.uint8),
        "known": known.to(torch.uint8),
    }


def _target(head: FollowUpHead, hu: NDArray[np.float32]) -> torch.Tensor:
    """(24, 64, 64) HU of the second scan from its own commonest of the brain: scanners are off by some HU each time."""
    brain = head.grid.planes.orientation.from_canonical(head.grid.brain)
    found = commonest_soft_tissue_hu(hu[brain])
    return relative_hu(head.grid, hu, head.grid.brain_hu if found is None else found)


def _share_of(case: Case, name: str, volume: Volume, head: FollowUpHead) -> torch.Tensor:
    """(24, 64, 64) of a mask on the first scan; none where the manifest has none."""
    if name not in case.masks:
        return torch.zeros(SHAPE)
    return head.grid.sampled(read_mask(case.masks[name], volume).astype(np.float32), 0.0)


def _share_to_come(
    case: Case, name: str, first: Volume, second: Volume, motion: NDArray[np.float64], head: FollowUpHead
) -> torch.Tensor:
    """The same of a mask on the second scan."""
    if LATER + name not in case.masks:
        return torch.zeros(SHAPE)
    mask = orientation_of(second.stack).from_canonical(read_mask(case.masks[LATER + name], second).astype(np.float32))
    on_first = volume_on(replace(second, hu=np.ascontiguousarray(mask)), first.stack, motion).clip(0.0, 1.0)
    return head.grid.sampled(head.grid.planes.orientation.to_canonical(on_first), 0.0).clamp(0.0, 1.0)
