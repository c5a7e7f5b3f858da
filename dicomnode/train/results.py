"""What an evaluation found: one row an exam, columns by name, kept as a CSV file so that models can be compared later.

Columns of the file: ``id``, ``patient``, ``site``, then ``group:NAME`` for each column of words by which exams fall
into subgroups, then the numbers. Which columns there are, and what they mean, the outputs of a learner say
(:mod:`dicomnode.train.outputs`).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dicomnode.errors import ManifestError
from dicomnode.train.manifest import Case

Floats = NDArray[np.float64]
NAN = float("nan")
SITE = "site"
GROUP = "group:"
"""Header of a column of words begins so; all others but the first three hold numbers."""
KEYS = ("id", "patient", SITE)


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """A table of exams.

    Attributes
    ----------
    ids, patients : of each exam.
    groups : column -> word of each exam, ``site`` among them.
    columns : column -> (exams,) numbers; NaN is what is not known or does not apply.
    """

    ids: tuple[str, ...]
    patients: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]]
    columns: Mapping[str, Floats] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, column: str) -> Floats:
        return self.columns[column]

    def taken(self, indices: ArrayLike) -> Results:
        """The exams at these indices, in this order."""
        chosen = np.asarray(indices, dtype=np.intp)
        return Results(
            tuple(self.ids[i] for i in chosen),
            tuple(self.patients[i] for i in chosen),
            {name: tuple(words[i] for i in chosen) for name, words in self.groups.items()},
            {name: values[chosen] for name, values in self.columns.items()},
        )

    def with_columns(self, columns: Mapping[str, ArrayLike]) -> Results:
        """The same exams with more columns of numbers, or with others in their place."""
        added = {name: np.asarray(values, dtype=np.float64) for name, values in columns.items()}
        return Results(self.ids, self.patients, self.groups, {**self.columns, **added})


def results_of(cases: Sequence[Case], rows: Sequence[Mapping[str, float]]) -> Results:
    """The table of some exams.

    Parameters
    ----------
    rows : column -> number, of each exam; what a row lacks is NaN.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: np.array([row.get(name, NAN) for row in rows], dtype=np.float64) for name in names}
    words = list(dict.fromkeys(name for case in cases for name in case.groups))
    groups = {name: tuple(case.groups.get(name, "") for case in cases) for name in words}
    return Results(
        tuple(case.id for case in cases),
        tuple(case.patient for case in cases),
        {SITE: tuple(case.site for case in cases), **groups},
        columns,
    )


def joined(parts: Sequence[Results]) -> Results:
    """Tables of other exams below each other; what one lacks is empty, or NaN."""
    names = list(dict.fromkeys(name for part in parts for name in part.columns))
    words = list(dict.fromkeys(name for part in parts for name in part.groups))
    return Results(
        tuple(name for part in parts for name in part.ids),
        tuple(name for part in parts for name in part.patients),
        {name: tuple(w for part in parts for w in part.groups.get(name, ("",) * len(part))) for name in words},
        {name: np.concatenate([part.columns.get(name, np.full(len(part), NAN)) for part in parts]) for name in names},
    )


def write_results(path: Path, results: Results) -> Path:
    """Write one row per exam. Returns ``path``."""
    words = [name for name in results.groups if name != SITE]
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow([*KEYS, *(GROUP + name for name in words), *results.columns])
        for i in range(len(results)):
            keys = [results.ids[i], results.patients[i], results.groups[SITE][i]]
            numbers = [float(values[i]) for values in results.columns.values()]
            writer.writerow([*keys, *(results.groups[name][i] for name in words), *numbers])
    return path


def read_results(path: Path) -> Results:
    """Read what :func:`write_results` wrote.

    Raises
    ------
    ManifestError : the file is absent or no such table.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            names, rows = list(reader.fieldnames or ()), list(reader)
        words = [name for name in names if name.startswith(GROUP)]
        return Results(
            tuple(row["id"] for row in rows),
            tuple(row["patient"] for row in rows),
            {
                SITE: tuple(row[SITE] for row in rows),
                **{name.removeprefix(GROUP): tuple(row[name] for row in rows) for name in words},
            },
            {name: np.array([float(row[name]) for row in rows]) for name in names if name not in (*KEYS, *words)},
        )
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise ManifestError([f"{path}: no table of exam results: {error}"]) from error


def matched(a: Results, b: Results, truths: Sequence[str]) -> tuple[Results, Results]:
    """The exams that both have, in the order of ``a``.

    Parameters
    ----------
    truths : columns that hold the truth, in which the two must agree where both have them.

    Raises
    ------
    ManifestError : they share no exam, or differ about the truth of one.
    """
    place = {name: i for i, name in enumerate(b.ids)}
    pairs = [(i, place[name]) for i, name in enumerate(a.ids) if name in place]
    if not pairs:
        raise ManifestError(["the two sets of results share no exam"])
    first, second = a.taken([i for i, _ in pairs]), b.taken([j for _, j in pairs])
    faults = [fault for name in truths for fault in _differences(first, second, name)]
    if faults:
        raise ManifestError(faults)
    return first, second


def _differences(a: Results, b: Results, name: str) -> list[str]:
    if name not in a.columns or name not in b.columns:
        return []
    differ = ~np.isclose(a[name], b[name], rtol=0.0, atol=0.0, equal_nan=True)
    return [f"exam {a.ids[i]}: the two sets of results differ in its {name}" for i in np.flatnonzero(differ)]
