"""How the network that sees the mid-sagittal plane from the side learns (:mod:`dicomnode.measure.anatomy.falx`).

Of every place within the skull it is told where the midline ran before anything moved, and of the whole head where the
line between the two ends of the falx passes the septum: so it learns which places can be relied on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from scipy.ndimage import map_coordinates
from torch.nn import functional

from dicomnode.cohort.midline import block_origin_mm
from dicomnode.cohort.painter import Anatomy
from dicomnode.measure.anatomy.falx import (
    ACROSS_MM,
    BACK_MM,
    CHANNELS,
    LEAST_SPREAD,
    OUTPUTS,
    UP_MM,
    channels_of,
    middles_mm,
    places,
    side_view,
)
from dicomnode.measure.anatomy.frame import Frame
from dicomnode.measure.anatomy.sampling import Coarse
from dicomnode.train.anatomy.looking import BRIGHTEST_HU, DARKEST_HU, WARM_UP, LookNet
from dicomnode.train.descent import descend

MARGIN_STEPS = 8
"""What is kept beside the grid, for frames that are off."""
KEPT_MM = np.arange(ACROSS_MM[0] - MARGIN_STEPS, ACROSS_MM[-1] + MARGIN_STEPS + 1.0)
DEEP_MM = 1.0
"""So deep below the inner skull a place lies within it."""
OFF_MM, TILTED_MM, MOST_OFF_MM = 1.2, 1.0, 7.5
"""SD of what a frame is off by at the septum, and more at ``REACH_MM`` from it, when a head is shown."""
WIDTH_MM = 1.0
"""SD of the wanted likelihood."""
CUT_SHARE = 0.25
"""Of the heads some are shown without what lies above or below."""
EVERYWHERE, BATCH, RATE, CLIP_NORM = 0.15, 16, 2e-3, 5.0
"""Weight of the single places against the plane."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A head from the side, in the frame that was found.

    Attributes
    ----------
    hu : (up, back, across) int8, HU above brain. middles : (up, back) between the inner tables, NaN where not seen.
    unmoved_mm : (up, back) where the midline ran before anything moved; NaN outside of the skull.
    plane_mm : where the ideal midline passes the septum.
    """

    hu: NDArray[np.int8]
    middles: NDArray[np.float16]
    unmoved_mm: NDArray[np.float16]
    plane_mm: float


def side_of(base: Anatomy, seen: Coarse, frame: Frame, brain_hu: float, plane_mm: float) -> Side:
    """What is kept of a scan.

    Parameters
    ----------
    base : the head without lesions. seen : its scan, with voxels of about a millimetre.
    """
    hu = np.clip(np.nan_to_num(side_view(seen, frame, brain_hu, KEPT_MM), nan=0.0), DARKEST_HU, BRIGHTEST_HU)
    return Side(
        hu=np.rint(hu).astype(np.int8),
        middles=middles_mm(seen, frame).astype(np.float16),
        unmoved_mm=unmoved_mm(base, frame).astype(np.float16),
        plane_mm=plane_mm,
    )


def unmoved_mm(base: Anatomy, frame: Frame) -> NDArray[np.float32]:
    """(up, back) x in a frame at which the head's own midline ran before anything moved; NaN outside of the skull."""
    z, y, x = np.meshgrid(UP_MM, BACK_MM, KEPT_MM, indexing="ij")
    patient = frame.to_patient(np.stack([x, y, z], axis=-1).reshape(-1, 3))
    index = ((patient - block_origin_mm(base.canvas)) / base.canvas.spacing_mm).T[::-1]
    own, deep = (
        map_coordinates(field, index, order=1, mode="nearest").reshape(x.shape)
        for field in (base.canvas.x, base.distance)
    )
    nearest = np.abs(own).argmin(axis=-1)[..., None]
    here, depth = (np.take_along_axis(field, nearest, axis=-1)[..., 0] for field in (own, deep))
    at = KEPT_MM[nearest[..., 0]] - here
    return np.asarray(np.where((depth < -DEEP_MM) & (np.abs(here) < 1.0), at, np.nan), np.float32)


@dataclass(frozen=True, slots=True)
class Batch:
    """``channels`` (heads, CHANNELS, up, back), ``unmoved_mm`` (heads, up, back), ``plane_mm`` (heads,)."""

    channels: torch.Tensor
    unmoved_mm: torch.Tensor
    plane_mm: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A head from the side as a network is shown it; fields as of :class:`Side`, on the grid alone."""

    hu: NDArray[np.float32]
    middles: NDArray[np.float32]
    unmoved_mm: NDArray[np.float32]
    plane_mm: float

    def mirrored(self) -> View:
        """The head whose left is this one's right."""
        return View(hu=self.hu[..., ::-1], middles=-self.middles, unmoved_mm=-self.unmoved_mm, plane_mm=-self.plane_mm)


