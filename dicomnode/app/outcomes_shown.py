"""``dicomnode outcomes``: which scores foretell, and the tables of what came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from dicomnode.app.show import clock, table
from dicomnode.execute.forecasts import drawn_forecasts, forecasts_of
from dicomnode.ops.outcomes import Account, Group, account
from dicomnode.store.ops.comparisons import Compared, compared
from dicomnode.store.ops.outcomes import (
    ForecastLine,
    GrowthLine,
    exams_by_patient,
    forecast_lines,
    growth_lines,
)
from dicomnode.zoo.registry import Registry

_CAME = {True: "yes", False: "no", None: "uncertain"}
WITHIN_H = 72.0
NOT_YET = "not_yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanLine:
    """A predicted scan and the CT that came.

    Attributes
    ----------
    reason : why their voxels were not compared; ``not_yet`` where that is still to come; empty where they were.
    figures : see :class:`dicomnode.zoo.followup.course.CourseFigures`.
    """

    model: str
    study_uid: str
    later_study_uid: str
    scanned_at: float
    hours: float
    reason: str
    figures: Mapping[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What was foretold and what came.

    Attributes
    ----------
    accounts : how each score did. lines : its forecasts, by its name. growth : bleeds that were seen twice.
    scans : predicted scans, each with the CT that it was held against.
    """

    accounts: Sequence[Account]
    lines: Mapping[str, Sequence[ForecastLine]]
    growth: Sequence[GrowthLine]
    scans: Sequence[ScanLine] = ()


def what_came(session: Session, registry: Registry, finding: str = "hemorrhage", within_h: float = WITHIN_H) -> Came:
    """Read it off what models said of each CT.

    Parameters
    ----------
    finding : mask whose growth is told. within_h : until when the next CT comes.

    Raises
    ------
    BundleError : a bundle cannot be read.
    """
    exams = exams_by_patient(session)
    lines = {one.score: forecast_lines(exams, one) for one in forecasts_of(registry)}
    return Came(
        accounts=[account(score, of_score) for score, of_score in lines.items()],
        lines=lines,
        growth=growth_lines(exams, finding=finding, until_h=within_h),
        scans=_scans(session, [line for one in drawn_forecasts(registry) for line in lines[one.score]]),
    )


def _scans(session: Session, lines: Sequence[ForecastLine]) -> list[ScanLine]:
    pairs = {(line.job_id, line.later_job_id, line.model): line for line in lines}
    known = compared(session, pairs)
    return [_scan(line, known.get(pair, Compared(NOT_YET, {}))) for pair, line in pairs.items()]


def _scan(line: ForecastLine, one: Compared) -> ScanLine:
    return ScanLine(
        model=line.model,
        study_uid=line.study_uid,
        later_study_uid=line.later_study_uid,
        scanned_at=line.scanned_at,
        hours=line.hours,
        reason=one.reason,
        figures=one.figures,
    )


def tables(came: Came, timezone: str) -> None:
    """Print each forecast with what came, how they did together, and the bleeds that were seen twice."""
    for one in came.accounts:
        table(f"{one.score}: forecasts", _FORECASTS, [_forecast(line, timezone) for line in came.lines[one.score]])
        table(f"{one.score}: calibration{_errors(one)}", _GROUPS, _groups(one))
    if not came.accounts:
        table("Forecasts: no model of this configuration foretells a later CT", [], [])
    if came.scans:
        title = "Predicted scans against what came, mean absolute HU where something changed and no blood lies"
        table(title, _SCANS, [_shown(line, timezone) for line in came.scans])
    table("Bleeds seen again", _GROWTH, [_grown(line, timezone) for line in came.growth])


_FORECASTS = ("scanned", "study", "foretold", "came", "mL", "after", "later study")
_GROUPS = ("probability", "forecasts", "mean", "came", "share", "95 %")
_SCANS = ("scanned", "study", "after", "changed mL", "predicted", "no change", "moved", "not compared")
_GROWTH = ("scanned", "study", "mL", "later mL", "change", "after", "expanded")


def _forecast(line: ForecastLine, timezone: str) -> list[str]:
    told = [f"{line.probability:g}", _CAME[line.came], f"{line.volume_ml:g}", f"{line.hours:.1f} h"]
    return [clock(line.scanned_at, timezone), line.study_uid, *told, line.later_study_uid]


def _errors(one: Account) -> str:
    if one.brier is None:
        return ""
    uncertain = f"; {one.uncertain} uncertain, not counted" if one.uncertain else ""
    return f" (Brier {one.brier:.3f}, of the base rate {one.brier_base:.3f}{uncertain})"


def _groups(one: Account) -> list[list[str]]:
    groups = [_group(f"{group.low:g} to {group.high:g}", group) for group in one.groups if group.count]
    return [*groups, _group("all", one.whole)] if one.whole.count else []


def _group(name: str, group: Group) -> list[str]:
    low, high = group.interval or (0.0, 1.0)
    share = group.came / group.count
    return [
        name,
        str(group.count),
        f"{group.expected:.2f}",
        str(group.came),
        f"{share:.2f}",
        f"{low:.2f} to {high:.2f}",
    ]


def _grown(line: GrowthLine, timezone: str) -> list[str]:
    change = f"{line.growth_ml:+.1f} mL"
    told = [f"{line.volume_ml:g}", f"{line.later_volume_ml:g}", change, f"{line.hours:.1f} h"]
    return [clock(line.scanned_at, timezone), line.study_uid, *told, "yes" if line.expanded else "no"]


def _shown(line: ScanLine, timezone: str) -> list[str]:
    told = line.figures
    errors = [_figure(told.get(name)) for name in ("changed_ml", "error_hu", "unchanged_hu")]
    moved = f"{told['shift_mm']:g} mm, {told['turn_deg']:g} deg" if told else ""
    return [clock(line.scanned_at, timezone), line.study_uid, f"{line.hours:.1f} h", *errors, moved, line.reason]


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
