"""What a case says of its job: states, decisions, models and events, without anything that names somebody."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import dicomnode
from dicomnode.app.documents import SCHEMA_VERSION, is_moment
from dicomnode.store.history.lines import EventLine, JobLine, RunLine

_CODE = re.compile(r"[a-z][a-z0-9_]{0,39}")
_NAMING = frozenset({"by", "owner", "destination", "name", "calling_ae", "called_ae", "address", "study_uid"})
"""Keys of an event that name a person, a machine or a peer."""
_OF_RUN = ("model", "digest", "status", "attempts", "crashes", "device", "seconds", "outcomes")


def told(job: JobLine, events: Sequence[EventLine], uid: Callable[[str], str]) -> dict[str, Any]:
    """The job as plain values.

    Parameters
    ----------
    uid : what stands in place of a UID.
    """
    begin = min((line.at for line in events), default=job.created_at)
    return {
        "schema_version": SCHEMA_VERSION,
        "node_version": dicomnode.__version__,
        "job": {
            "status": job.status,
            "priority": job.priority,
            "protocol": job.protocol,
            "generation": job.generation,
            "attempts": job.attempts,
            "refusal": job.refusal,
            "decision": job.decision,
            "result": job.result,
            "study_uid": uid(job.study_uid),
            "series_uid": uid(job.series_uid),
        },
        "runs": [_run(run) for run in job.runs],
        "events": [_event(line, begin, uid) for line in events],
    }


def _run(run: RunLine) -> dict[str, Any]:
    whole = asdict(run)
    return {key: whole[key] for key in _OF_RUN}


def _event(line: EventLine, begin: float, uid: Callable[[str], str]) -> dict[str, Any]:
    """Times are seconds after the first event: the day of a scan is a date of the patient."""
    return {
        "after_s": round(line.at - begin, 3),
        "subject": line.subject,
        "name": line.name,
        "before": line.before,
        "after": line.after,
        "series_uid": uid(line.series_uid) if line.series_uid else "",
        "detail": {key: value for key, value in line.detail.items() if _is_harmless(key, value)},
    }


def _is_harmless(key: str, value: Any) -> bool:
    """Numbers, and texts that are one coded word; a moment, a name and a sentence are left out."""
    if key in _NAMING or is_moment(key, value):
        return False
    if isinstance(value, list):
        return all(_is_harmless(key, inner) for inner in value)
    return isinstance(value, (int, float, type(None))) or (isinstance(value, str) and bool(_CODE.fullmatch(value)))