def view_of(head: Side, off: NDArray[np.float64]) -> View:
    """A head in a frame that is a little off.

    Parameters
    ----------
    off : (3,) mm across at the septum, and more at ``REACH_MM`` behind it and above it.
    """
    y, z = places()
    moved = np.clip(off[0] + off[1] * y + off[2] * z, -MOST_OFF_MM, MOST_OFF_MM)
    low = np.floor(moved).astype(int)
    share, steps = (moved - low)[..., None], np.arange(len(ACROSS_MM)) + MARGIN_STEPS + low[..., None]
    hu = head.hu.astype(np.float32)
    here, next_to_it = (np.take_along_axis(hu, np.minimum(at, hu.shape[-1] - 1), axis=-1) for at in (steps, steps + 1))
    return View(
        hu=((1.0 - share) * here + share * next_to_it).astype(np.float32),
        middles=(head.middles - moved).astype(np.float32),
        unmoved_mm=(head.unmoved_mm - moved).astype(np.float32),
        plane_mm=head.plane_mm - float(off[0]),
    )


def example(head: Side, rng: np.random.Generator) -> View:
    """A head in a frame that is off, by another scanner, at times cut short, every other time mirrored."""
    seen = view_of(head, rng.normal(0.0, (OFF_MM, TILTED_MM, TILTED_MM)))
    hu = seen.hu * np.exp(rng.normal(0.0, 0.1)) + rng.normal(0.0, 2.0)
    for shape in ((*hu.shape[:2], 1), hu.shape):
        hu = hu + rng.normal(0.0, rng.uniform(0.0, 3.0), shape)
    middles = seen.middles
    if rng.random() < CUT_SHARE:
        rows = slice(0, int(rng.integers(1, 7))) if rng.random() < 0.5 else slice(-int(rng.integers(1, 9)), None)
        hu[rows], middles[rows] = 0.0, np.nan
    shown = replace(seen, hu=hu.astype(np.float32))
    return shown.mirrored() if rng.random() < 0.5 else shown


def batch_of(views: Sequence[View]) -> Batch:
    """Heads as the network takes them."""
    return Batch(
        channels=torch.from_numpy(np.stack([channels_of(view.hu, view.middles) for view in views])),
        unmoved_mm=torch.from_numpy(np.stack([view.unmoved_mm for view in views])),
        plane_mm=torch.tensor([view.plane_mm for view in views]),
    )


def plane_of(said: torch.Tensor) -> torch.Tensor:
    """(heads,) where the plane through what the network says passes the septum; as ``falx.plane_at_septum``."""
    at_mm = torch.einsum("hxzy,x->hzy", said[:, :-1].softmax(dim=1), torch.tensor(ACROSS_MM, dtype=said.dtype)).flatten(
        1
    )
    weights = functional.softplus(said[:, -1]).flatten(1)
    weights = weights / weights.sum(dim=1, keepdim=True)
    y, z = (torch.from_numpy(one.ravel()) for one in places())
    terms = torch.stack([torch.ones_like(y), y, z], dim=1)
    weighted = terms * weights[..., None]
    normal = weighted.transpose(1, 2) @ terms + LEAST_SPREAD * torch.diag(torch.tensor([0.0, 1.0, 1.0]))
    plane: torch.Tensor = torch.linalg.solve(normal, (weighted * at_mm[..., None]).sum(dim=1))[:, 0]
    return plane


def loss_of(said: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Error of the plane, and of every place within the skull."""
    across = torch.tensor(ACROSS_MM, dtype=torch.float32)
    known = torch.isfinite(batch.unmoved_mm)
    truth = torch.nan_to_num(batch.unmoved_mm, nan=0.0)[:, None]
    likely = (-0.5 * ((across[None, :, None, None] - truth) / WIDTH_MM) ** 2).softmax(dim=1)
    wrong = -(likely * said[:, :-1].log_softmax(dim=1)).sum(dim=1)
    return functional.smooth_l1_loss(plane_of(said), batch.plane_mm) + EVERYWHERE * wrong[known].mean()


def trained(heads: Sequence[Side], epochs: int, seed: int = 0) -> LookNet:
    """Learn from heads."""
    torch.manual_seed(seed)
    net, rng = LookNet(CHANNELS, OUTPUTS), np.random.default_rng(seed)
    steps = epochs * (len(heads) // BATCH)
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=1e-2)
    drawn = track(batches(heads, epochs, rng), "plane", steps)
    losses = (loss_of(net(batch.channels), batch) for batch in drawn)
    descend(optimiser, losses, steps, warm_up=WARM_UP, clip_norm=CLIP_NORM)
    return net.eval()


def batches(heads: Sequence[Side], epochs: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Every head once an epoch."""
    for _ in range(epochs):
        order = rng.permutation(len(heads))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            yield batch_of([example(heads[number], rng) for number in order[start : start + BATCH]])
