"""Earlier CTs: where a bleed was found, an archive is asked for the patient's CT before, and growth is told from both.

What is fetched comes through the ordinary reception, goes through one shadow protocol and nowhere else. What it shows
becomes a value of the patient, which amends the results of the study that asked for it as any late value does.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from pydicom.dataset import Dataset

from dicomnode.clinical.matching import contradictions
from dicomnode.config.whole import Config
from dicomnode.decision import Decision
from dicomnode.deliver.archive import Archive, FoundSeries, FoundStudy
from dicomnode.deliver.backoff import Backoff
from dicomnode.dicom.times import moment_of
from dicomnode.dicom.uids import is_valid_uid
from dicomnode.errors import DeliveryError, ReceiveError
from dicomnode.records import ContextSource, Observation, Patient
from dicomnode.store.clinical.observations import store_context
from dicomnode.store.engine import Store
from dicomnode.store.ops.outcomes import HOUR_S, Exam, earlier_exam, exams_of
from dicomnode.store.ops.priors import (
    Search,
    announce,
    claim_search,
    is_any_due,
    make_search,
    new_searches,
    record_search,
    searches_to_tell,
)

log = logging.getLogger(__name__)

PRIORS_EVERY_S = 5.0
FINDING, VOLUME = "hemorrhage", "prior_bleed_volume"
NEW_WITHIN_S = 24 * HOUR_S
"""Older results were there before the archive was configured, or the node was away: they stay as they are."""
BACKOFF = Backoff(min_s=15.0, max_s=900.0, give_up_after_s=math.inf)
WILDCARDS = frozenset("*?\\")
"""In a patient ID they would ask for other patients (PS3.4 C.2.2.2.4)."""


class PriorOutcome(StrEnum):
    """What came of a search; it stands in the history of the study that asked."""

    FETCHED = "fetched"
    KNOWN = "known"
    TOLD = "told"
    NONE = "none"
    REFUSED = "refused"
    NO_SERIES = "no_series"
    NOTHING_CAME = "nothing_came"
    UNUSABLE_ID = "unusable_id"
    NO_ANSWER = "no_answer"


class PriorSearches:
    """Looks for studies with a bleed, asks the archive, and tells what the earlier CT showed.

    Parameters
    ----------
    archive : that is asked.
    is_stopping : whether the node is to stop: nothing new is asked then.
    """

    def __init__(
        self, config: Config, store: Store, archive: Archive, is_stopping: Callable[[], bool] = lambda: False
    ) -> None:
        self.config, self.store, self.archive, self._is_stopping = config, store, archive, is_stopping
        self.priors, self.zone = config.priors, ZoneInfo(config.node.timezone)
        self._draw = random.Random()

    def look(self) -> None:
        """Make searches, do those that are due, tell what was found.

        Raises
        ------
        SQLAlchemyError : the database is away; what was begun is due again after its lease.
        """
        with self.store.read() as session:
            new = new_searches(session, finding=FINDING, since=time.time() - NEW_WITHIN_S)
        if new:
            with self.store.write() as session:
                for study_uid in new:
                    make_search(session, study_uid)
        while not self._is_stopping() and self._search_one():
            pass
        self._tell()

    def _search_one(self) -> bool:
        with self.store.read() as session:
            if not is_any_due(session):
                return False
        lease_s = 2.0 * self.priors.timeout_s * self.priors.max_series
        with self.store.write() as session:
            search = claim_search(session, lease_s=lease_s)
        if search is None:
            return False
        detail: dict[str, Any] = {}
        try:
            outcome = self._search(search, detail)
        except (DeliveryError, ReceiveError) as fault:
            self._failed(search, {**detail, "why": str(fault)})
            return True
        self._record(search, outcome, detail)
        return True

    def _search(self, search: Search, detail: dict[str, Any]) -> PriorOutcome:
        """Ask and fetch; ``detail`` gets counts and reasons.

        Raises
        ------
        DeliveryError : the archive did not answer, or not as it should.
        ReceiveError : what it sent could not be stored now.
        """
        with self.store.read() as session:
            earlier = self._earlier(exams_of(session, search.patient), search)
        if earlier is not None:
            return PriorOutcome.KNOWN
        if WILDCARDS & set(search.patient.patient_id):
            return PriorOutcome.UNUSABLE_ID
        refused: Counter[str] = Counter()
        usable = self._usable(self.archive.studies(search.patient, self._days(search)), search, refused)
        detail |= {"studies": len(usable), **({"refused": dict(sorted(refused.items()))} if refused else {})}
        if not usable:
            return PriorOutcome.REFUSED if refused else PriorOutcome.NONE
        _, study_uid = max(usable)
        return self._fetch(search, study_uid, detail)

    def _fetch(self, search: Search, study_uid: str, detail: dict[str, Any]) -> PriorOutcome:
        wanted = self._wanted(self.archive.series(study_uid))
        detail["series"] = len(wanted)
        if not wanted:
            return PriorOutcome.NO_SERIES
        with self.store.write() as session:
            if not announce(session, search, study_uid):
                return PriorOutcome.KNOWN
        detail["instances"] = sum(self.archive.fetch(study_uid, one.series_uid) for one in wanted)
        return PriorOutcome.FETCHED if detail["instances"] else PriorOutcome.NOTHING_CAME

    def _days(self, search: Search) -> str:
        scanned = datetime.fromtimestamp(search.scanned_at, self.zone)
        first = scanned - timedelta(hours=self.priors.hours_before)
        return f"{first:%Y%m%d}-{scanned:%Y%m%d}"

    def _usable(self, found: Sequence[FoundStudy], search: Search, refused: Counter[str]) -> list[tuple[float, str]]:
        """When each was scanned, and its UID; ``refused`` counts why others are not used."""
        usable = []
        for study in found:
            if study.study_uid == search.study_uid:
                continue
            reason, at = self._refusal(study, search), self._moment(study)
            if reason:
                refused[reason] += 1
            elif at is not None and 0.0 < search.scanned_at - at <= self.priors.hours_before * HOUR_S:
                usable.append((at, str(study.study_uid)))
        return usable

    def _refusal(self, study: FoundStudy, search: Search) -> str:
        """Why a study is not taken to be the patient's; empty where it is."""
        asked, said = search.patient, study.patient
        if not study.study_uid or not is_valid_uid(study.study_uid):
            return "study_uid"
        if said.patient_id != asked.patient_id:
            return "patient_id"
        issuer = said.issuer or self.config.clinical.issuer
        if issuer and asked.issuer and issuer != asked.issuer:
            return "issuer"
        contradict = contradictions(asked, said)
        return contradict[0] if contradict else "" if self._moment(study) is not None else "time"

    def _moment(self, study: FoundStudy) -> float | None:
        # an archive may write 10:15 for 101500
        stated = study.date.replace(".", "") + study.time.replace(":", "")
        return moment_of(stated, Dataset(), str(self.zone))

    def _wanted(self, found: Sequence[FoundSeries]) -> list[FoundSeries]:
        """Thick slices first: they are what the models read, and come soonest."""
        fit = [
            one
            for one in found
            if one.modality == "CT"
            and is_valid_uid(one.series_uid)
            and (one.instances is None or self.priors.min_slices <= one.instances <= self.priors.max_slices)
        ]
        fit.sort(key=lambda one: self.priors.max_slices if one.instances is None else one.instances)
        return fit[: self.priors.max_series]

    def _failed(self, search: Search, detail: dict[str, Any]) -> None:
        failures = search.failures + 1
        pause_s = BACKOFF.delay_s(failures, self._draw)
        next_try_at = None if failures >= self.priors.attempts else time.time() + pause_s
        self._record(search, PriorOutcome.NO_ANSWER, detail, failures=failures, next_try_at=next_try_at)

    def _record(self, search: Search, outcome: PriorOutcome, detail: dict[str, Any], **again: Any) -> None:
        with self.store.write() as session:
            record_search(session, search, outcome, detail, **again)
        is_fault = outcome in (PriorOutcome.REFUSED, PriorOutcome.NO_ANSWER, PriorOutcome.NOTHING_CAME)
        facts = {"action": "priors", "study_uid": search.study_uid, "outcome": outcome.value, **detail}
        log.log(logging.WARNING if is_fault else logging.INFO, "earlier CT looked for", extra=facts)

    def _tell(self) -> None:
        """What the earlier CT showed becomes a value of the patient, once it was looked at."""
        there = (PriorOutcome.FETCHED, PriorOutcome.KNOWN)
        with self.store.read() as session:
            searches = searches_to_tell(session, outcomes=there, since=time.time() - NEW_WITHIN_S)
            found = [(search, self._earlier(exams_of(session, search.patient), search)) for search in searches]
        for search, exam in found:
            if exam is not None and exam.outcomes[FINDING].decision != Decision.UNCERTAIN:
                with self.store.write() as session:
                    store_context(session, [_observation(search.patient, exam)], ())
                self._record(search, PriorOutcome.TOLD, {})

    def _earlier(self, exams: Sequence[Exam], search: Search) -> Exam | None:
        return earlier_exam(exams, search.study_uid, finding=FINDING, within_h=self.priors.hours_before)


def _observation(patient: Patient, exam: Exam) -> Observation:
    return Observation(
        patient=patient,
        name=VOLUME,
        value=exam.outcomes[FINDING].volume_ml,
        unit="mL",
        source=ContextSource.EARLIER_CT,
        observed_at=exam.scanned_at,
        arrived_at=time.time(),
        provenance=f"study {exam.study_uid}",
    )
