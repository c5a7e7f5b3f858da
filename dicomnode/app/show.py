"""What commands print for people: tables. For programs: :mod:`dicomnode.app.documents`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dicomnode.app.documents import is_moment, moment
from dicomnode.kinds import KINDS
from dicomnode.store.deliver.fallback import RefusalLine
from dicomnode.store.history.facts import fact, told
from dicomnode.store.history.held import HeldLine
from dicomnode.store.history.lines import EventLine, JobLine, SeriesLine
from dicomnode.store.history.listing import COUNTED, Listing
from dicomnode.store.ops.alarms import AlarmLine
from dicomnode.store.ops.drift import DriftLine
from dicomnode.store.ops.levels import LevelLine

# Into a pipe or a file: wide enough for a UID, so that grep finds it whole.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
err = Console(stderr=True, highlight=False)

_COLOURS = {
    "done": "green",
    "proven": "green",
    "sent_unproven": "yellow",
    "succeeded": "green",
    "chosen": "green",
    "refused": "yellow",
    "withheld": "yellow",
    "held": "red",
    "superseded": "dim",
    "withdrawn": "dim",
    "replaced": "dim",
    "not_chosen": "dim",
    "not_used": "dim",
    "failed": "red",
    "undelivered": "red",
    "quarantined": "red",
}


def clock(at: float | None, timezone: str = "UTC") -> str:
    """Date and time to the second with the offset of a zone, or a dash."""
    if at is None:
        return "-"
    said = moment(at, timezone).replace("T", " ")
    return f"{said[:19]}{said[23:]}"


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A plain table; says so when there is nothing in it."""
    grid = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        grid.add_column(column, overflow="fold")
    count = 0
    for row in rows:
        grid.add_row(*[_coloured(cell) for cell in row])
        count += 1
    out.print(grid if count else f"{title}: none")


def _coloured(cell: str) -> str:
    """A known state in its colour; anything else as it is, also where it holds brackets."""
    colour = _COLOURS.get(cell)
    return f"[{colour}]{cell}[/{colour}]" if colour else escape(cell)


def listing(listed: Listing, timezone: str) -> None:
    """Jobs, series without one, and how many more there are."""
    jobs_table(listed.jobs, timezone)
    _say_the_rest(len(listed.jobs), listed.jobs_total, "jobs")
    if listed.series_without_job is not None:
        series_table(listed.series_without_job, timezone)
        _say_the_rest(len(listed.series_without_job), listed.series_without_job_total or 0, "series without a job")


def _say_the_rest(shown: int, total: int, what: str) -> None:
    if shown < total:
        there = f"more than {COUNTED}" if total > COUNTED else str(total)
        out.print(f"{shown} of {there} {what} shown, the newest; --limit 0 shows all")


def jobs_table(jobs: Sequence[JobLine], timezone: str) -> None:
    """One line a job."""
    table(
        f"Jobs (times: {timezone})" if jobs else "Jobs",
        ["job", "task", "status", "result", "priority", "protocol", "accession", "created", "series", "reason"],
        [
            [
                str(job.job_id),
                job.task.replace("_", " "),
                job.status,
                job.result or "-",
                job.priority,
                job.protocol,
                job.accession_number or "-",
                clock(job.created_at, timezone),
                job.series_uid,
                job.refusal or job.error or (f"{job.held} results held: see jobs held" if job.held else ""),
            ]
            for job in jobs
        ],
    )


def series_table(series: Sequence[SeriesLine], timezone: str) -> None:
    """One line a series that has no job."""
    table(
        f"Series without a job (times: {timezone})" if series else "Series without a job",
        ["series", "status", "modality", "last image", "reason", "seen"],
        [
            [
                line.series_uid,
                line.status,
                line.modality,
                clock(line.last_instance_at, timezone),
                line.refusal,
                line.detail,
            ]
            for line in series
        ],
    )


