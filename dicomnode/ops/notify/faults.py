"""What is wrong now, by name: read off the node's own state and off the database, with an index for every statement."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from dicomnode.config.whole import Config
from dicomnode.ops.readiness import Readiness
from dicomnode.ops.state import NodeState
from dicomnode.store.deliver.holding import count_held
from dicomnode.store.ops.audit import count_waiting, oldest_waiting_at
from dicomnode.store.ops.standing import ended_badly, last_image_at, waiting_jobs
from dicomnode.store.states import JobStatus

BADLY_WITHIN_S = 3600.0
"""Jobs that ended without a result are a fault for this long after the last of them."""
UNAUDITED_S = 60.0
"""Audit messages that wait for so long are a fault."""
STAT = "stat"
HOUR_S = 3600.0


def faults_of_node(readiness: Readiness, state: NodeState) -> dict[str, str]:
    """What this process cannot do, and which destinations it does not reach."""
    found = {f"not ready: {check.what}": check.says for check in readiness.checks(state) if not check.ok}
    for breaker in state.breakers:
        if breaker.failures:
            found[f"destination {breaker.destination}"] = f"cannot be reached, {breaker.failures} failures in a row"
    for model, (is_ok, says) in state.selftests.items():
        if not is_ok:
            found[f"selftest {model}"] = says
    if state.config_fault:
        found["configuration not taken over"] = state.config_fault
    return found


def faults_of_work(session: Session, config: Config, now: float) -> dict[str, str]:
    """What stands in the database and should not."""
    return dict(
        [
            *_held(session),
            *_waiting(session, config, now),
            *_badly(session, now),
            *_silence(session, config, now),
            *_unaudited(session, config, now),
        ]
    )


def _held(session: Session) -> Iterator[tuple[str, str]]:
    for destination, count in count_held(session).items():
        yield f"held for {destination}", f"{count} results wait until somebody decides: dicomnode jobs held"


def _waiting(session: Session, config: Config, now: float) -> Iterator[tuple[str, str]]:
    limit_s = config.operations.notify.stat_wait_s
    queued = [one for one in waiting_jobs(session) if (one.status, one.priority) == (JobStatus.QUEUED, STAT)]
    for one in queued:
        if 0 < limit_s < now - one.oldest_at:
            yield "stat jobs wait", f"{one.count} wait for a worker, the oldest for more than {limit_s / 60:.0f} min"


def _badly(session: Session, now: float) -> Iterator[tuple[str, str]]:
    counts = ended_badly(session, since=now - BADLY_WITHIN_S)
    if counts:
        told = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
        yield "jobs without a result", f"within an hour: {told}: dicomnode jobs list"


def _unaudited(session: Session, config: Config, now: float) -> Iterator[tuple[str, str]]:
    audit, oldest_at = config.operations.audit, oldest_waiting_at(session)
    if audit.is_on and oldest_at is not None and now - oldest_at > UNAUDITED_S:
        count = count_waiting(session)
        lost = ": further ones are lost" if count >= audit.max_waiting else ""
        yield "audit messages wait", f"{count} of at most {audit.max_waiting} wait for the syslog server{lost}"


def _silence(session: Session, config: Config, now: float) -> Iterator[tuple[str, str]]:
    silence_h = config.operations.notify.silence_h
    if silence_h and silent_s(session, config, now) > silence_h * HOUR_S:
        last_at = last_image_at(session)
        since = "never" if last_at is None else time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(last_at))
        yield "silence", f"no image for more than {silence_h:g} h; the last came: {since}"


def silent_s(session: Session, config: Config, now: float) -> float:
    """Seconds since the last image, within the hours in which some are expected; 0 outside of them."""
    notify = config.operations.notify
    hour = datetime.fromtimestamp(now, ZoneInfo(config.node.timezone)).hour
    if not notify.silence_from <= hour < notify.silence_to:
        return 0.0
    # The hours before the day's begin do not count: nights are silent.
    begin = now - (now % HOUR_S) - (hour - notify.silence_from) * HOUR_S
    return max(0.0, now - max(last_image_at(session) or 0.0, begin))
