"""One patient of a cohort: drawn, painted, scanned twice and written to a folder with its row of the manifest."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from dicomnode.cohort import nifti, sheets
from dicomnode.cohort.course import FollowUp
from dicomnode.cohort.dicom_series import SeriesIdentity, write_acquired
from dicomnode.cohort.edition import Version
from dicomnode.cohort.outcomes import Outcomes
from dicomnode.cohort.patients import Arm, Patient, Site
from dicomnode.cohort.reports import Report
from dicomnode.cohort.scanner import SCANNERS, Scan, draw_protocol, scan_scene
from dicomnode.cohort.scene import BLOOD, Anatomy, Finding, Scene, make_anatomy, make_scene
from dicomnode.cohort.second.motion import moved
from dicomnode.cohort.streams import derived_seed, stream, uniform
from dicomnode.cohort.template import make_template_anatomy
from dicomnode.cohort.versions import RECIPES, Recipe
from dicomnode.dicom.uids import derived_uid

FORMATS = ("dicom", "nifti", "array")
DESCRIPTIONS = {
    Arm.POST_EVT: "CT Head after thrombectomy",
    Arm.TRAUMA: "CT Head trauma",
}
SCANS = ("baseline", "follow-up")
FOLDERS = {"baseline": "ct", "follow-up": "followup_ct"}
COARSE_MATRIX = 128
"""Rows and columns up to which a head is painted on a coarse grid: thousands of heads in minutes."""
MASKS = {"baseline": "mask.npz", "follow-up": "followup_mask.npz"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientOrder:
    """What to make and where.

    Attributes
    ----------
    matrix : rows and columns; the head is painted on 1.2 mm above 300, on 1.8 mm above 128, else on 2.4 mm (on 1.8 mm
        in version 1).
    formats : any of ``FORMATS``.
    anatomy : folder with a CT template to warp heads from; None paints them.
    version : of the cohort.
    scans : "baseline" alone, or "follow-up" too.
    """

    out: Path
    index: int
    seed: int
    arm: Arm
    site: Site
    matrix: int = 512
    formats: tuple[str, ...] = ("dicom",)
    anatomy: Path | None = None
    version: Version = Version.ONE
    scans: tuple[str, ...] = SCANS

    @property
    def recipe(self) -> Recipe:
        """How patients of this version are drawn."""
        return RECIPES[self.version]


@dataclass(frozen=True)
class MadePatient:
    """A row of the manifest, the rows of the contact sheet, and a digest of all that was made."""

    row: dict[str, object]
    strips: NDArray[np.uint8]
    digest: str


def _split(seed: int) -> str:
    """70 % train, 15 % validation, 15 % test, by patient."""
    chance = uniform(seed, "split")
    return "train" if chance < 0.7 else "validation" if chance < 0.85 else "test"


def _grid_mm(order: PatientOrder) -> float:
    if order.matrix > 300:
        return 1.2
    return 2.4 if order.matrix <= COARSE_MATRIX and order.version is not Version.ONE else 1.8


def _anatomy(order: PatientOrder, patient: Patient) -> Anatomy:
    """The head without lesions: painted, or warped from a template."""
    spacing_mm = _grid_mm(order)
    if order.anatomy is not None:
        return make_template_anatomy(order.anatomy, patient.seed, patient.lesions, spacing_mm=spacing_mm)
    return make_anatomy(patient.seed, patient.lesions, spacing_mm=spacing_mm, edition=order.recipe.edition)


def scan_patient(order: PatientOrder, patient: Patient, later: FollowUp) -> tuple[list[Scene], list[Scan]]:
    """Paint (or warp) the head once and scan it: baseline and follow-up, each with its own protocol.

    From version 2 on the head lies a little differently at follow-up (:mod:`dicomnode.cohort.second.motion`).
    """
    base = _anatomy(order, patient)
    scenes, scans = [], []
    for name, lesions in zip(order.scans, (later.first, later.lesions), strict=False):
        scene = make_scene(base, lesions, order.recipe.edition)
        seen = moved(scene, later.motion) if name == "follow-up" and later.motion else scene
        acquisition, artefacts = draw_protocol(order.site, patient.seed, name, order.matrix)
        scans.append(scan_scene(seen, acquisition, artefacts, derived_seed(patient.seed, "scan", name)))
        scenes.append(scene)
    return scenes, scans


def _identity(order: PatientOrder, patient: Patient, scan: str, hours: float) -> SeriesIdentity:
    rng = stream(patient.seed, "identity")
    start = datetime.datetime(2025, 1, 1) + datetime.timedelta(minutes=int(rng.integers(0, 300 * 24 * 60)))
    taken = start + datetime.timedelta(hours=hours if scan == "follow-up" else 0.0)
    label, scanner = patient_id(order), SCANNERS[order.site]
    return SeriesIdentity(
        patient_name=f"COHORT^{label.removeprefix('COHORT-')}",
        patient_id=label,
        birth_date=f"{2025 - patient.age_years - 1}0615",
        sex=patient.sex,
        age=f"{patient.age_years:03d}Y",
        accession_number=f"{label.removeprefix('COHORT-')}-{SCANS.index(scan) + 1}",
        study_date=f"{taken:%Y%m%d}",
        study_time=f"{taken:%H%M}00",
        study_description=DESCRIPTIONS.get(patient.arm, "CT Head without contrast"),
        series_description=f"Head {scan}",
        study_uid=derived_uid("cohort", "study", str(patient.seed), scan),
        manufacturer=scanner.manufacturer,
        model_name=scanner.model,
        institution=f"Synthetic {order.site.value}",
    )


def patient_id(order: PatientOrder) -> str:
    """ID of a patient: numbered within a site."""
    site = "" if order.site is Site.A else f"{order.site.value}-"
    return f"COHORT-{site}{order.index:04d}"


def _write_scan(folder: Path, name: str, scan: Scan, identity: SeriesIdentity, formats: Sequence[str]) -> None:
    if "dicom" in formats:
        write_acquired(scan.series, folder / FOLDERS[name], identity)
    np.savez_compressed(folder / MASKS[name], mask=scan.series.mask, findings=scan.findings)
    hu = np.clip(np.rint(scan.series.hu), -1024, 3071).astype(np.int16)
    if "array" in formats:
        np.save(folder / f"{FOLDERS[name]}.npy", hu)
    if "nifti" in formats and nifti.available() and nifti.write(scan.series, hu, folder / f"{FOLDERS[name]}.nii.gz"):
        nifti.write(scan.series, scan.findings, folder / f"{MASKS[name].removesuffix('.npz')}.nii.gz")


def _existing(out: Path, folder: Path, name: str) -> str:
    """Path relative to the cohort, empty where the file or folder was not written."""
    return str((folder / name).relative_to(out)) if (folder / name).exists() else ""


def _image_columns(order: PatientOrder, folder: Path) -> dict[str, object]:
    result: dict[str, object] = {}
    for prefix, scan in (("", "baseline"), ("followup_", "follow-up")):
        places = [_existing(order.out, folder, FOLDERS[scan] + ending) for ending in ("", ".npy", ".nii.gz")]
        result[f"{prefix}image"] = next((place for place in places if place), "")
        result[f"{prefix}masks"] = _existing(order.out, folder, MASKS[scan])
        result[f"{prefix}nifti"] = places[2]
    return result


def _row(
    order: PatientOrder, patient: Patient, outcomes: Outcomes, later: FollowUp, scenes: list[Scene], scans: list[Scan]
) -> dict[str, object]:
    first, second = scans[0], scans[1] if len(scans) > 1 else None
    report = order.recipe.write_report(patient)
    acquisition = first.series.acquisition
    folder = order.out / f"patient-{order.index:04d}"
    kinds = [finding.name.lower() for finding in BLOOD if (first.findings == finding).any()]
    volumes = {finding.name.lower(): round(first.volume_ml(finding), 3) for finding in Finding if finding}
    return {
        "id": patient_id(order),
        "patient": patient_id(order),
        "site": order.site.value,
        "arm": patient.arm.value,
        "folder": f"patient-{order.index:04d}/ct",
        **_image_columns(order, folder),
        "variables": json.dumps(patient.recorded),
        "text": report.text,
        "labels": json.dumps(outcomes.labels),
        "oracle": json.dumps({name: round(p, 6) for name, p in outcomes.oracle.items()}),
        "split": _split(patient.seed),
        "bleed_type": "+".join(kinds) or "none",
        "volume_ml": f"{first.series.volume_ml:.3f}",
        "volumes_ml": json.dumps({name: value for name, value in volumes.items() if value}),
        "midline_shift_mm": f"{scenes[0].midline_shift_mm:.1f}",
        "followup_hours": f"{later.hours:g}",
        "followup_volume_ml": f"{second.series.volume_ml:.3f}" if second else "",
        "gos": outcomes.gos or "",
        "heidelberg": outcomes.heidelberg,
        "slices": len(acquisition.positions_mm),
        "slice_spacing_mm": f"{acquisition.positions_mm[1] - acquisition.positions_mm[0]:g}",
        "tilt_deg": f"{acquisition.tilt_deg:g}",
        "seed": order.seed,
        **({} if order.version is Version.ONE else _further_columns(patient, later, report)),
    }


def _further_columns(patient: Patient, later: FollowUp, report: Report) -> dict[str, object]:
    """What the manifest of version 2 says too: places, what was hidden, the pair of scans, the request alone."""
    shown = later.first
    subdural = shown.subdural.value if shown.sdh_ml or shown.sdh_old_ml else ""
    return {
        "indication": report.indication,
        "mentions": json.dumps(patient.mentions),
        "site_of_bleed": shown.site_of_bleed,
        "place_mm": json.dumps([round(v, 1) for v in shown.place_mm]),
        "subdural": subdural,
        "hidden_ml": f"{shown.hidden_ml:.3f}",
        "onset_h": f"{patient.causes['onset_h']:g}",
        "pair": json.dumps(asdict(later.motion) if later.motion else {}),
    }


def _digest(row: dict[str, object], scans: list[Scan]) -> str:
    """SHA-256 of pixels (in whole HU), findings and all columns but paths."""
    content = hashlib.sha256()
    for scan in scans:
        content.update(np.clip(np.rint(scan.series.hu), -1024, 3071).astype("<i2").tobytes())
        content.update(scan.findings.tobytes())
    paths = {"folder", "image", "masks", "nifti", "followup_image", "followup_masks", "followup_nifti"}
    content.update(json.dumps({k: v for k, v in row.items() if k not in paths}, sort_keys=True).encode())
    return content.hexdigest()


def _strip(scans: list[Scan]) -> NDArray[np.uint8]:
    """Row of the cohort's contact sheet: baseline left, follow-up right."""
    return np.concatenate([sheets.strip(scan) for scan in scans], axis=1)


def make_patient(order: PatientOrder) -> MadePatient:
    """Draw, paint, scan and write one patient."""
    if order.version is Version.ONE:
        return _made(order)
    # sums in another order differ in their last bit, and a rounded HU with them: one thread, whatever the machine has
    with threadpool_limits(1, user_api="blas"):
        return _made(order)


def _made(order: PatientOrder) -> MadePatient:
    patient = order.recipe.draw_patient(order.seed, order.arm, order.site)
    outcomes = order.recipe.draw_outcomes(patient)
    later = order.recipe.follow_up(patient, outcomes)
    scenes, scans = scan_patient(order, patient, later)
    folder = order.out / f"patient-{order.index:04d}"
    folder.mkdir(parents=True, exist_ok=True)
    for name, scan in zip(order.scans, scans, strict=True):
        _write_scan(folder, name, scan, _identity(order, patient, name, later.hours), order.formats)
    sheets.save(sheets.all_slices(scans[0]), folder / "contact_sheet.png")
    row = _row(order, patient, outcomes, later, scenes, scans)
    return MadePatient(row, _strip(scans), _digest(row, scans))
