"""Does a study end without a result that a protocol would have given? Then one report says so, where that is wanted.

Silence in a PACS reads as a negative. But a study has scouts, bone reconstructions and angiographies beside the series
that is wanted: only when all is quiet, and nothing of the study came to a result, one reason is told.
"""

from __future__ import annotations

import logging
import time

from sqlalchemy.orm import Session

from dicomnode.assemble.protocols import matches
from dicomnode.config.protocols import Protocol, in_turn
from dicomnode.config.whole import Config
from dicomnode.kinds import Kind
from dicomnode.store.assemble.not_performed import (
    NotPerformedReason,
    close_decision,
    due_studies,
    has_result,
    is_undecided,
    not_performed_reasons,
    plan_report,
    postpone_decision,
)
from dicomnode.store.engine import Store
from dicomnode.store.locks import lock_studies
from dicomnode.store.ops.priors import is_fetched

log = logging.getLogger(__name__)

NOT_PERFORMED_TICK_S = 2.0
LOOK_AGAIN_S = 15.0
"""How soon to look again at a study that may still get a result."""


class NotPerformedReports:
    """Decides which studies get a report that nothing was performed; :meth:`tick` is called every few seconds."""

    def __init__(self, config: Config, store: Store) -> None:
        self.config = config
        self.store = store
        self._protocols = [protocol for protocol in config.protocol if _is_reported(config, protocol)]

    def tick(self) -> int:
        """Look at every study that is due; returns how many reports that made.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError : the database failed; what was not decided is due again.
        """
        with self.store.read() as session:
            due = due_studies(session, time.time())
        made = 0
        for study_uid in due:
            with self.store.write() as session:
                made += self._decide(session, study_uid)
        return made

    def _decide(self, session: Session, study_uid: str) -> int:
        series, now = lock_studies(session, [study_uid]), time.time()
        quiet_at = max(one.last_instance_at for one in series) + self.config.reception.study_quiet_s
        look_at = max(quiet_at, now + LOOK_AGAIN_S if is_undecided(session, series) else now)
        if self._protocols and look_at > now:
            postpone_decision(series, look_at)
            return 0
        made = 0
        # nobody asked for a result of what was fetched, whatever is configured now
        protocols = [] if is_fetched(session, study_uid) else self._protocols
        for protocol in in_turn(protocols, study_uid):
            reason = (
                None
                if has_result(session, study_uid, protocol.name)
                else _nearest(not_performed_reasons(session, series), protocol)
            )
            if reason is not None and plan_report(
                session, series[0], reason, protocol=protocol.name, priority=protocol.priority
            ):
                made += 1
                facts = {"study_uid": study_uid, "protocol": protocol.name, "refusal": reason.refusal}
                log.warning("study ends without a result", extra=facts)
        close_decision(series)
        return made


def _is_reported(config: Config, protocol: Protocol) -> bool:
    return any(Kind.NOT_PERFORMED in destination.results for destination in config.destinations_of(protocol))


def _nearest(found: list[NotPerformedReason], protocol: Protocol) -> NotPerformedReason | None:
    """The nearest to a result of those that the protocol would have taken."""
    for reason in found:
        wanted = reason.protocol == protocol.name if reason.protocol else _matches(reason, protocol)
        if wanted:
            return reason
    return None


def _matches(reason: NotPerformedReason, protocol: Protocol) -> bool:
    """Whether a protocol would have taken the images; of those that broke off, as far as anything says otherwise."""
    read = {keyword for header in reason.headers for keyword in header}
    match = {keyword: wanted for keyword, wanted in protocol.match.items() if keyword in read or not reason.is_partial}
    return matches(match, reason.headers)
