"""Makes a cohort on disk, and the one study of the demonstration."""

from __future__ import annotations

import csv
import hashlib
import json
import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from dicomnode.cohort import nifti, sheets
from dicomnode.cohort.acquire import Acquisition, acquire
from dicomnode.cohort.dicom_series import SeriesIdentity, write_acquired
from dicomnode.cohort.edition import Version
from dicomnode.cohort.head import BleedOrder, make_head
from dicomnode.cohort.patient_files import FOLDERS, FORMATS, MASKS, SCANS, MadePatient, PatientOrder, make_patient
from dicomnode.cohort.patients import Arm, Site
from dicomnode.cohort.second.frozen import CEILINGS
from dicomnode.cohort.statistics import BleedKind
from dicomnode.cohort.streams import derived_seed
from dicomnode.cohort.template import load_template

SHEET_PATIENTS = 40
"""At most so many patients on the contact sheet of a cohort."""


@dataclass(frozen=True, kw_only=True)
class DemoStudy:
    """The study of a demonstration.

    Attributes
    ----------
    paths : one CT file per slice, from the skull base up.
    mask : (slices, rows, columns) bool, the painted blood on the slices of ``paths``.
    volume_ml : of the mask on the slice grid. staining_ml : of contrast medium in the brain.
    later : files of a second CT of the same patient; empty where there is none. later_ml : of blood on it.
    """

    paths: list[Path]
    mask: NDArray[np.bool_]
    volume_ml: float
    staining_ml: float = 0.0
    later: tuple[Path, ...] = ()
    later_ml: float = 0.0


def make_demo_study(folder: Path, seed: int = 7) -> DemoStudy:
    """Write one series: 30 slices of 5 mm with an intraparenchymal bleed of about 25 mL; a few seconds on one core."""
    head = make_head(seed, bleeds=(BleedOrder(BleedKind.INTRAPARENCHYMAL, 25.0, 64.0),), spacing_mm=1.2)
    positions = tuple(float(z) for z in np.arange(30) * 5.0 - 62.0)
    acquired = acquire(head, Acquisition(positions_mm=positions, pixel_mm=0.46, centre_mm=(1.5, -2.0)), seed=seed)
    identity = SeriesIdentity(patient_name="DEMO^SYNTHETIC", patient_id="COHORT-DEMO", accession_number="DEMO0001")
    paths = write_acquired(acquired, folder, identity)
    return DemoStudy(paths=paths, mask=acquired.mask, volume_ml=acquired.volume_ml)


def make_thrombectomy_study(folder: Path, seed: int = 24) -> DemoStudy:
    """Write the first CT of a patient after thrombectomy, and one a day later; some ten seconds on one core."""
    order = PatientOrder(out=folder, index=1, seed=seed, arm=Arm.POST_EVT, site=Site.A, version=Version.TWO)
    row = make_patient(order).row
    there = folder / f"patient-{order.index:04d}"
    with np.load(there / MASKS["baseline"]) as painted:
        mask = painted["mask"]
    return DemoStudy(
        paths=sorted((there / FOLDERS["baseline"]).iterdir()),
        mask=mask,
        volume_ml=float(str(row["volume_ml"])),
        staining_ml=float(json.loads(str(row["volumes_ml"])).get("staining", 0.0)),
        later=tuple(sorted((there / FOLDERS["follow-up"]).iterdir())),
        later_ml=float(str(row["followup_volume_ml"])),
    )


@contextmanager
def _made(orders: Sequence[PatientOrder], processes: int) -> Iterator[Iterable[MadePatient]]:
    """Patients in order, whatever the number of processes."""
    if processes == 1 or len(orders) < 2 * processes:
        yield map(make_patient, orders)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield pool.imap(make_patient, orders)


def _write_cohort(out: Path, made: Sequence[MadePatient], facts: dict[str, object]) -> Path:
    manifest = out / "manifest.csv"
    with manifest.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(made[0].row))
        writer.writeheader()
        writer.writerows(patient.row for patient in made)
    digest = hashlib.sha256("".join(patient.digest for patient in made).encode()).hexdigest()
    stated = {"digest": digest, **facts, **_ceilings(made, str(facts["cohort_version"]))}
    (out / "cohort.json").write_text(json.dumps(stated, indent=2) + "\n", encoding="utf-8")
    sheets.save(np.concatenate([patient.strips for patient in made[:SHEET_PATIENTS]]), out / "contact_sheet.png")
    return manifest


