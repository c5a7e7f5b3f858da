"""Training planes from synthetic heads: what the runner would show the network, with its truth."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicomnode.cohort.acquire import Acquisition, acquire
from dicomnode.cohort.head import SyntheticHead, draw_orders, make_head
from dicomnode.cohort.streams import derived_seed, stream

HEAD_GRID_MM = 1.4
HEALTHY_SHARE = 0.35
SERIES_PER_HEAD = 2


@dataclass(frozen=True)
class TrainingSeries:
    """Slices of one synthetic series on the model's planes.

    Attributes
    ----------
    hu : (slices, size, size) int16.
    mask : (slices, size, size) bool.
    voxel_ml : volume of one plane pixel.
    """

    hu: NDArray[np.int16]
    mask: NDArray[np.bool_]
    voxel_ml: float


def _acquisition(head: SyntheticHead, rng: np.random.Generator, size: int, pixel_mm: float) -> Acquisition:
    """Random slices through the head: 3 to 7.5 mm apart, up to as thick, any noise, slightly off centre."""
    inside = np.nonzero(head.cavity)
    low, high = (np.array([np.percentile(axis, q) for axis in inside]) for q in (1.0, 99.5))
    low[0] = np.percentile(inside[0], 4.0)
    origin, spacing = np.array(head.origin_mm), np.array(head.spacing_mm)
    bottom, top = origin + low * spacing, origin + high * spacing
    distance = rng.uniform(3.0, 7.5)
    positions = np.arange(bottom[0] - rng.uniform(0.0, 25.0), top[0] + 12.0, distance)
    centre = (bottom + top)[1:] / 2 + rng.normal(0.0, 5.0, 2)
    return Acquisition(
        positions_mm=tuple(float(z) for z in positions),
        thickness_mm=float(distance * rng.uniform(0.3, 1.0)),
        matrix=size,
        pixel_mm=pixel_mm,
        centre_mm=(float(centre[1]), float(centre[0])),
        kernel=str(rng.choice(["SOFT", "STANDARD", "STANDARD"])),
        noise_hu=float(rng.uniform(0.8, 4.0)),
        holder=bool(rng.random() < 0.7),
    )


def head_series(seed: int, size: int, pixel_mm: float, *, healthy: bool | None = None) -> list[TrainingSeries]:
    """Series of one random head.

    Parameters
    ----------
    healthy : without bleed; None draws it.
    """
    rng = stream(seed, "training head")
    clean = rng.random() < HEALTHY_SHARE if healthy is None else healthy
    tilted = float(rng.uniform(-22.0, 22.0)) if rng.random() < 0.5 else float(rng.normal(0.0, 4.0))
    pose = (tilted, float(rng.normal(0.0, 4.0)), float(rng.normal(0.0, 5.0)))
    head = make_head(seed, bleeds=() if clean else draw_orders(rng), rotation_deg=pose, spacing_mm=HEAD_GRID_MM)
    result = []
    for index in range(SERIES_PER_HEAD):
        acquisition = _acquisition(head, stream(seed, "acquisition", index), size, pixel_mm)
        series = acquire(head, acquisition, seed=derived_seed(seed, "series", index))
        gap = acquisition.positions_mm[1] - acquisition.positions_mm[0]
        hu = np.clip(np.rint(series.hu), -1024, 3071).astype(np.int16)
        result.append(TrainingSeries(hu, series.mask, gap * pixel_mm**2 / 1000.0))
    return result


@dataclass(frozen=True, slots=True)
class _Job:
    seed: int
    size: int
    pixel_mm: float
    healthy: bool | None
    cache: Path | None


def _do(job: _Job) -> list[TrainingSeries]:
    if job.cache is None:
        return head_series(job.seed, job.size, job.pixel_mm, healthy=job.healthy)
    file = job.cache / f"{job.seed}-{job.size}-{job.pixel_mm:g}-{job.healthy}.npz"
    if not file.exists():
        series = head_series(job.seed, job.size, job.pixel_mm, healthy=job.healthy)
        arrays = {
            f"{name}{k}": getattr(one, name) for k, one in enumerate(series) for name in ("hu", "mask", "voxel_ml")
        }
        part = file.with_suffix(f".{os.getpid()}.npz")
        np.savez(part, **arrays)
        part.replace(file)
    with np.load(file) as stored:
        count = len(stored.files) // 3
        return [
            TrainingSeries(stored[f"hu{k}"], stored[f"mask{k}"], float(stored[f"voxel_ml{k}"])) for k in range(count)
        ]


def make_series(
    seed: int,
    heads: int,
    size: int,
    pixel_mm: float,
    *,
    healthy: bool | None = None,
    processes: int = 1,
    cache: Path | None = None,
) -> Iterator[list[TrainingSeries]]:
    """Series of many heads, head by head, in a fixed order whatever the number of processes.

    Parameters
    ----------
    cache : folder for made heads, to be emptied when the cohort's code changes; None makes them anew.
    """
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
    jobs = [_Job(derived_seed(seed, "head", index), size, pixel_mm, healthy, cache) for index in range(heads)]
    if processes == 1:
        yield from map(_do, jobs)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap(_do, jobs, chunksize=2)
