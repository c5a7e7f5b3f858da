"""What the importers share: CSV tables and the parts a layout must have."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from dicomnode.errors import ManifestError

TYPES = ("intraparenchymal", "intraventricular", "subarachnoid", "subdural", "epidural")
"""Names of the labels that say of which type a bleed is."""


def require(folder: Path, *names: str) -> None:
    """Refuse a folder that lacks a part.

    Raises
    ------
    ManifestError : with everything that is missing.
    """
    missing = [f"{folder}: there is no {name}" for name in names if not (folder / name).exists()]
    if missing:
        raise ManifestError(missing)


def rows_of(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a CSV table.

    Raises
    ------
    ManifestError : it cannot be read, or columns are missing.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise ManifestError([f"{path.name}: column {name} is missing" for name in missing])
            return [{name: (value or "").strip() for name, value in row.items() if name} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError([f"{path}: cannot be read: {error}"]) from error