def _ceilings(made: Sequence[MadePatient], version: str) -> dict[str, object]:
    """How well each outcome of these patients can be known, from which channels."""
    names = {name for patient in made for name in json.loads(str(patient.row["labels"]))}
    known = {name: dict(values) for name, values in CEILINGS.items() if name in names}
    return {} if version == Version.ONE else {"ceilings": known}


def make_cohort(
    out: Path,
    patients: int,
    seed: int,
    progress: bool = True,
    *,
    arm: str = "mixed",
    site: str = "A",
    anatomy: Path | None = None,
    matrix: int = 512,
    formats: Sequence[str] | None = None,
    processes: int = 1,
    version: str = Version.TWO,
    followup: bool = True,
) -> Path:
    """Make patients on disk, each with a baseline and a follow-up CT, and one manifest.

    Parameters
    ----------
    out : folder; per patient ``patient-0001/ct/0001.dcm``, ``followup_ct/``, ``mask.npz`` and ``followup_mask.npz``
        (``mask``: (slices, rows, columns) bool, all blood; ``findings``: uint8 of
        :class:`~dicomnode.cohort.scene.Finding`; both in file order) and ``contact_sheet.png``; for all
        ``manifest.csv``, ``cohort.json`` (version and digest) and ``contact_sheet.png`` (baseline left, follow-up
        right).
    seed : of the cohort; patient k is the same whatever the number of patients and processes.
    progress : show a bar.
    arm, site : names of :class:`~dicomnode.cohort.patients.Arm` and :class:`~dicomnode.cohort.patients.Site`.
    anatomy : folder with the CT template of :mod:`dicomnode.cohort.template`, from which all heads are warped; None
        paints procedural heads.
    matrix : rows and columns; 300 or fewer, and again 128 or fewer, paint the head on a coarser grid, for quick work.
    formats : "dicom", "nifti" (needs nibabel; uneven stacks have none), "array" (int16 HU, ``ct.npy``); None means
        DICOM, and NIfTI where nibabel is installed.
    processes : to work in.
    version : of the cohort, "1" or "2"; published figures of the haemorrhage model rest on the first.
    followup : make the second scan too.

    Returns
    -------
    Path of ``manifest.csv``. Its columns ``variables`` (units in the names, null where missing), ``labels`` and
    ``oracle`` (probability of each label given all that image, text and variables show) hold JSON.

    Raises
    ------
    ValueError : an arm, site, format or version does not exist, or NIfTI or a template need nibabel, which is not
        installed.
    FileNotFoundError : ``anatomy`` holds no template.
    """
    chosen = tuple(formats) if formats is not None else ("dicom", "nifti") if nifti.available() else ("dicom",)
    if unknown := set(chosen) - set(FORMATS):
        raise ValueError(f"no such format: {', '.join(sorted(unknown))}; there are {', '.join(FORMATS)}")
    if ("nifti" in chosen or anatomy) and not nifti.available():
        raise ValueError("NIfTI and CT templates need nibabel, which is not installed (pip install nibabel)")
    if anatomy:
        load_template(anatomy)
    out.mkdir(parents=True, exist_ok=True)
    orders = [
        PatientOrder(
            out=out,
            index=index,
            seed=derived_seed(seed, "patient", index),
            arm=Arm(arm),
            site=Site(site),
            matrix=matrix,
            formats=chosen,
            anatomy=anatomy,
            version=Version(version),
            scans=SCANS if followup else SCANS[:1],
        )
        for index in range(1, patients + 1)
    ]
    with _made(orders, processes) as stream:
        made = list(track(stream, description="patients", total=patients, disable=not progress))
    facts: dict[str, object] = {
        "cohort_version": version,
        "patients": patients,
        "seed": seed,
        "arm": arm,
        "site": site,
        "matrix": matrix,
    }
    heads = "procedural" if anatomy is None else "template"
    return _write_cohort(out, made, {**facts, "site": site, "matrix": matrix, "formats": list(chosen), "heads": heads})
