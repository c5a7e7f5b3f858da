"""The scanners of sites A, B and C: protocol, kernel, noise and what goes wrong (motion, metal, streaks, couch).

Physics is kept to what a model must cope with: slabs that mix tissues, a kernel's blur and correlated noise, a table
and a head holder in the picture, a field of view of 200 to 500 mm, stripes from metal and from bone, a head that moved.
Masks lie on the slices: blood fills more than half of the voxel, and no bone outshines it. Calcium is labelled wherever
it shows, also at partial volume (2 mm of it in a slice of 5 mm look like blood): it alone raises the noise-free slice
by ``RAISED_HU`` or more, and the slice is denser than brain there. Never over blood.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, shift

from dicomnode.cohort.acquire import (
    AcquiredSeries,
    Acquisition,
    SlabSampler,
    filtered,
    holder_plane,
    noise_plane,
    slice_weights_mm,
)
from dicomnode.cohort.canvas import AIR_HU
from dicomnode.cohort.fields import Field
from dicomnode.cohort.findings import Finding
from dicomnode.cohort.patients import Site
from dicomnode.cohort.scene import Scene
from dicomnode.cohort.streams import stream

OLD_BLOOD = (Finding.SUBDURAL_ISODENSE, Finding.SUBDURAL_CHRONIC)
BRAIN_HU, DENSE_HU = 35.0, 45.0
"""Brain without calcium, about, and what is denser than any brain."""
RAISED_HU = 8.0
"""Calcium that adds less to a slice does not show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanner:
    """One site's scanner and head protocol.

    Attributes
    ----------
    spacings_mm : distances between slices in use; two numbers in one entry: lower and upper part of the head.
    tilt_share, tilt_limit_deg : how often and how far the gantry leans.
    offset_hu : mean and SD of the calibration error.
    wide_share : share of scans with a field of view above 300 mm.
    """

    manufacturer: str
    model: str
    spacings_mm: tuple[tuple[float, ...], ...]
    thickness_share: tuple[float, float]
    kernels: tuple[str, ...]
    noise_hu: tuple[float, float]
    tilt_share: float
    tilt_limit_deg: float
    offset_hu: tuple[float, float]
    holder: float
    couch: float
    wide_share: float


SCANNERS: dict[Site, Scanner] = {
    Site.A: Scanner(
        manufacturer="dicomnode cohort A",
        model="Synthetic 64",
        spacings_mm=((5.0,), (5.0,), (3.0,)),
        thickness_share=(0.8, 1.0),
        kernels=("STANDARD", "SOFT"),
        noise_hu=(2.0, 3.5),
        tilt_share=0.15,
        tilt_limit_deg=12.0,
        offset_hu=(0.0, 2.0),
        holder=0.8,
        couch=0.1,
        wide_share=0.05,
    ),
    Site.B: Scanner(
        manufacturer="dicomnode cohort B",
        model="Synthetic 16",
        spacings_mm=((2.5,), (4.0,), (4.0, 7.0), (1.25,)),
        thickness_share=(0.5, 1.0),
        kernels=("STANDARD", "STANDARD", "STANDARD", "STANDARD", "SOFT", "SOFT", "BONE"),
        noise_hu=(2.5, 4.5),
        tilt_share=0.5,
        tilt_limit_deg=22.0,
        offset_hu=(-3.0, 6.0),
        holder=0.4,
        couch=0.5,
        wide_share=0.2,
    ),
    Site.C: Scanner(
        manufacturer="dicomnode cohort C",
        model="Synthetic 4",
        spacings_mm=((7.0,), (6.0,), (4.22, 7.38)),
        thickness_share=(0.9, 1.0),
        kernels=("SOFT",),
        noise_hu=(3.0, 5.0),
        tilt_share=0.8,
        tilt_limit_deg=20.0,
        offset_hu=(4.0, 5.0),
        holder=1.0,
        couch=0.3,
        wide_share=0.1,
    ),
}
"""Made-up scanners; the ranges are those met in practice."""


