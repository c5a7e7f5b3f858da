"""``dicomnode outcomes``: which scores foretell, and the tables of what came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from dicomnode.app.show import clock, table
from dicomnode.ops.outcomes import Account, Group, account
from dicomnode.store.ops.outcomes import (
    Forecast,
    ForecastLine,
    GrowthLine,
    exams_by_patient,
    forecast_lines,
    growth_lines,
)
from dicomnode.zoo.registry import Registry

_CAME = {True: "yes", False: "no", None: "uncertain"}
WITHIN_H = 72.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What was foretold and what came.

    Attributes
    ----------
    accounts : how each score did. lines : its forecasts, by its name. growth : bleeds that were seen twice.
    """

    accounts: Sequence[Account]
    lines: Mapping[str, Sequence[ForecastLine]]
    growth: Sequence[GrowthLine]


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
    )


def forecasts_of(registry: Registry) -> list[Forecast]:
    """Every score of the known bundles that says what a later CT will show.

    Raises
    ------
    BundleError : a bundle cannot be read.
    """
    return [
        Forecast(
            model=manifest.name,
            score=score.name,
            finding=score.foretells.finding,
            at_h=score.foretells.at_h,
            until_h=score.foretells.until_h,
        )
        for manifest in registry.list()
        for score in manifest.scores
        if score.foretells is not None
    ]


def tables(came: Came, timezone: str) -> None:
    """Print each forecast with what came, how they did together, and the bleeds that were seen twice."""
    for one in came.accounts:
        table(f"{one.score}: forecasts", _FORECASTS, [_forecast(line, timezone) for line in came.lines[one.score]])
        table(f"{one.score}: calibration{_errors(one)}", _GROUPS, _groups(one))
    if not came.accounts:
        table("Forecasts: no model of this configuration foretells a later CT", [], [])
    table("Bleeds seen again", _GROWTH, [_grown(line, timezone) for line in came.growth])


_FORECASTS = ("scanned", "study", "foretold", "came", "mL", "after", "later study")
_GROUPS = ("probability", "forecasts", "mean", "came", "share", "95 %")
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
