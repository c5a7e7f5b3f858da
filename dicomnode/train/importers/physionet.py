"""PhysioNet CT-ICH 1.3.1: ``ct_scans/049.nii``, ``masks/049.nii`` and ``hemorrhage_diagnosis_raw_ct.csv``.

The table has a row a slice: PatientNumber, SliceNumber, a column a type, No_Hemorrhage. Masks do not tell the types
apart.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from dicomnode.errors import ManifestError
from dicomnode.train.importers.tables import TYPES, require, rows_of
from dicomnode.train.manifest import Case, MaskFile

LICENCE = "PhysioNet CT-ICH: CC BY 4.0; cite Hssayeni, PhysioNet 2020 (doi 10.13026/4nae-zg36) and Data 2020;5:14."
TABLE = "hemorrhage_diagnosis_raw_ct.csv"


def read(folder: Path, beside: Path) -> list[Case]:
    """One exam for each scan, with its mask.

    Raises
    ------
    ManifestError : a part of the layout, a mask or the rows of a scan are missing.
    """
    require(folder, "ct_scans", "masks", TABLE)
    labels = _labels(folder / TABLE)
    scans = sorted(path for path in (folder / "ct_scans").iterdir() if path.name.endswith((".nii", ".nii.gz")))
    faults, cases = [], []
    for scan in scans:
        number, mask = int(scan.name.split(".")[0]), folder / "masks" / scan.name
        if number not in labels:
            faults.append(f"{TABLE}: no row for {scan.name}")
        elif not mask.exists():
            faults.append(f"masks: there is no {scan.name}")
        else:
            name = f"ct-ich-{number:03d}"
            cases.append(
                Case(
                    id=name,
                    patient=name,
                    image=scan,
                    masks={"hemorrhage": MaskFile(mask)},
                    labels=labels[number],
                    site="PhysioNet CT-ICH",
                )
            )
    if faults:
        raise ManifestError(faults)
    return cases


def _labels(path: Path) -> dict[int, dict[str, float]]:
    """An exam is positive where any of its slices is."""
    columns = {kind: kind.capitalize() for kind in TYPES}
    result: dict[int, dict[str, float]] = defaultdict(dict)
    for row in rows_of(path, ("PatientNumber", "SliceNumber", "No_Hemorrhage", *columns.values())):
        exam = result[int(row["PatientNumber"])]
        found = {kind: float(row[column] == "1") for kind, column in columns.items()}
        found["hemorrhage"] = float(row["No_Hemorrhage"] == "0")
        for kind, value in found.items():
            exam[kind] = max(exam.get(kind, 0.0), value)
    return result
