"""CQ500 (Qure.ai): ``CQ500CT1 CQ500CT1/Unknown Study/CT .../*.dcm`` for each exam and ``reads.csv``.

``reads.csv`` has ``name`` (``CQ500-CT-1``) and what each of three radiologists read (``R1:ICH``, ``R2:ICH``, ...); two
of three decide, as in Chilamkurthy et al., Lancet 2018;392:2388. There are no masks. The exams come as ``test``.
"""

from __future__ import annotations

import re
from pathlib import Path

from dicomnode.train.importers.tables import require, rows_of
from dicomnode.train.manifest import Case, Split

LICENCE = "CQ500: CC BY-NC-SA 4.0 (non-commercial); cite Chilamkurthy et al., Lancet 2018;392:2388."
READS = "reads.csv"
COLUMNS = {
    "hemorrhage": "ICH",
    "intraparenchymal": "IPH",
    "intraventricular": "IVH",
    "subarachnoid": "SAH",
    "subdural": "SDH",
    "epidural": "EDH",
}
READERS = ("R1", "R2", "R3")
NOT_PLAIN = re.compile(r"bone|post|contrast(?<!pre contrast)|angio|scout", re.IGNORECASE)
MIN_SLICES = 10


def read(folder: Path, beside: Path) -> list[Case]:
    """One exam for each row of the reads that has a plain series.

    Raises
    ------
    ManifestError : a part of the layout is missing.
    """
    require(folder, READS)
    wanted = ["name", *(f"{reader}:{column}" for reader in READERS for column in COLUMNS.values())]
    cases = []
    for row in rows_of(folder / READS, wanted):
        number = row["name"].rsplit("-", 1)[-1]
        series = plain_series(folder, number)
        if series is not None:
            labels = {name: _majority(row, column) for name, column in COLUMNS.items()}
            cases.append(
                Case(id=row["name"], patient=row["name"], image=series, labels=labels, split=Split.TEST, site="CQ500")
            )
    return cases


def plain_series(folder: Path, number: str) -> Path | None:
    """The plain series of an exam: no bone kernel, no contrast; rather thick than thin, then with the fewest files."""
    found = []
    for exam in folder.glob(f"**/CQ500CT{number} CQ500CT{number}"):
        for series in exam.glob("*/*"):
            count = sum(1 for file in series.iterdir() if file.is_file()) if series.is_dir() else 0
            if count >= MIN_SLICES and not NOT_PLAIN.search(series.name):
                found.append(("thin" in series.name.lower(), count, series))
    return min(found)[2] if found else None


def _majority(row: dict[str, str], column: str) -> float:
    return float(sum(row[f"{reader}:{column}"] in ("1", "1.0") for reader in READERS) >= 2)
