"""RSNA Intracranial Hemorrhage Detection 2019, as Kaggle gives it out.

``stage_2_train/ID_*.dcm`` holds the slices of all exams in one folder; ``stage_2_train.csv`` has six rows a slice:
``ID_0123_epidural,0`` ... ``ID_0123_any,1``. Slices are joined to exams by SeriesInstanceUID. There are no masks, so
the exams come as ``unlabelled`` for a student; what the labels say is kept.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError

from dicomnode.errors import ManifestError
from dicomnode.train.importers.tables import TYPES, require, rows_of
from dicomnode.train.manifest import Case, Split

LICENCE = (
    "RSNA 2019: for non-commercial and research use only, under the rules of the competition; cite Flanders et al., "
    "Radiology: Artificial Intelligence 2020;2:e190211."
)
IMAGES, LABELS = "stage_2_train", "stage_2_train.csv"
LISTS = "rsna2019-series"
"""Folder beside the manifest with one list of files for each series."""


def read(folder: Path, beside: Path) -> list[Case]:
    """The exams, by patient and series.

    Raises
    ------
    ManifestError : a part of the layout is missing, or a slice cannot be read.
    """
    require(folder, IMAGES, LABELS)
    labels = _labels(folder / LABELS)
    series: dict[tuple[str, str], list[Path]] = defaultdict(list)
    faults = []
    for path in sorted((folder / IMAGES).glob("ID_*.dcm")):
        try:
            ds = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["PatientID", "SeriesInstanceUID"])
            series[str(ds.PatientID), str(ds.SeriesInstanceUID)].append(path)
        except (InvalidDicomError, AttributeError, OSError) as error:
            faults.append(f"{path.name}: {error}")
    if faults:
        raise ManifestError(faults)
    return [_case(patient, uid, paths, labels, beside) for (patient, uid), paths in sorted(series.items())]


def _labels(path: Path) -> dict[str, dict[str, float]]:
    result: dict[str, dict[str, float]] = defaultdict(dict)
    for row in rows_of(path, ("ID", "Label")):
        name, _, kind = row["ID"].rpartition("_")
        result[name]["hemorrhage" if kind == "any" else kind] = float(row["Label"])
    return result


def _case(patient: str, uid: str, paths: list[Path], labels: dict[str, dict[str, float]], beside: Path) -> Case:
    name = f"rsna-{hashlib.sha256(uid.encode()).hexdigest()[:16]}"
    known = [labels[path.stem] for path in paths if path.stem in labels]
    names = ("hemorrhage", *TYPES)
    found = {kind: max(row[kind] for row in known) for kind in names if known and all(kind in row for row in known)}
    lists = beside / LISTS
    lists.mkdir(parents=True, exist_ok=True)
    listed = lists / f"{name}.txt"
    listed.write_text("".join(f"{Path(os.path.relpath(path, lists)).as_posix()}\n" for path in paths), "utf-8")
    return Case(id=name, patient=patient, image=listed, labels=found, split=Split.UNLABELLED, site="RSNA 2019")
