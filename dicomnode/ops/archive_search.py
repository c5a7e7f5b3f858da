"""Another CT of a patient, looked for in an archive: who is asked, what is refused of the answers, what is fetched.

What is fetched comes through the ordinary reception, goes through one shadow protocol and nowhere else.
"""

from __future__ import annotations

import logging
import math
import random
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from pydicom.dataset import Dataset

from dicomnode.clinical.matching import contradictions
from dicomnode.config.whole import Config
from dicomnode.deliver.archive import Archive, FoundSeries, FoundStudy
from dicomnode.deliver.backoff import Backoff
from dicomnode.dicom.times import moment_of
from dicomnode.dicom.uids import is_valid_uid
from dicomnode.errors import DeliveryError, ReceiveError
from dicomnode.store.engine import Store
from dicomnode.store.ops.priors import (
    Search,
    SearchTable,
    announce,
    claim_search,
    is_any_due,
    make_search,
    record_search,
)

log = logging.getLogger(__name__)

BACKOFF = Backoff(min_s=15.0, max_s=900.0, give_up_after_s=math.inf)
WILDCARDS = frozenset("*?\\")
"""In a patient ID they would ask for other patients (PS3.4 C.2.2.2.4)."""


class SearchOutcome(StrEnum):
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


class ArchiveSearches(ABC):
    """Looks for studies that ask for another CT, asks the archive, and has it send the one that fits.

    Parameters
    ----------
    archive : that is asked.
    is_stopping : whether the node is to stop: nothing new is asked then.
    """

    table: SearchTable

    def __init__(
        self, config: Config, store: Store, archive: Archive, is_stopping: Callable[[], bool] = lambda: False
    ) -> None:
        self.config, self.store, self.archive, self._is_stopping = config, store, archive, is_stopping
        self.priors, self.zone = config.priors, ZoneInfo(config.node.timezone)
        self._draw = random.Random()

    @abstractmethod
    def new(self) -> list[str]:
        """Studies that ask for another CT and did not before."""

    @abstractmethod
    def is_there(self, search: Search) -> bool:
        """Whether the node has looked at such a CT itself."""

    @abstractmethod
    def window(self, search: Search) -> tuple[float, float]:
        """When the other CT was scanned: from, to; seconds since the epoch."""

    @abstractmethod
    def best(self, usable: Sequence[tuple[float, str]], search: Search) -> str:
        """Which study is fetched of several. ``usable``: when each was scanned, and its UID."""

    def look(self) -> None:
        """Make searches, and do those that are due.

        Raises
        ------
        SQLAlchemyError : the database is away; what was begun is due again after its lease.
        """
        if new := self.new():
            with self.store.write() as session:
                for study_uid in new:
                    make_search(session, self.table, study_uid)
        while not self._is_stopping() and self._search_one():
            pass

    def _search_one(self) -> bool:
        with self.store.read() as session:
            if not is_any_due(session, self.table):
                return False
        lease_s = 2.0 * self.priors.timeout_s * self.priors.max_series
        with self.store.write() as session:
            search = claim_search(session, self.table, lease_s=lease_s)
        if search is None:
            return False
        detail: dict[str, Any] = {}
        try:
            outcome = self._search(search, detail)
        except (DeliveryError, ReceiveError) as fault:
            self._failed(search, {**detail, "why": str(fault)})
            return True
        self.record(search, outcome, detail)
        return True

    def _search(self, search: Search, detail: dict[str, Any]) -> SearchOutcome:
        """Ask and fetch; ``detail`` gets counts and reasons.

        Raises
        ------
        DeliveryError : the archive did not answer, or not as it should.
        ReceiveError : what it sent could not be stored now.
        """
        if self.is_there(search):
            return SearchOutcome.KNOWN
        if WILDCARDS & set(search.patient.patient_id):
            return SearchOutcome.UNUSABLE_ID
        refused: Counter[str] = Counter()
        usable = self._usable(self.archive.studies(search.patient, self._days(search)), search, refused)
        detail |= {"studies": len(usable), **({"refused": dict(sorted(refused.items()))} if refused else {})}
        if not usable:
            return SearchOutcome.REFUSED if refused else SearchOutcome.NONE
        return self._fetch(search, self.best(usable, search), detail)

    def _fetch(self, search: Search, study_uid: str, detail: dict[str, Any]) -> SearchOutcome:
        wanted = self._wanted(self.archive.series(study_uid))
        detail["series"] = len(wanted)
        if not wanted:
            return SearchOutcome.NO_SERIES
        with self.store.write() as session:
            if not announce(session, self.table, search, study_uid):
                return SearchOutcome.KNOWN
        detail["instances"] = sum(self.archive.fetch(study_uid, one.series_uid) for one in wanted)
        return SearchOutcome.FETCHED if detail["instances"] else SearchOutcome.NOTHING_CAME

    def _days(self, search: Search) -> str:
        first, last = (datetime.fromtimestamp(at, self.zone) for at in self.window(search))
        return f"{first:%Y%m%d}-{last:%Y%m%d}"

    def _usable(self, found: Sequence[FoundStudy], search: Search, refused: Counter[str]) -> list[tuple[float, str]]:
        """When each was scanned, and its UID; ``refused`` counts why others are not used."""
        usable = []
        first_at, last_at = self.window(search)
        for study in found:
            if study.study_uid == search.study_uid:
                continue
            reason, at = self._refusal(study, search), self._moment(study)
            if reason:
                refused[reason] += 1
            elif at is not None and at != search.scanned_at and first_at <= at <= last_at:
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
        self.record(search, SearchOutcome.NO_ANSWER, detail, failures=failures, next_try_at=next_try_at)

    def record(self, search: Search, outcome: SearchOutcome, detail: dict[str, Any], **again: Any) -> None:
        with self.store.write() as session:
            record_search(session, self.table, search, outcome, detail, **again)
        is_fault = outcome in (SearchOutcome.REFUSED, SearchOutcome.NO_ANSWER, SearchOutcome.NOTHING_CAME)
        facts = {"action": self.table.__tablename__, "study_uid": search.study_uid, "outcome": outcome.value, **detail}
        log.log(logging.WARNING if is_fault else logging.INFO, "other CT looked for", extra=facts)
