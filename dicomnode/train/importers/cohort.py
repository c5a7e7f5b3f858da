"""Synthetic patients of ``dicomnode cohort make``: ``patient-0001/ct/*.dcm``, ``patient-0001/mask.npz``, a table."""

from __future__ import annotations

from pathlib import Path

from dicomnode.train.importers.tables import require, rows_of
from dicomnode.train.manifest import Case, MaskFile

LICENCE = "dicomnode cohort: synthetic, no person was scanned; free under the licence of dicomnode."
TABLE = "manifest.csv"


def read(folder: Path, beside: Path) -> list[Case]:
    """One exam for each patient.

    Raises
    ------
    ManifestError : a part of the layout is missing.
    """
    require(folder, TABLE)
    rows = rows_of(folder / TABLE, ("id", "folder", "volume_ml"))
    require(folder, *(part for row in rows for part in (row["folder"], str(Path(row["folder"]).parent / "mask.npz"))))
    return [
        Case(
            row["id"],
            row["id"],
            folder / row["folder"],
            {"hemorrhage": MaskFile(folder / Path(row["folder"]).parent / "mask.npz")},
            labels={"hemorrhage": float(float(row["volume_ml"]) > 0)},
            site="cohort",
            synthetic=True,
        )
        for row in rows
    ]
