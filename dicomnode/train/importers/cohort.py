"""Synthetic patients of ``dicomnode cohort make``: their table, baseline CT, masks, report, variables and outcomes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dicomnode.cohort.findings import DENSE_NOT_BLOOD, Finding
from dicomnode.errors import ManifestError
from dicomnode.train.importers.tables import require, rows_of
from dicomnode.train.manifest import Case, MaskFile, Split

LICENCE = "dicomnode cohort: synthetic, no person was scanned; free under the licence of dicomnode."
TABLE = "manifest.csv"
COLUMNS = ("id", "patient", "site", "image", "nifti", "masks", "variables", "text", "labels", "split", "volume_ml")
EXTRA_AXIAL = (Finding.SUBARACHNOID, Finding.SUBDURAL, Finding.EPIDURAL)
FOLLOWUP_COLUMNS = ("followup_image", "followup_nifti", "followup_masks", "followup_volume_ml")
TEXTS = "cohort-reports"
"""Folder beside the manifest with one text a patient."""


def read(folder: Path, beside: Path) -> list[Case]:
    """One exam for each patient, the baseline CT.

    Masks: ``hemorrhage`` is all blood, ``extra_axial`` what lies outside the brain, ``dense_not_blood`` calcium and
    contrast medium, the others are named as the cohort's findings. Labels: the outcomes, and ``hemorrhage``, whether
    the baseline CT shows blood. Target: ``followup``, the follow-up CT of the same head, which lies as the baseline
    does. Text: the indication alone, where the table has it apart (from version 2 on): findings tell the image, and
    nobody has written them when a node runs.

    Raises
    ------
    ManifestError : a part of the layout is missing, or a row cannot be read.
    """
    require(folder, TABLE)
    rows = rows_of(folder / TABLE, (*COLUMNS, *FOLLOWUP_COLUMNS))
    require(folder, *(part for row in rows for part in (_image(row), row["masks"], _image(row, "followup_"))))
    cases, faults = [], []
    for row in rows:
        try:
            cases.append(_case(row, folder, beside))
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
            masks=_masks(folder / row["followup_masks"]),
            labels={"hemorrhage": float(float(row["followup_volume_ml"]) > 0.0)},
            split=Split(row["split"]),
            site=row["site"],
            synthetic=True,
        )
        for row in rows
    ]


def _image(row: dict[str, str], scan: str = "") -> str:
    """A bare array has no geometry: the DICOM folder, else the NIfTI file."""
    image, nifti = row[f"{scan}image"], row[f"{scan}nifti"]
    return nifti if image.endswith(".npy") and nifti else image


def _masks(path: Path) -> dict[str, MaskFile]:
    named = {finding.name.lower(): MaskFile(path, (int(finding),)) for finding in Finding if finding}
    groups = {"extra_axial": EXTRA_AXIAL, "dense_not_blood": DENSE_NOT_BLOOD}
    grouped = {name: MaskFile(path, tuple(map(int, group))) for name, group in groups.items()}
    return {"hemorrhage": MaskFile(path), **grouped, **named}


def _case(row: dict[str, str], folder: Path, beside: Path) -> Case:
    text = beside / TEXTS / f"{row['id']}.txt"
    text.parent.mkdir(parents=True, exist_ok=True)
    text.write_text(row.get("indication", row["text"]), encoding="utf-8")
    return Case(
        id=row["id"],
        patient=row["patient"],
        image=folder / _image(row),
        masks=_masks(folder / row["masks"]),
        variables=_numbers(json.loads(row["variables"])),
        text=text,
        labels={**_numbers(json.loads(row["labels"])), "hemorrhage": float(float(row["volume_ml"]) > 0.0)},
        targets={"followup": folder / _image(row, "followup_")},
        split=Split(row["split"]),
        site=row["site"],
        synthetic=True,
    )


def _numbers(values: dict[str, Any]) -> dict[str, float]:
    """What is known, as numbers; the sex as ``male`` 0 or 1."""
    known = {name: value for name, value in values.items() if value is not None}
    if "sex" in known:
        known["male"] = known.pop("sex") == "M"
    return {name: float(value) for name, value in known.items()}
