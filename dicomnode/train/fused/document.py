"""The report of such an experiment: sentences, each before its table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dicomnode.train.outputs.output import Section
from dicomnode.train.report import section_text, write_json

KIND = " (synthetic)"


@dataclass(frozen=True, slots=True)
class Table:
    """A part of the report: a sentence before its table."""

    says: str
    section: Section


def write_document(
    out: Path, opening: Iterable[str], tables: Iterable[Table], figures: dict[str, object], closing: Iterable[str] = ()
) -> Path:
    """Write ``report.md`` and ``figures.json`` into a folder.

    Parameters
    ----------
    figures : read once all tables are made, which put theirs there.

    Returns
    -------
    Path of ``report.md``.
    """
    out.mkdir(parents=True, exist_ok=True)
    told = [*opening, *(f"{one.says}\n\n{section_text(one.section, KIND)}" for one in tables), *closing]
    (out / "report.md").write_text("\n\n".join(told) + "\n", encoding="utf-8")
    write_json(out / "figures.json", figures)
    return out / "report.md"
