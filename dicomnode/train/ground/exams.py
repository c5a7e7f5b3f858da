"""A series without blood -> exams to train on: as it is, bent, and with bleeds, as DICOM with the masks beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from rich.progress import track

from dicomnode.cohort.findings import BLOOD
from dicomnode.cohort.streams import stream
from dicomnode.dicom.headers import SliceHeader, header_of
from dicomnode.dicom.libraries import set_up_pydicom
from dicomnode.images.files import dicom_files
from dicomnode.images.volume import read_volume
from dicomnode.records import Volume
from dicomnode.train.ground.bleeds import Kind, Painted, clean, paint
from dicomnode.train.ground.ground import Field, bent, ground_of
from dicomnode.train.importers.cohort import masks_of
from dicomnode.train.manifest import Case, Split
from dicomnode.train.masks import DENSE_MASK

UNKNOWN_MASKS = (DENSE_MASK, "calcium", "staining", "infarct")
"""Nobody has marked what calcium and old infarcts the real head holds."""
COUNTS: Mapping[Kind | None, int] = {
    None: 16,
    Kind.SUBDURAL: 26,
    Kind.PARENCHYMAL: 16,
    Kind.SUBARACHNOID: 12,
    Kind.EPIDURAL: 10,
    Kind.VENTRICULAR: 6,
}
"""Exams of each kind; None: without blood, the first of them the head as it is."""
SITE = "real head"


@dataclass(frozen=True, slots=True)
class Order:
    """One exam to be made."""

    name: str
    kind: Kind | None
    seed: int
    is_first: bool


def make_exams(series: Path, out: Path, seed: int, processes: int = 1) -> list[Case]:
    """Make what is not yet there.

    Parameters
    ----------
    series : folder with one head CT without blood.
    out : one folder an exam.

    Returns
    -------
    Training exams of one patient. Their masks say nothing of what is dense and no blood.

    Raises
    ------
    ReadError, SeriesError : the series cannot be read, or is no head.
    """
    orders = [
        Order(f"{kind or 'clean'}-{index:03}", kind, seed + index, kind is None and index == 0)
        for kind, count in COUNTS.items()
        for index in range(count)
    ]
    missing = [order for order in orders if not (out / order.name / "masks.npz").exists()]
    if missing:
        with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
            made = pool.map(partial(_make, series, out), missing)
            for _ in track(made, description="painting on a real head", total=len(missing)):
                pass
    return [_case(out / order.name, order) for order in orders]


def _make(series: Path, out: Path, order: Order) -> None:
    set_up_pydicom()
    datasets = [pydicom.dcmread(path) for path in dicom_files(series)]
    volume = read_volume([Path(str(ds.filename)) for ds in datasets])
    painted = _painted(volume, order)
    _write([datasets[index] for index in volume.stack.order], painted, out / order.name)


def _painted(volume: Volume, order: Order) -> Painted:
    rng = stream(order.seed, "ground", order.kind or "clean")
    ground = ground_of(volume if order.is_first else bent(volume, rng))
    return clean(ground) if order.kind is None else paint(ground, order.kind, rng)


def _write(datasets: Sequence[Dataset], painted: Painted, folder: Path) -> None:
    """Slices in the order of the stack; the masks last, since they say that all is there."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, (ds, hu) in enumerate(zip(datasets, painted.hu, strict=True)):
        _write_slice(ds, hu, folder / f"{index:04}.dcm")
    np.savez_compressed(
        folder / "masks.npz", mask=np.isin(painted.findings, [*map(int, BLOOD)]), findings=painted.findings
    )


def _write_slice(ds: Dataset, hu: Field, path: Path) -> None:
    if ds.file_meta.TransferSyntaxUID.is_compressed:
        ds.decompress(generate_instance_uid=False)
    slope, intercept = SliceHeader.of(header_of(ds)).rescale or (1.0, 0.0)
    kind = np.dtype(f"<{'i' if ds.PixelRepresentation else 'u'}{ds.BitsAllocated // 8}")
    limits = np.iinfo(kind)
    stored = np.clip(np.rint((hu - intercept) / slope), limits.min, limits.max)
    ds.PixelData = stored.astype(kind).tobytes()
    ds.save_as(path, enforce_file_format=True)


def _case(folder: Path, order: Order) -> Case:
    masks = masks_of(folder / "masks.npz")
    known = {name: mask for name, mask in masks.items() if name not in UNKNOWN_MASKS}
    return Case(
        id=f"ground/{order.name}",
        patient="ground",
        image=folder,
        masks=known,
        labels={"hemorrhage": float(order.kind is not None)},
        split=Split.TRAIN,
        site=SITE,
        synthetic=True,
    )
