"""Findings at or above the limits of the configuration: volumes, probabilities of exams, and scores."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sqlalchemy.orm import Session

from dicomnode.config.notify import Notify
from dicomnode.decision import Outcome, ScoreOutcome, Told
from dicomnode.store.ops.alarms import UrgentFinding
from dicomnode.store.ops.standing import SucceededRun, succeeded_runs

LOOKED_BACK_S = 3600.0
"""Runs that succeeded within this long are looked at: a node that was away for less tells what it found before."""


def urgent_findings(
    session: Session, notify: Notify, now: float, *, shadows: Collection[str] = ()
) -> Iterator[UrgentFinding]:
    """Each finding over a limit, of the runs of the last hour.

    Parameters
    ----------
    shadows : protocols of which nobody is told anything.
    """
    if not notify.knows_urgent:
        return
    runs = [run for run in succeeded_runs(session, since=now - LOOKED_BACK_S) if run.protocol not in shadows]
    for run in runs:
        for told in _urgent(run, notify):
            of = f", accession number {run.accession_number}" if notify.patient_data else ""
            says = f"job {run.job_id}: {told.finding} {told.in_words()}{of}. Research, not for diagnosis."
            name = f"finding of job {run.job_id}: {run.model}, {told.finding}"
            yield UrgentFinding(name=name, says=says, job_id=run.job_id, model=run.model, outcome=told.as_dict())


def _urgent(run: SucceededRun, notify: Notify) -> Iterator[Told]:
    for outcome in map(Outcome.from_dict, run.outcomes):
        is_large = 0 < notify.urgent_ml <= outcome.volume_ml
        if is_large or 0 < notify.urgent_probability <= (outcome.exam_probability or 0.0):
            yield outcome
    for score in map(ScoreOutcome.from_dict, run.scores):
        if score.finding in notify.urgent_scores and score.value >= notify.urgent_scores[score.finding]:
            yield score
