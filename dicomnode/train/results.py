"""What an evaluation found for each exam, kept as a CSV file so that two models can be compared later."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from dicomnode.errors import ManifestError

NAN = float("nan")


@dataclass(frozen=True, slots=True)
class ExamResult:
    """One exam; NaN is what does not apply.

    Attributes
    ----------
    label : 0 or 1.
    score : probability of the exam being positive.
    dice : of the mask at the threshold; NaN where neither truth nor mark has a voxel, or there is no true mask.
    truth_ml, marked_ml, false_ml : true volume, marked volume, marked without being true.
    pixel_precision : average precision over the voxels; NaN without a true voxel.
    """

    id: str
    patient: str
    site: str
    label: float
    score: float
    dice: float = NAN
    truth_ml: float = NAN
    marked_ml: float = NAN
    false_ml: float = NAN
    pixel_precision: float = NAN


_TEXTS = ("id", "patient", "site")


def write_results(path: Path, results: Sequence[ExamResult]) -> Path:
    """Write one row per exam. Returns ``path``."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [field.name for field in fields(ExamResult)])
        writer.writeheader()
        writer.writerows(asdict(result) for result in results)
    return path


def read_results(path: Path) -> list[ExamResult]:
    """Read what :func:`write_results` wrote.

    Raises
    ------
    ManifestError : the file is absent or no such table.
    """
    names = [field.name for field in fields(ExamResult)]
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        return [
            ExamResult(**{name: row[name] if name in _TEXTS else float(row[name]) for name in names})  # type: ignore[arg-type]
            for row in rows
        ]
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise ManifestError([f"{path}: no table of exam results: {error}"]) from error


def matched(a: Sequence[ExamResult], b: Sequence[ExamResult]) -> tuple[list[ExamResult], list[ExamResult]]:
    """The exams that both have, in the order of ``a``.

    Raises
    ------
    ManifestError : they share no exam, or differ about the truth of one.
    """
    other = {result.id: result for result in b}
    pairs = [(result, other[result.id]) for result in a if result.id in other]
    if not pairs:
        raise ManifestError(["the two sets of results share no exam"])
    differ = [x.id for x, y in pairs if x.label != y.label and not (x.label != x.label and y.label != y.label)]
    if differ:
        raise ManifestError([f"exam {name}: the two sets of results differ in its label" for name in differ])
    return [x for x, _ in pairs], [y for _, y in pairs]
