"""Makes a cohort on disk, and the one study of the demonstration."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

from dicomnode.cohort.acquire import AcquiredSeries, Acquisition, acquire
from dicomnode.cohort.dicom_series import SeriesIdentity, write_acquired
from dicomnode.cohort.head import BleedOrder, SyntheticHead, draw_orders, make_head
from dicomnode.cohort.statistics import BleedKind
from dicomnode.cohort.streams import derived_seed, stream

HEALTHY_SHARE = 0.25
COLUMNS = ("id", "folder", "bleed_type", "volume_ml", "slices", "slice_spacing_mm", "tilt_deg", "seed")
SHEET_TILE = 128


@dataclass(frozen=True)
class DemoStudy:
    """The study of the demonstration.

    Attributes
    ----------
    paths : one CT file per slice, from the skull base up.
    mask : (slices, rows, columns) bool, the painted truth on the slices of ``paths``.
    volume_ml : of the mask on the slice grid.
    """

    paths: list[Path]
    mask: NDArray[np.bool_]
    volume_ml: float


def make_demo_study(folder: Path, seed: int = 7) -> DemoStudy:
    """Write one series: 30 slices of 5 mm with an intraparenchymal bleed of about 25 mL; a few seconds on one core."""
    head = make_head(seed, bleeds=(BleedOrder(BleedKind.INTRAPARENCHYMAL, 25.0, 64.0),), spacing_mm=1.2)
    positions = tuple(float(z) for z in np.arange(30) * 5.0 - 62.0)
    acquired = acquire(head, Acquisition(positions, pixel_mm=0.46, centre_mm=(1.5, -2.0)), seed=seed)
    identity = SeriesIdentity(patient_name="DEMO^SYNTHETIC", patient_id="COHORT-DEMO", accession_number="DEMO0001")
    return DemoStudy(write_acquired(acquired, folder, identity), acquired.mask, acquired.volume_ml)


def _acquisition(rng: np.random.Generator) -> Acquisition:
    """A scanner protocol: spacing, thickness, tilt, kernel, noise and calibration of one site."""
    spacing = float(rng.choice([2.5, 3.0, 4.0, 5.0, 5.0, 7.0]))
    tilt = float(rng.uniform(-20.0, 20.0)) if rng.random() < 0.4 else 0.0
    return Acquisition(
        positions_mm=tuple(float(z) for z in np.arange(-68.0, 88.0, spacing)),
        thickness_mm=float(spacing * rng.uniform(0.6, 1.0)),
        tilt_deg=round(tilt, 1),
        pixel_mm=round(float(rng.uniform(0.42, 0.5)), 4),
        centre_mm=(round(float(rng.normal(0.0, 5.0)), 2), round(float(rng.normal(0.0, 5.0)), 2)),
        kernel=str(rng.choice(["SOFT", "STANDARD"])),
        noise_hu=float(rng.uniform(2.0, 5.0)),
        hu_offset=float(np.clip(rng.normal(0.0, 4.0), -15.0, 15.0)),
    )


def _identity(index: int, rng: np.random.Generator) -> SeriesIdentity:
    age = int(np.clip(rng.normal(66.0, 15.0), 18, 95))
    day, month = int(rng.integers(1, 29)), int(rng.integers(1, 13))
    return SeriesIdentity(
        patient_name=f"COHORT^{index:04d}",
        patient_id=f"COHORT-{index:04d}",
        birth_date=f"{2025 - age - 1}0615",
        sex=str(rng.choice(["F", "M"])),
        age=f"{age:03d}Y",
        accession_number=f"ACC{index:04d}",
        study_date=f"2025{month:02d}{day:02d}",
        study_time=f"{int(rng.integers(0, 24)):02d}{int(rng.integers(0, 60)):02d}00",
    )


def _contact_sheet(acquired: AcquiredSeries, path: Path) -> None:
    """Every slice in the brain window (0 to 80 HU), blood in red."""
    step = max(1, acquired.acquisition.matrix // SHEET_TILE)
    grey = np.clip(acquired.hu[:, ::step, ::step] / 80.0, 0.0, 1.0) * 255.0
    colour = np.repeat(grey[..., None], 3, axis=-1)
    colour[acquired.mask[:, ::step, ::step], 1:] *= 0.35
    columns = int(np.ceil(np.sqrt(len(colour))))
    blank = np.zeros((-len(colour) % columns, *colour.shape[1:]))
    tiles = np.concatenate([colour, blank]).reshape(-1, columns, *colour.shape[1:])
    picture = tiles.transpose(0, 2, 1, 3, 4).reshape(-1, columns * colour.shape[2], 3)
    Image.fromarray(picture.astype(np.uint8)).save(path)


def _make_patient(out: Path, index: int, seed: int) -> dict[str, object]:
    rng = stream(seed, "patient")
    orders = () if rng.random() < HEALTHY_SHARE else draw_orders(rng)
    head: SyntheticHead = make_head(seed, bleeds=orders)
    acquired = acquire(head, _acquisition(rng), seed=seed)
    name = f"patient-{index:04d}"
    write_acquired(acquired, out / name / "ct", _identity(index, rng))
    np.savez_compressed(out / name / "mask.npz", mask=acquired.mask)
    _contact_sheet(acquired, out / name / "contact_sheet.png")
    positions = acquired.acquisition.positions_mm
    return {
        "id": f"COHORT-{index:04d}",
        "folder": f"{name}/ct",
        "bleed_type": "+".join(bleed.kind.value for bleed in head.bleeds) or "none",
        "volume_ml": f"{acquired.volume_ml:.3f}",
        "slices": len(positions),
        "slice_spacing_mm": f"{positions[1] - positions[0]:g}",
        "tilt_deg": f"{acquired.acquisition.tilt_deg:g}",
        "seed": seed,
    }


def make_cohort(out: Path, patients: int, seed: int, progress: bool = True) -> Path:
    """Make patients on disk: a CT series, the mask, a contact sheet each, and one manifest.

    Parameters
    ----------
    out : folder; ``patient-0001/ct/0001.dcm``, ``patient-0001/mask.npz`` (``mask``: (slices, rows, columns) bool, in
        file order), ``patient-0001/contact_sheet.png``, ``manifest.csv``.
    seed : of the cohort; patient k is the same whatever the number of patients.
    progress : show a bar.

    Returns
    -------
    Path of ``manifest.csv``.
    """
    out.mkdir(parents=True, exist_ok=True)
    indices = track(range(1, patients + 1), description="patients", disable=not progress)
    rows = [_make_patient(out, index, derived_seed(seed, "patient", index)) for index in indices]
    manifest = out / "manifest.csv"
    with manifest.open("w", newline="", encoding="utf-8") as stream_:
        writer = csv.DictWriter(stream_, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return manifest
