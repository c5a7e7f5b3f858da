"""What is painted in a head, on the grid of its image: what the reader of heads learns to mark and to tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.nn.functional import avg_pool3d

from dicomnode.cohort.lesions import Lesions
from dicomnode.images.files import read_image
from dicomnode.records import Volume
from dicomnode.train.checkpoint import save_weights
from dicomnode.train.manifest import Case
from dicomnode.train.masks import read_mask
from dicomnode.train.samples import digest_of, image_of, stamp_of
from dicomnode.train.tabular import numbers_of
from dicomnode.zoo.networks.head_facts import KINDS
from dicomnode.zoo.networks.head_grid import SHAPE, HeadGrid, grid_of, image_on
from dicomnode.zoo.networks.head_reader import FACTOR, READ

VERSION = 2
"""Of what lies in the cache."""
PAINTED = tuple(f"painted_{name}" for name in READ)
"""Facts of a head in a manifest, among the variables."""
STEPS = 255


@dataclass(frozen=True, slots=True)
class Heads:
    """Heads with what is painted in them.

    Attributes
    ----------
    image : (heads, 1, 32, 96, 96) uint8. shares : (heads, kinds, 32, 48, 48) uint8, 255ths of each place.
    facts : (heads, facts) as :data:`~dicomnode.zoo.networks.head_reader.READ`; NaN where not known.
    """

    image: torch.Tensor
    shares: torch.Tensor
    facts: torch.Tensor

    def __len__(self) -> int:
        return len(self.image)


def facts_of(lesions: Lesions) -> dict[str, float]:
    """What is drawn for a patient, by the names of a manifest."""
    outside_ml = lesions.sdh_ml + lesions.sdh_old_ml + lesions.edh_ml
    blood_ml = (lesions.iph_ml, lesions.ivh_ml, lesions.sah_ml, outside_ml)
    volumes_ml = (*blood_ml, lesions.oedema_ml, lesions.infarct_ml, lesions.stain_ml)
    darkness_hu = max(lesions.oedema_hu, lesions.infarct_depth_hu)
    values = (*np.log1p(volumes_ml).tolist(), darkness_hu, lesions.atrophy)
    return dict(zip(PAINTED, map(float, values), strict=True))


def heads_of(cases: Iterable[Case], cache: Path, *, progress: bool = False) -> Heads:
    """Exams with an image, each looked at once.

    Raises
    ------
    ReadError, SeriesError : an image or a mask cannot be used.
    """
    cases = list(cases)
    each = [painted(case, cache) for case in track(cases, "reading heads", disable=not progress)]
    image, shares = (torch.stack([one[name] for one in each]) for name in ("image", "shares"))
    return Heads(image, shares, torch.stack([numbers_of(case.variables, PAINTED) for case in cases]))


def painted(case: Case, cache: Path) -> Mapping[str, torch.Tensor]:
    """``image`` and ``shares`` of an exam, see :class:`Heads`, computed once.

    Raises
    ------
    ReadError, SeriesError : the image or a mask cannot be used.
    """
    kept = kept_at(case, cache)
    try:
        known: dict[str, torch.Tensor] = load_file(kept)
        return known
    except (FileNotFoundError, SafetensorError):
        found = _painted(case, read_image(image_of(case)))
        kept.parent.mkdir(parents=True, exist_ok=True)
        save_weights(found, kept)
        return found


def kept_at(case: Case, cache: Path) -> Path:
    """Where what is painted in an exam is kept."""
    masks = {str(stamp_of(mask.path)) for name, mask in case.masks.items() if name in KINDS}
    return cache / "heads" / f"{digest_of([stamp_of(image_of(case)), sorted(masks), VERSION])}.safetensors"


def _painted(case: Case, volume: Volume) -> dict[str, torch.Tensor]:
    grid = grid_of(volume)
    masks = torch.stack([_mask_on(case, name, volume, grid) for name in KINDS])
    shares = (avg_pool3d(masks, (1, FACTOR, FACTOR)) * STEPS).round().clamp(0, STEPS)
    return {"image": image_on(grid, volume)[None], "shares": shares.to(torch.uint8)}


def _mask_on(case: Case, name: str, volume: Volume, grid: HeadGrid) -> torch.Tensor:
    """Share of each voxel of the grid."""
    mask = read_mask(case.masks[name], volume) if name in case.masks else None
    if mask is None or not mask.any():
        return torch.zeros(SHAPE)
    return grid.sampled(mask.astype(np.float32), 0.0)
