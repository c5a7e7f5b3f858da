"""``dicomnode protocols test``: what the node would do with a series, clause by clause; nothing is run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dicomnode.app import show
from dicomnode.app.folder import FoundSeries, series_of_files
from dicomnode.assemble.choice import protocols_for
from dicomnode.assemble.protocols import Clause, explain
from dicomnode.config.protocols import Protocol
from dicomnode.errors import ConfigError, Refusal, SeriesError


@dataclass(frozen=True, slots=True)
class ProtocolTested:
    """One protocol against one series. ``matches``: every clause holds for every slice."""

    name: str
    matches: bool
    clauses: Sequence[Clause]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesTested:
    """One series.

    Attributes
    ----------
    refusal, detail : why the node would refuse it before it asks any protocol; empty: it would not.
    left_out : how many files are no slices, by reason.
    runs : the protocols that it would be run through.
    """

    series_uid: str
    slices: int
    left_out: dict[str, int]
    refusal: str
    detail: str
    protocols: Sequence[ProtocolTested]
    runs: Sequence[str]


def tested(paths: Sequence[Path], protocols: Sequence[Protocol]) -> list[SeriesTested]:
    """Each series of these files and folders, the one with the most files first.

    Raises
    ------
    ConfigError : none of them is a DICOM instance.
    """
    found, others = series_of_files(_files(paths))
    if not found:
        raise ConfigError([f"there is no DICOM instance among these {others} files"])
    return [_tested(series, protocols) for series in found]


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.exists():
            raise ConfigError([f"{path}: there is no such file or folder"])
        yield from sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]


def _tested(series: FoundSeries, protocols: Sequence[Protocol]) -> SeriesTested:
    slices = [file.header for file in series.files if file.reason is None]
    results = [_against(protocol, explain(protocol.match, slices)) for protocol in protocols]
    refusal, detail = _refused(series, protocols)
    return SeriesTested(
        series_uid=series.series_uid,
        slices=len(slices),
        left_out=dict(Counter(str(file.reason) for file in series.files if file.reason is not None)),
        refusal=refusal,
        detail=detail,
        protocols=results,
        runs=[] if refusal else [one.name for one in results if one.matches],
    )


def _against(protocol: Protocol, clauses: Sequence[Clause]) -> ProtocolTested:
    return ProtocolTested(protocol.name, bool(clauses) and all(clause.ok for clause in clauses), clauses)


def _refused(series: FoundSeries, protocols: Sequence[Protocol]) -> tuple[str, str]:
    try:
        protocols_for(series.headers, protocols)
    except SeriesError as fault:
        # That no protocol matches is told by the clauses.
        return ("", "") if fault.refusal is Refusal.NO_PROTOCOL else (str(fault.refusal), fault.detail)
    return "", ""


def tested_page(series: Sequence[SeriesTested]) -> None:
    """For a person."""
    for one in series:
        left_out = ", ".join(f"{count} {reason}" for reason, count in one.left_out.items())
        title = f"Series {one.series_uid}: {one.slices} slices{f'; left out: {left_out}' if left_out else ''}"
        rows = [
            [protocol.name, clause.keyword, "yes" if clause.ok else "NO", clause.wanted, clause.seen]
            for protocol in one.protocols
            for clause in protocol.clauses
        ]
        show.table(title, ["protocol", "keyword", "holds", "wanted", "seen"], rows)
        if one.refusal:
            show.out.print(f"would be refused: {one.refusal} ({one.detail})\n", markup=False)
        else:
            show.out.print(f"would be run through: {', '.join(one.runs) or 'no protocol'}\n", markup=False)
