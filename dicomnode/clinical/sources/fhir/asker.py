"""Asks a FHIR server about the patients of new studies, in parallel to the settling of their series.

Questions are rows: what a stop interrupts is asked again. Log lines and events have counts and coded reasons only.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

from dicomnode.clinical.sources.fhir.asking import Gathered, Wanted, ask
from dicomnode.clinical.sources.fhir.identifiers import identifier_of
from dicomnode.clinical.sources.fhir.server import FhirServer
from dicomnode.clinical.variables import VARIABLES
from dicomnode.config.clinical import Clinical
from dicomnode.config.whole import Config
from dicomnode.errors import ConfigError, FhirError, FhirOutcome
from dicomnode.records import ContextSource
from dicomnode.store.clinical.observations import store_answer
from dicomnode.store.clinical.patients import all_keys
from dicomnode.store.clinical.questions import Question, claim_question, is_any_due, record_answer, release_question
from dicomnode.store.engine import Store
from dicomnode.web.credentials import Credentials

log = logging.getLogger(__name__)

ASK_EVERY_S = 0.5
LEASE_SLACK_S = 10.0
RETRY_MIN_S, RETRY_MAX_S, JITTER = 2.0, 900.0, 0.2
HOUR_S = 3600.0
MAX_DOUBLINGS = 12


class Asker:
    """Asks one question after the other; several of them share the rows.

    Parameters
    ----------
    is_stopping : whether the node is to stop; a question that this interrupts is due at once.

    Raises
    ------
    ConfigError : a code of the site names a variable that the node does not know, or a certificate cannot be used.
    """

    def __init__(self, config: Config, store: Store, is_stopping: Callable[[], bool] = lambda: False) -> None:
        self._is_stopping = is_stopping
        self.clinical: Clinical = config.clinical
        self.zone = ZoneInfo(config.node.timezone)
        self.store = store
        self._credentials = Credentials(self.clinical.fhir.auth)
        unknown = sorted(set(self.clinical.fhir.codes.values()) - VARIABLES.keys())
        if unknown:
            raise ConfigError([f"clinical.fhir.codes: there is no variable {unknown[0]!r}"])
        with self._server():
            pass  # said now, not at the first patient

    def look(self) -> bool:
        """Ask the question that is due longest; whether there was one.

        Raises
        ------
        SQLAlchemyError : the database is away; the question is due again after its lease.
        """
        with self.store.read() as session:
            if not is_any_due(session):
                return False
        with self.store.write() as session:
            question = claim_question(session, lease_s=self.clinical.fhir.budget_s + LEASE_SLACK_S)
            keys = [] if question is None else all_keys(session, question.patient)
        if question is None:
            return False
        self._ask(question, [found for key in keys if (found := identifier_of(self.clinical, key))])
        return True

    def _ask(self, question: Question, identifiers: list[tuple[str, str]]) -> None:
        gathered = self._gathered(self._wanted(question, identifiers))
        if gathered.fault is not None and self._is_stopping():
            with self.store.write() as session:
                release_question(session, question)
            return
        retry_after_s = 0.0 if gathered.fault is None else gathered.fault.retry_after_s
        with self.store.write() as session:
            stored = store_answer(session, ContextSource.FHIR, gathered.read, gathered.observations, gathered.texts)
            detail = _detail(gathered, new=stored.new, gone=stored.gone)
            record_answer(
                session,
                question,
                gathered.outcome,
                detail=detail,
                next_try_at=self._next_try_at(question, gathered.outcome, retry_after_s),
                has_new=stored.new > 0,
                has_gone=stored.gone > 0,
            )
        is_fault = gathered.outcome not in (FhirOutcome.ANSWERED, FhirOutcome.IN_PART)
        facts = {"action": "fhir", "study_uid": question.study_uid, "outcome": gathered.outcome.value, **detail}
        log.log(logging.WARNING if is_fault else logging.INFO, "FHIR server asked", extra=facts)

    def _gathered(self, wanted: Wanted) -> Gathered:
        try:
            with self._server() as server:
                return ask(server, wanted)
        except ConfigError as fault:  # a certificate was taken away since the start
            return Gathered(fault=FhirError(FhirOutcome.NO_CREDENTIALS, str(fault)))

    def _server(self) -> FhirServer:
        return FhirServer(self.clinical.fhir, self._credentials, self._is_stopping)

    def _wanted(self, question: Question, identifiers: list[tuple[str, str]]) -> Wanted:
        at, clinical = question.scanned_at, self.clinical
        return Wanted(
            images=question.patient,
            identifiers=identifiers,
            scanned_at=at,
            since=None if at is None else at - clinical.hours_before * HOUR_S,
            until=None if at is None else at + clinical.hours_after * HOUR_S,
            zone=self.zone,
            codes=clinical.fhir.codes,
        )

    def _next_try_at(self, question: Question, outcome: FhirOutcome, retry_after_s: float) -> float | None:
        """When it is asked again: soon where the fault passes, else for later values; None: nothing is amended then."""
        wait_s = self.clinical.fhir.poll_s
        if outcome.passes:
            nominal_s = min(RETRY_MAX_S, RETRY_MIN_S * 2 ** min(question.failures, MAX_DOUBLINGS))
            wait_s = max(retry_after_s, nominal_s * random.uniform(1 - JITTER, 1 + JITTER))
        next_try_at = time.time() + wait_s
        is_over = next_try_at > question.made_at + max(self.clinical.amend_h, 1.0) * HOUR_S
        return None if is_over or wait_s <= 0 else next_try_at


def _detail(gathered: Gathered, *, new: int, gone: int) -> dict[str, Any]:
    """Counts and coded reasons; what is not worth telling is left out."""
    told: dict[str, Any] = {
        "values": len(gathered.observations),
        "texts": len(gathered.texts),
        "new": new,
        "taken_back": gone,
        "refused": dict(sorted(gathered.refused.items())),
        "not_given": gathered.unread,
        "more_than_read": gathered.is_cut,
        "why": "" if gathered.fault is None else gathered.fault.detail,
    }
    return {name: value for name, value in told.items() if value}
