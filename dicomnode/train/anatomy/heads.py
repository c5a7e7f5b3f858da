"""Heads whose head coordinates are known, painted coarsely and kept as files, and coarse scans of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicomnode.cohort.canvas import AIR_HU
from dicomnode.cohort.edition import BENT
from dicomnode.cohort.lesions import draw_lesions
from dicomnode.cohort.scene import Anatomy, Scene, make_anatomy, make_scene
from dicomnode.cohort.template import make_template_anatomy
from dicomnode.dicom.geometry import weights_of
from dicomnode.records import Stack, Volume

SPACING_MM = 3.0
ARMS = ("ich", "ich", "ich", "ich", "ich", "trauma", "trauma", "post_evt", "stroke_no_evt", "normal")
FIRST_SEED = 7_000_000
"""Seeds of these heads lie where no cohort's do."""
WARPED_SHARE = 0.35
POSE_DEG = (8.0, 4.0, 4.0)
"""SD of pitch, roll and yaw: wider than the cohort's, since a frame must be found in any head."""
AXES = (np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0]))


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownHead:
    """A painted head on a cubic grid and its coordinates.

    Attributes
    ----------
    hu : (z, y, x) float32; x increases to the left, y to the back, z to the crown.
    origin_mm : (x, y, z) of the centre of the first voxel.
    matrix : (3, 4) head coordinates from block coordinates (x, y, z), the best affine fit within the skull.
    """

    hu: NDArray[np.float32]
    origin_mm: NDArray[np.float64]
    matrix: NDArray[np.float64]


def paint_heads(out: Path, count: int, templates: Path | None) -> Iterator[Path]:
    """Paint heads that are not there yet, one file each; yields every file when it is there.

    Parameters
    ----------
    templates : folder with a CT template that a share of the heads is warped from; None paints all.

    Raises
    ------
    FileNotFoundError, ModuleNotFoundError : see :func:`~dicomnode.cohort.template.load_template`.
    """
    out.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = out / f"{number:05d}.npz"
        if not path.exists():
            head = paint_head(number, templates)
            temporary = path.with_suffix(".tmp.npz")
            np.savez_compressed(temporary, hu=head.hu.astype(np.int16), origin_mm=head.origin_mm, matrix=head.matrix)
            temporary.replace(path)
        yield path


def paint_head(number: int, templates: Path | None) -> KnownHead:
    """The head of a number; the same one for the same arguments."""
    seed = FIRST_SEED + number
    rng = np.random.default_rng(seed)
    age_years, severity = int(rng.integers(25, 95)), float(rng.uniform(-1.0, 2.0))
    lesions = draw_lesions(ARMS[number % len(ARMS)], age_years, severity, seed)
    warped, pitch, roll, yaw = rng.random() < WARPED_SHARE, *(float(angle) for angle in rng.normal(0.0, POSE_DEG))
    make = make_anatomy if templates is None or not warped else partial(make_template_anatomy, templates)
    base = make(seed, lesions, spacing_mm=SPACING_MM, rotation_deg=(pitch, roll, yaw), edition=BENT)
    return known_head(base, make_scene(base, lesions, BENT))


def known_head(base: Anatomy, scene: Scene) -> KnownHead:
    """A scene with the affine that fits its head coordinates best within the skull."""
    origin_mm = np.asarray(scene.head.origin_mm[::-1], np.float64)
    inside = base.distance < 0
    block_mm = np.argwhere(inside)[:, ::-1] * base.canvas.spacing_mm + origin_mm
    head_mm = np.stack([axis[inside] for axis in (base.canvas.x, base.canvas.y, base.canvas.z)], axis=1)
    terms = np.column_stack([block_mm, np.ones(len(block_mm))])
    fit, *_ = np.linalg.lstsq(terms, head_mm, rcond=None)
    hu = np.clip(np.rint(scene.head.hu), AIR_HU - 24.0, 2000.0).astype(np.float32)
    return KnownHead(hu=hu, origin_mm=origin_mm, matrix=np.asarray(fit.T))


def load_head(path: Path) -> KnownHead:
    """Read what :func:`paint_heads` wrote."""
    with np.load(path) as arrays:
        return KnownHead(hu=arrays["hu"].astype(np.float32), origin_mm=arrays["origin_mm"], matrix=arrays["matrix"])


def coarse_scan(head: KnownHead, rng: np.random.Generator) -> tuple[Volume, NDArray[np.float64]]:
    """The head as some scanner might show it, of another size, and its frame from the coordinates of that scan.

    Slices of 3 or 6 mm; some are left out at the crown and at the base; the scanner's HU are off by some.
    """
    scale = rng.normal(1.0, 0.03) * np.exp(rng.normal(0.0, 0.02, 3))
    step = int(rng.integers(1, 3))
    low, high = int(rng.integers(0, 20)), head.hu.shape[0] - int(rng.integers(0, 12)) * int(rng.random() < 1 / 3)
    slices = head.hu[low:high]
    slices = slices[: len(slices) // step * step].reshape(-1, step, *slices.shape[1:]).mean(axis=1)
    hu = slices + rng.normal(0.0, 6.0) + rng.normal(0.0, 3.0, slices.shape).astype(np.float32)
    z_mm = head.origin_mm[2] + SPACING_MM * (low + (step - 1) / 2 + step * np.arange(len(hu)))
    volume = _volume(hu.astype(np.float32), head.origin_mm, z_mm, scale)
    return volume, np.column_stack([head.matrix[:, :3] / scale, head.matrix[:, 3]])


def _volume(
    hu: NDArray[np.float32], origin_mm: NDArray[np.float64], z_mm: NDArray[np.float64], scale: NDArray[np.float64]
) -> Volume:
    offsets_mm = z_mm * scale[2]
    positions = np.column_stack([np.tile(origin_mm[:2] * scale[:2], (len(hu), 1)), offsets_mm])
    stack = Stack(
        order=tuple(range(len(hu))),
        positions_mm=positions,
        row_cosines=AXES[0],
        column_cosines=AXES[1],
        normal=AXES[2],
        offsets_mm=offsets_mm,
        weights_mm=weights_of(offsets_mm),
        rows=hu.shape[1],
        columns=hu.shape[2],
        row_spacing_mm=SPACING_MM * float(scale[1]),
        column_spacing_mm=SPACING_MM * float(scale[0]),
        shear=(0.0, 0.0),
    )
    return Volume(hu, stack, tuple(f"1.2.{number}" for number in range(len(hu))))
