"""What is painted in a head, on the grid of its image: what the encoder of heads learns to tell.

In each token of the grid the volume of every kind of finding; of the whole head those volumes, where the blood and the
dark tissue lie, how dark that is, and the midline shift where the manifest gives it (label ``midline_shift_mm``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from dicomnode.images.files import read_image
from dicomnode.records import Volume
from dicomnode.train.checkpoint import save_weights
from dicomnode.train.manifest import Case
from dicomnode.train.masks import read_mask
from dicomnode.train.samples import digest_of, image_of, stamp_of
from dicomnode.zoo.networks.head_facts import FACTS, KINDS, SHIFT, TOKENS
from dicomnode.zoo.networks.head_grid import SHAPE, VOXEL_ML, VOXEL_MM, HeadGrid, grid_of, image_on

VERSION = 1
"""Of what lies in the cache."""
SHOWN_ML = 0.5
"""From so much on a place or a darkness is told."""
DARK, BLOOD = ("oedema", "infarct"), ("intraparenchymal", "intraventricular", "extra_axial")


def painted(case: Case, cache: Path) -> Mapping[str, torch.Tensor]:
    """Image and facts of an exam, computed once.

    Returns
    -------
    ``image`` (1, 32, 96, 96) uint8; ``tokens`` (kinds, 4, 6, 6) mL; ``facts`` as in
    :data:`~dicomnode.zoo.networks.head_facts.FACTS`, NaN where not known or not to be told.

    Raises
    ------
    ReadError, SeriesError : the image or a mask cannot be used.
    """
    image = image_of(case)
    stamps = [stamp_of(image), sorted(_mask_stamps(case)), case.labels.get(SHIFT), VERSION]
    kept = cache / "heads" / f"{digest_of(stamps)}.safetensors"
    try:
        known: dict[str, torch.Tensor] = load_file(kept)
        return known
    except (FileNotFoundError, SafetensorError):
        found = _painted(case, read_image(image))
        kept.parent.mkdir(parents=True, exist_ok=True)
        save_weights(found, kept)
        return found


def _mask_stamps(case: Case) -> set[str]:
    return {str(stamp_of(mask.path)) for name, mask in case.masks.items() if name in KINDS}


def _painted(case: Case, volume: Volume) -> dict[str, torch.Tensor]:
    grid = grid_of(volume)
    image = image_on(grid, volume)
    masks = torch.stack([_mask_on(case, name, volume, grid) for name in KINDS])
    return {"image": image[None], "tokens": volumes_by_token(masks), "facts": facts_of(case, volume, grid, masks)}


def _mask_on(case: Case, name: str, volume: Volume, grid: HeadGrid) -> torch.Tensor:
    """Share of each voxel of the grid; NaN all over where nothing is known of the finding."""
    if name not in case.masks:
        return torch.full(SHAPE, torch.nan)
    mask = read_mask(case.masks[name], volume)
    return grid.sampled(mask.astype(np.float32), 0.0) if mask.any() else torch.zeros(SHAPE)


def volumes_by_token(masks: torch.Tensor) -> torch.Tensor:
    """(kinds, 4, 6, 6) mL in each token, from the shares of the voxels (kinds, 32, 96, 96)."""
    a, b, c = (whole // tokens for whole, tokens in zip(SHAPE, TOKENS, strict=True))
    blocks = masks.reshape(len(masks), TOKENS[0], a, TOKENS[1], b, TOKENS[2], c)
    return blocks.sum(dim=(2, 4, 6)) * VOXEL_ML


def facts_of(case: Case, volume: Volume, grid: HeadGrid, masks: torch.Tensor) -> torch.Tensor:
    """(facts,) of the whole head."""
    totals_ml = masks.sum(dim=(1, 2, 3)) * VOXEL_ML
    blood = _place(masks, BLOOD)
    dark = _place(masks, DARK)
    known = dict(zip(KINDS, totals_ml.log1p().tolist(), strict=True))
    known |= {f"blood_{axis}": value for axis, value in blood.items()}
    known |= {f"dark_{axis}": value for axis, value in dark.items()}
    known |= {"darkness": _darkness(case, volume, grid), SHIFT: case.labels.get(SHIFT, math.nan)}
    return torch.tensor([known[name] for name in FACTS], dtype=torch.float32)


def _place(masks: torch.Tensor, names: tuple[str, ...]) -> dict[str, float]:
    """Middle of some findings from the middle of the grid, mm; NaN where there is too little of them."""
    chosen = masks[[KINDS.index(name) for name in names]].sum(dim=0)
    total = float(chosen.sum())
    if not total * VOXEL_ML >= SHOWN_ML:
        return dict.fromkeys(("z", "y", "x"), math.nan)
    found = {}
    for axis, name in enumerate(("z", "y", "x")):
        line = chosen.sum(dim=[other for other in range(3) if other != axis])
        at = (torch.arange(SHAPE[axis]) - (SHAPE[axis] - 1) / 2) * VOXEL_MM[axis]
        found[name] = float((line * at).sum()) / total
    return found


def _darkness(case: Case, volume: Volume, grid: HeadGrid) -> float:
    """HU by which oedema and infarct lie below the brain, on the slices of the scan; NaN where there is too little."""
    if not all(name in case.masks for name in DARK):
        return math.nan
    mask = np.any([read_mask(case.masks[name], volume) for name in DARK], axis=0)
    weights_ml = np.broadcast_to(volume.stack.voxel_ml[:, None, None], mask.shape)
    if float((mask * weights_ml).sum()) < SHOWN_ML:
        return math.nan
    return grid.brain_hu - float(np.median(grid.planes.orientation.to_canonical(volume.hu)[mask]))