@dataclass(frozen=True, slots=True)
class Artefacts:
    """What goes wrong in one scan.

    Attributes
    ----------
    motion_mm : SD of the shift of a slice that moved; zero for a head at rest.
    moved : share of slices that moved.
    metal_mm : (x, y, z) of a metal object in head coordinates and its radius; None without.
    streaks_hu : height of stripes from bone.
    couch : whether the table is in the picture.
    """

    motion_mm: float = 0.0
    moved: float = 0.0
    metal_mm: tuple[float, float, float, float] | None = None
    streaks_hu: float = 0.0
    couch: bool = False


@dataclass(frozen=True)
class Scan:
    """A scanned scene.

    Attributes
    ----------
    series : HU, geometry and the mask of all blood.
    findings : (slices, rows, columns) uint8 of :class:`~dicomnode.cohort.scene.Finding`.
    """

    series: AcquiredSeries
    findings: NDArray[np.uint8]
    artefacts: Artefacts

    def volume_ml(self, finding: Finding) -> float:
        """Volume of one kind on the slices: voxels x area x slice weight."""
        scan = self.series.acquisition
        weights = slice_weights_mm(scan.positions_mm, scan.tilt_deg)
        return float(((self.findings == finding).sum(axis=(1, 2)) * weights).sum() * scan.pixel_mm**2 / 1000.0)


def _positions(spacings_mm: tuple[float, ...], rng: np.random.Generator) -> tuple[float, ...]:
    """Table positions through the whole head, so that every lesion is in the picture."""
    start = -66.0 + float(rng.uniform(-6.0, 4.0))
    border = start + 14 * spacings_mm[0] if len(spacings_mm) > 1 else 90.0
    places = list(np.arange(start, min(border, 88.0), spacings_mm[0]))
    if len(spacings_mm) > 1:
        places += list(np.arange(places[-1] + spacings_mm[1], 88.0, spacings_mm[1]))
    return tuple(round(float(z), 3) for z in places)


def draw_protocol(site: Site, seed: int, scan: str, matrix: int = 512) -> tuple[Acquisition, Artefacts]:
    """Protocol and mishaps of one scan.

    Parameters
    ----------
    scan : "baseline" or "follow-up"; each draws its own.
    """
    rng, scanner = stream(seed, "protocol", scan), SCANNERS[site]
    spacings = scanner.spacings_mm[int(rng.integers(len(scanner.spacings_mm)))]
    tilted = rng.random() < scanner.tilt_share
    fov = float(rng.uniform(300.0, 500.0) if rng.random() < scanner.wide_share else rng.uniform(215.0, 260.0))
    acquisition = Acquisition(
        positions_mm=_positions(spacings, rng),
        thickness_mm=round(float(min(spacings) * rng.uniform(*scanner.thickness_share)), 2),
        tilt_deg=round(float(rng.uniform(-1.0, 1.0) * scanner.tilt_limit_deg), 1) if tilted else 0.0,
        matrix=matrix,
        pixel_mm=round(fov / matrix, 4),
        centre_mm=(round(float(rng.normal(0.0, 4.0)), 2), round(float(rng.normal(0.0, 5.0)), 2)),
        kernel=str(rng.choice(scanner.kernels)),
        noise_hu=round(float(rng.uniform(*scanner.noise_hu)), 2),
        hu_offset=round(float(np.clip(rng.normal(*scanner.offset_hu), -15.0, 15.0)), 1),
        holder=bool(rng.random() < scanner.holder),
    )
    return acquisition, _draw_artefacts(scanner, stream(seed, "artefacts", scan))


def _draw_artefacts(scanner: Scanner, rng: np.random.Generator) -> Artefacts:
    moves, metal = rng.random() < 0.15, rng.random() < 0.06
    side = float(rng.choice([-1.0, 1.0]))
    place = (side * float(rng.uniform(15.0, 40.0)), float(rng.uniform(-75.0, -45.0)), float(rng.uniform(-70.0, -55.0)))
    return Artefacts(
        motion_mm=float(rng.uniform(0.5, 3.0)) if moves else 0.0,
        moved=float(rng.uniform(0.1, 0.4)) if moves else 0.0,
        metal_mm=(*place, float(rng.uniform(2.0, 5.0))) if metal else None,
        streaks_hu=float(rng.uniform(0.0, 4.0)),
        couch=bool(rng.random() < scanner.couch),
    )


