"""Small synthetic exams on disk, as DICOM and as NIfTI, for the tests of training."""

from __future__ import annotations

import functools
import hashlib
import os
import pickle
from pathlib import Path

import nibabel
import numpy as np

import dicomnode.cohort
from dicomnode.cohort.acquire import AcquiredSeries, Acquisition, acquire
from dicomnode.cohort.dicom_series import SeriesIdentity, write_acquired
from dicomnode.cohort.head import BleedOrder, make_head
from dicomnode.cohort.statistics import BleedKind
from dicomnode.train.manifest import Case, MaskFile

POSITIONS_MM = tuple(float(z) for z in np.arange(-62.0, 84.0, 9.0))
MATRIX = 192
HEADS = Path(__file__).parents[3] / ".pytest_cache" / "heads"


def acquired_head(seed: int, volume_ml: float = 0.0) -> AcquiredSeries:
    """A head of 17 slices, with one intraparenchymal bleed unless the volume is 0.

    Made once for each state of the cohort's source, also across runs.
    """
    kept = HEADS / _state_of_the_cohort() / f"{seed}-{volume_ml:g}.pickle"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        mine = kept.with_suffix(f".{os.getpid()}")
        mine.write_bytes(pickle.dumps(_made(seed, volume_ml)))
        mine.replace(kept)
    made: AcquiredSeries = pickle.loads(kept.read_bytes())
    return made


@functools.cache
def _state_of_the_cohort() -> str:
    sources = sorted(Path(dicomnode.cohort.__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in (*sources, Path(__file__)))).hexdigest()[:16]


def _made(seed: int, volume_ml: float) -> AcquiredSeries:
    bleeds = (BleedOrder(BleedKind.INTRAPARENCHYMAL, volume_ml, 66.0),) if volume_ml else ()
    head = make_head(seed, bleeds=bleeds, spacing_mm=2.0)
    acquisition = Acquisition(positions_mm=POSITIONS_MM, matrix=MATRIX, pixel_mm=1.25, centre_mm=(2.0, -3.0))
    return acquire(head, acquisition, seed=seed)


def write_dicom_exam(series: AcquiredSeries, folder: Path, name: str) -> Case:
    """DICOM files in ``folder/name`` and the mask as the cohort stores it."""
    write_acquired(series, folder / name, SeriesIdentity(patient_name="T^T", patient_id=name, accession_number="A"))
    np.savez_compressed(folder / f"{name}-mask.npz", mask=series.mask)
    return Case(
        id=name,
        patient=name,
        image=folder / name,
        masks={"hemorrhage": MaskFile(folder / f"{name}-mask.npz")},
        synthetic=True,
    )


def nifti_of(values: np.ndarray, series: AcquiredSeries, path: Path, *, flip: bool = False) -> Path:
    """A NIfTI file of (slices, rows, columns), in RAS millimetres; ``flip`` stores the columns toward the right."""
    positions = series.image_positions_mm
    pixel = series.acquisition.pixel_mm
    lps = np.eye(4)
    lps[:3, 0] = np.array(series.image_orientation[:3]) * pixel
    lps[:3, 1] = np.array(series.image_orientation[3:]) * pixel
    lps[:3, 2] = positions[1] - positions[0]
    lps[:3, 3] = positions[0]
    stored = values.transpose(2, 1, 0)
    if flip:
        stored = stored[::-1]
        lps[:3, 3] += lps[:3, 0] * (values.shape[2] - 1)
        lps[:3, 0] *= -1
    nibabel.save(nibabel.Nifti1Image(stored, np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps), path)
    return path


def write_nifti_exam(series: AcquiredSeries, folder: Path, name: str, *, flip: bool = False, value: int = 1) -> Case:
    """Image and mask as NIfTI; the mask's voxels have ``value``."""
    folder.mkdir(parents=True, exist_ok=True)
    image = nifti_of(np.rint(series.hu).astype(np.int16), series, folder / f"{name}.nii.gz", flip=flip)
    painted = nifti_of((series.mask * value).astype(np.uint8), series, folder / f"{name}-mask.nii.gz", flip=flip)
    return Case(id=name, patient=name, image=image, masks={"hemorrhage": MaskFile(painted, (value,))}, synthetic=True)
