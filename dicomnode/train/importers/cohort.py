"""Synthetic patients of ``dicomnode cohort make``: their table, baseline CT, masks, report, variables and outcomes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dicomnode.clinical.sections import section
from dicomnode.cohort.edition import Version
from dicomnode.cohort.findings import DENSE_NOT_BLOOD, Finding
from dicomnode.cohort.patients import Arm, Patient, Site
from dicomnode.cohort.versions import RECIPES
from dicomnode.errors import ManifestError
from dicomnode.train.importers.tables import require, rows_of
from dicomnode.train.manifest import Case, MaskFile, Split
from dicomnode.train.masks import DENSE_MASK

LICENCE = "dicomnode cohort: synthetic, no person was scanned; free under the licence of dicomnode."
TABLE = "manifest.csv"
FACTS = "cohort.json"
ARM, COHORT = "arm", "cohort"
"""Groups of an exam of the second version."""
HOURS = "followup_h"
"""Variable of an exam: after so many hours its target was scanned."""
PAINTED_DENSITY = "painted_stain_hu"
"""Variable of an exam of the second version: how dense its staining was painted; absent where there is none."""
LATER = "followup_"
"""Begins the names of masks that lie on the slices of the target."""
COLUMNS = ("id", "patient", "site", "image", "nifti", "masks", "variables", "text", "labels", "split", "volume_ml")
DRAWN_BY = ("seed", "arm")
"""Columns of the second version, from which a patient is drawn again."""
EXTRA_AXIAL = (Finding.SUBARACHNOID, Finding.SUBDURAL, Finding.EPIDURAL)
FOLLOWUP_COLUMNS = (
    "followup_image",
    "followup_nifti",
    "followup_masks",
    "followup_volume_ml",
    "followup_hours",
)
TEXTS = "cohort-reports"
"""Folder beside the manifest with one text a patient."""


def read(folder: Path, beside: Path) -> list[Case]:
    """One exam for each patient, the baseline CT.

    Masks: ``hemorrhage`` is all blood, ``extra_axial`` what lies outside the brain, ``dense_not_blood`` calcium and
    contrast medium, the others are named as the cohort's findings. Labels: the outcomes, and ``hemorrhage``, whether
    the baseline CT shows blood. Target: ``followup``, the follow-up CT of the same head, which lies as the baseline
    does (in the second version the head has moved a little), where there is one; ``followup_hemorrhage`` and so on are
    masks on its slices, and the variable ``followup_h`` is the hours until then. Text: the indication alone, since
    findings tell the image and are not written yet when a node runs; of the first version the whole report, which
    published models have seen. Groups: in the second version the arm, and the version of the cohort.

    Raises
    ------
    ManifestError : a part of the layout is missing, or a row or ``cohort.json`` cannot be read.
    """
    require(folder, TABLE)
    is_whole = _version(folder) == Version.ONE
    rows = rows_of(folder / TABLE, (*COLUMNS, *FOLLOWUP_COLUMNS, *(() if is_whole else DRAWN_BY)))
    images = (part for row in rows for part in (_image(row), row["masks"], _image(row, "followup_")))
    require(folder, *(part for part in images if part))
    cases, faults = [], []
    for row in rows:
        try:
            text = row["text"] if is_whole else section(row["text"], "indication")
            case = _case(row, folder, _written(text, row["id"], beside))
            cases.append(case if is_whole else _of_second(case, row))
        except (ValueError, TypeError) as error:
            faults.append(f"{TABLE}, {row['id']}: {error}")
    if faults:
        raise ManifestError(faults)
    return cases


def read_followups(folder: Path) -> list[Case]:
    """The follow-up CT of each patient as an exam of its own, with its masks and the label ``hemorrhage`` alone.

    Raises
    ------
    ManifestError : a part of the layout is missing.
    """
    require(folder, TABLE)
    rows = rows_of(folder / TABLE, (*COLUMNS, *FOLLOWUP_COLUMNS))
    require(folder, *(part for row in rows for part in (_image(row, "followup_"), row["followup_masks"])))
    return [
        Case(
            id=f"{row['id']}-followup",
            patient=row["patient"],
            image=folder / _image(row, "followup_"),
            masks=masks_of(folder / row["followup_masks"]),
            labels={"hemorrhage": float(float(row["followup_volume_ml"]) > 0.0)},
            split=Split(row["split"]),
            site=row["site"],
            synthetic=True,
        )
        for row in rows
    ]


def patient_of(row: Mapping[str, str]) -> Patient:
    """The patient of a row of the second version's table, drawn again.

    Raises
    ------
    ValueError : seed, arm or site is none.
    """
    return RECIPES[Version.TWO].draw_patient(int(row["seed"]), Arm(row["arm"]), Site(row["site"]))


def _of_second(case: Case, row: dict[str, str]) -> Case:
    """With what only the second version has."""
    lesions = patient_of(row).lesions
    painted = {PAINTED_DENSITY: lesions.stain_hu} if lesions.stain_ml else {}
    groups = {ARM: row["arm"], COHORT: Version.TWO.value}
    return replace(case, groups=groups, variables={**case.variables, **painted})


def _image(row: dict[str, str], scan: str = "") -> str:
    """A bare array has no geometry: the DICOM folder, else the NIfTI file."""
    image, nifti = row[f"{scan}image"], row[f"{scan}nifti"]
    return nifti if image.endswith(".npy") and nifti else image


def masks_of(path: Path) -> dict[str, MaskFile]:
    """Masks of one file of findings, by name, groups of them included."""
    named = {finding.name.lower(): MaskFile(path, (int(finding),)) for finding in Finding if finding}
    groups = {"extra_axial": EXTRA_AXIAL, DENSE_MASK: DENSE_NOT_BLOOD}
    grouped = {name: MaskFile(path, tuple(map(int, group))) for name, group in groups.items()}
    return {"hemorrhage": MaskFile(path), **grouped, **named}


def _version(folder: Path) -> str:
    """Version of the cohort; the first where nothing says it."""
    facts = folder / FACTS
    try:
        return str(json.loads(facts.read_text(encoding="utf-8"))["cohort_version"]) if facts.exists() else Version.ONE
    except (ValueError, TypeError, KeyError) as error:
        raise ManifestError([f"{FACTS}: {error!r}"]) from error


def _written(text: str, name: str, beside: Path) -> Path:
    path = beside / TEXTS / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _case(row: dict[str, str], folder: Path, text: Path) -> Case:
    later = _image(row, "followup_")
    return Case(
        id=row["id"],
        patient=row["patient"],
        image=folder / _image(row),
        masks=masks_of(folder / row["masks"]) | (_masks_to_come(folder, row) if later else {}),
        variables=variables_of(json.loads(row["variables"])) | ({HOURS: float(row["followup_hours"])} if later else {}),
        text=text,
        labels={**_labels(row), "hemorrhage": float(float(row["volume_ml"]) > 0.0)},
        targets={"followup": folder / later} if later else {},
        split=Split(row["split"]),
        site=row["site"],
        synthetic=True,
    )


def _masks_to_come(folder: Path, row: dict[str, str]) -> dict[str, MaskFile]:
    """Masks of the follow-up scan, on its own slices."""
    found = masks_of(folder / row["followup_masks"])
    return {LATER + name: found[name] for name in ("hemorrhage", "staining", "infarct")}


def variables_of(recorded: Mapping[str, Any]) -> dict[str, float]:
    """What is known, as numbers, by the names that models read: ``age`` in years, and the sex as ``male`` 0 or 1."""
    known = _known(recorded)
    if "age_years" in known:
        known["age"] = known.pop("age_years")
    if "sex" in known:
        known["male"] = known.pop("sex") == "M"
    return {name: float(value) for name, value in known.items()}


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _labels(row: dict[str, str]) -> dict[str, float]:
    return {name: float(value) for name, value in _known(json.loads(row["labels"])).items()}