def _couch(sampler: SlabSampler) -> Field:
    """(rows, columns) HU to add for a table: a curved shell below the head with foam inside."""
    x, y = sampler.across[None, :], (sampler.down * sampler.cos)[:, None]
    below = y - (128.0 - 0.0009 * x**2)
    shell = np.clip(1.0 - np.abs(below) / 2.0, 0.0, 1.0) * 900.0
    foam = ((below > 2.0) & (below < 45.0)) * 60.0
    return np.where(np.abs(x) < 205.0, shell + foam, 0.0).astype(np.float32)


def _metal(sampler: SlabSampler, artefacts: Artefacts, position_mm: float) -> Field | None:
    """Dense object with bright and dark rays, in the slices near it."""
    if artefacts.metal_mm is None:
        return None
    x0, y0, z0, radius = artefacts.metal_mm
    x, y = sampler.across[None, :] - x0, sampler.down[:, None] - y0
    away = abs(position_mm - y0 * sampler.sin - z0)
    if away > radius + 6.0:
        return None
    r, angle = np.hypot(x, y) + 1e-3, np.arctan2(y, x)
    rays = np.sin(6.0 * angle + 1.0) + 0.6 * np.sin(11.0 * angle)
    streak = 900.0 * rays * np.exp(-r / 35.0) * np.exp(-away / 4.0)
    return np.asarray(streak + 3000.0 * np.clip(radius - r + 0.5, 0.0, 1.0) * (away < radius), np.float32)


def _streaks(plane: Field, sampler: SlabSampler, height_hu: float, rng: np.random.Generator) -> Field:
    """Stripes along x where rays run through much bone (beam hardening, photon starvation)."""
    bone = (plane > 300.0).sum(axis=1).astype(np.float32)
    rows = gaussian_filter1d(rng.standard_normal(sampler.down.size), 1.2 / sampler.acquisition.pixel_mm)
    rows *= height_hu / max(float(rows.std()), 1e-6)
    return np.asarray((rows * np.clip(bone / (bone.max() + 1.0), 0.0, 1.0) ** 2)[:, None], np.float32)


def _moved(plane: Field, artefacts: Artefacts, pixel_mm: float, rng: np.random.Generator) -> Field:
    """A slice during which the head moved: two positions mixed."""
    if rng.random() >= artefacts.moved:
        return plane
    step = rng.normal(0.0, artefacts.motion_mm / pixel_mm, 2)
    return np.asarray(0.6 * plane + 0.4 * shift(plane, step, order=1, mode="nearest"), np.float32)


def _kinds(sampler: SlabSampler, scene: Scene) -> dict[Finding, tuple[Field, float, float]]:
    """Share of each kind on the head's grid and the z range it lies in."""
    result: dict[Finding, tuple[Field, float, float]] = {}
    for finding in Finding:
        where = np.nonzero((scene.findings == finding).any(axis=(1, 2)))[0]
        if finding and finding is not Finding.CALCIUM and where.size:
            low, high = (scene.head.origin_mm[0] + scene.head.spacing_mm[0] * edge for edge in (where[0], where[-1]))
            slack = sampler.acquisition.thickness_mm + 115.0 * abs(sampler.sin)
            result[finding] = ((scene.findings == finding).astype(np.float32), low - slack, high + slack)
    return result


def _findings_plane(
    sampler: SlabSampler,
    kinds: dict[Finding, tuple[Field, float, float]],
    position_mm: float,
    plane: Field,
    bony_hu: float,
) -> NDArray[np.uint8]:
    """(rows, columns) kind of lesion: blood where all blood fills more than half, else others where lesions do."""
    labels = np.zeros((2, *plane.shape), np.uint8)
    total, largest = np.zeros(labels.shape, np.float32), np.zeros(labels.shape, np.float32)
    for finding, (share, low, high) in kinds.items():
        if low <= position_mm <= high:
            here, group = sampler.plane(share, position_mm, 0.0), int(finding > Finding.EPIDURAL)
            labels[group][here > largest[group]] = finding
            np.maximum(largest[group], here, out=largest[group])
            total[group] += here
    lesion = total.sum(axis=0) > 0.5
    result = np.where(total[0] > 0.5, labels[0], np.where(lesion, labels[1], Finding.NONE)).astype(np.uint8)
    beside_bone = (total[0] > 0.5) | np.isin(result, OLD_BLOOD)
    result[beside_bone & (plane >= bony_hu)] = Finding.NONE
    return np.asarray(result)