def job_page(job: JobLine, timezone: str) -> None:
    """One job with its runs and deliveries."""
    task = job.task.replace("_", " ")
    out.print(f"[bold]Job {job.job_id}[/bold]  {task}  {_coloured(job.status)}  {job.protocol}, {job.priority}")
    out.print(f"study {job.study_uid}\nseries {job.series_uid}\naccession {job.accession_number or '-'}")
    if job.result:
        out.print(escape(f"result: {job.result}"))
    out.print(f"generation {job.generation}, attempts {job.attempts}")
    out.print(f"created {clock(job.created_at, timezone)}, finished {clock(job.finished_at, timezone)} ({timezone})")
    if job.refusal or job.error:
        out.print(escape(f"reason: {job.refusal} {job.error}".strip()))
    runs = [
        [run.model, run.status, str(run.attempts), run.device, f"{run.seconds or 0:.1f} s", run.error]
        for run in job.runs
    ]
    table("Runs", ["model", "status", "attempts", "device", "took", "error"], runs)
    deliveries = [
        [
            line.destination,
            line.kind,
            line.status,
            line.proven_by or f"({line.proof})",
            line.identity,
            str(line.attempts),
            line.sop_instance_uid,
            line.error,
        ]
        for line in job.deliveries
    ]
    columns = ["destination", "kind", "status", "proof", "identity", "attempts", "SOP instance", "error"]
    table("Deliveries", columns, deliveries)


def held_table(held: Sequence[HeldLine]) -> None:
    """One line for each job and destination."""
    columns = ["job", "destination", "accession", "study", "results", "identity", "reason"]
    rows = [
        [
            str(line.job_id),
            line.destination,
            line.accession_number or "-",
            line.study_uid,
            str(line.count),
            line.identity,
            line.reason,
        ]
        for line in held
    ]
    table("Held results", columns, rows)


def refusals_table(refusals: Sequence[RefusalLine], timezone: str) -> None:
    """One line for each SOP class that a destination refuses."""
    rows = [
        [
            line.destination,
            ", ".join(kind for kind, row in KINDS.items() if row.sop_class_uid == line.sop_class_uid),
            line.sop_class_uid,
            clock(line.learned_at, timezone),
            line.how,
        ]
        for line in refusals
    ]
    title = f"Refused SOP classes (times: {timezone})" if rows else "Refused SOP classes"
    table(title, ["destination", "kinds", "SOP class", "since", "how"], rows)


def events_table(identifier: str, events: Sequence[EventLine], timezone: str) -> None:
    """What happened, in order."""
    table(
        f"What happened to {identifier} (times: {timezone})",
        ["at", "what", "event", "state", "detail"],
        [
            [
                moment(line.at, timezone).replace("T", " "),
                f"{line.subject} {line.subject_id or ''}".strip(),
                line.name,
                f"{line.before} -> {line.after}" if line.before else line.after,
                "; ".join(_fact(key, value, timezone) for key, value in told(line.detail).items()),
            ]
            for line in events
        ],
    )


def _fact(key: str, value: Any, timezone: str) -> str:
    return f"{key}: {clock(value, timezone) if is_moment(key, value) else fact(value)}"


def alarms_table(alarms: Sequence[AlarmLine], timezone: str) -> None:
    """One line for each alarm that lasts."""
    rows = [
        [
            str(line.alarm_id),
            clock(line.since_at, timezone),
            line.name,
            line.says,
            ", ".join(line.told) or "-",
            line.acknowledged_by or "-",
        ]
        for line in alarms
    ]
    title = f"Alarms (times: {timezone})" if rows else "Alarms"
    table(title, ["alarm", "since", "what", "says", "told by", "seen by"], rows)


def drift_table(lines: Sequence[DriftLine], days: float, reference_days: float) -> None:
    """One line for each share of each scanner."""
    rows = [
        [
            line.sender or "-",
            line.what,
            f"{line.count} of {line.of}",
            f"{line.count_before} of {line.of_before}",
            "-" if line.p is None else f"{line.p:g}",
            "DRIFTS" if line.drifts else "-",
        ]
        for line in lines
    ]
    title = f"The last {days:g} days against the {reference_days:g} days before"
    table(title, ["scanner", "share", "now", "before", "p", ""], rows)


def levels_table(levels: Sequence[LevelLine]) -> None:
    """One line for the brain of each scanner."""
    rows = [
        [
            line.sender or "-",
            level(line.median_hu, line.count),
            level(line.median_hu_before, line.count_before),
            "-" if line.p is None else f"{line.p:g}",
            "DRIFTS" if line.drifts else "-",
        ]
        for line in levels
    ]
    table("Brain, HU: median of the scans", ["scanner", "now", "before", "p", ""], rows)


def level(median_hu: float | None, count: int) -> str:
    """``31.5 (42 scans)``."""
    return "-" if median_hu is None else f"{median_hu:.1f} ({count} scan{'s' if count != 1 else ''})"