def _calcium(scene: Scene) -> Field | None:
    """(z, y, x) HU that calcium adds to brain; None where there is none."""
    where = scene.findings == Finding.CALCIUM
    return np.where(where, np.maximum(scene.head.hu - BRAIN_HU, 0.0), 0.0).astype(np.float32) if where.any() else None


def _mark_calcium(
    labels: NDArray[np.uint8], sampler: SlabSampler, added: Field, position_mm: float, plane: Field
) -> None:
    """Label calcium on a slice, in place; see the rule above."""
    raised = sampler.plane(added, position_mm, 0.0)
    rows, columns = np.nonzero(raised > 0.5 * RAISED_HU)
    if rows.size:
        part = tuple(slice(max(int(at.min()) - 8, 0), int(at.max()) + 9) for at in (rows, columns))
        shows = (filtered(raised[part], sampler.acquisition) > RAISED_HU) & (plane[part] > DENSE_HU)
        free = (labels[part] == Finding.NONE) | (labels[part] > Finding.EPIDURAL)
        labels[part][shows & free] = Finding.CALCIUM


def _plane(scene: Scene, sampler: SlabSampler, index: int, artefacts: Artefacts, added: Field, seed: int) -> Field:
    """(rows, columns) HU of one slice without noise."""
    acquisition = sampler.acquisition
    position = acquisition.positions_mm[index]
    plane: Field = sampler.plane(scene.head.hu, position, AIR_HU) + added
    metal = _metal(sampler, artefacts, position)
    plane = plane if metal is None else plane + metal
    if artefacts.moved:
        plane = _moved(plane, artefacts, acquisition.pixel_mm, stream(seed, "motion", index))
    return filtered(plane, acquisition)


def scan_scene(scene: Scene, acquisition: Acquisition, artefacts: Artefacts, seed: int) -> Scan:
    """Scan a head with its lesions; the same arguments give the same bytes."""
    sampler = SlabSampler(scene.head, acquisition)
    kinds, calcium = _kinds(sampler, scene), _calcium(scene)
    added: Field = np.zeros((acquisition.matrix, acquisition.matrix), np.float32)
    added = added + holder_plane(sampler) if acquisition.holder else added
    added = added + _couch(sampler) if artefacts.couch else added
    planes: list[Field] = []
    labels: list[NDArray[np.uint8]] = []
    for index, position in enumerate(acquisition.positions_mm):
        plane = _plane(scene, sampler, index, artefacts, added, seed)
        labels.append(_findings_plane(sampler, kinds, position, plane, scene.bony_hu))
        if calcium is not None:
            _mark_calcium(labels[-1], sampler, calcium, position, plane)
        noisy: Field = plane + noise_plane(plane.shape, acquisition, stream(seed, "noise", index))
        noisy = noisy + _streaks(plane, sampler, artefacts.streaks_hu, stream(seed, "streaks", index))
        planes.append(noisy + np.float32(acquisition.hu_offset))
    findings = np.stack(labels)
    return Scan(_series(sampler, np.stack(planes), findings), findings, artefacts)


def _series(sampler: SlabSampler, hu: Field, findings: NDArray[np.uint8]) -> AcquiredSeries:
    acquisition = sampler.acquisition
    x, y = sampler.across[0], sampler.down[0]
    positions = [(x, y * sampler.cos, z - y * sampler.sin) for z in acquisition.positions_mm]
    mask = (findings > 0) & (findings <= Finding.EPIDURAL)
    weights = slice_weights_mm(acquisition.positions_mm, acquisition.tilt_deg)
    volume_ml = float((mask.sum(axis=(1, 2)) * weights).sum() * acquisition.pixel_mm**2 / 1000.0)
    orientation = (1.0, 0.0, 0.0, 0.0, sampler.cos, -sampler.sin)
    return AcquiredSeries(
        acquisition=acquisition,
        hu=hu.astype(np.float32),
        mask=mask,
        image_positions_mm=np.array(positions),
        image_orientation=orientation,
        volume_ml=volume_ml,
    )
