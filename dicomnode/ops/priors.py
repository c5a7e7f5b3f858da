"""Earlier CTs: where a bleed was found, an archive is asked for the patient's CT before, and growth is told from both.

What it shows becomes a value of the patient, which amends the results of the study that asked for it as any late value
does.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from dicomnode.decision import Decision
from dicomnode.ops.archive_search import ArchiveSearches, SearchOutcome
from dicomnode.records import ContextSource, Observation, Patient
from dicomnode.store.clinical.observations import store_context
from dicomnode.store.ops.outcomes import HOUR_S, Exam, earlier_exam, exams_of
from dicomnode.store.ops.priors import Search, new_searches, searches_to_tell
from dicomnode.store.tables import PriorSearch

PRIORS_EVERY_S = 5.0
FINDING, VOLUME = "hemorrhage", "prior_bleed_volume"
NEW_WITHIN_S = 24 * HOUR_S
"""Older results were there before the archive was configured, or the node was away: they stay as they are."""


class PriorSearches(ArchiveSearches):
    """For studies with a bleed; the nearest CT before is fetched, and told."""

    table = PriorSearch

    def new(self) -> list[str]:
        """Studies with a bleed."""
        with self.store.read() as session:
            return new_searches(session, finding=FINDING, since=time.time() - NEW_WITHIN_S)

    def is_there(self, search: Search) -> bool:
        """Whether the node saw an earlier CT itself."""
        with self.store.read() as session:
            return self._earlier(exams_of(session, search.patient), search) is not None

    def window(self, search: Search) -> tuple[float, float]:
        """The hours before the scan."""
        return search.scanned_at - self.priors.hours_before * HOUR_S, search.scanned_at

    def best(self, usable: Sequence[tuple[float, str]], search: Search) -> str:
        """The nearest before the scan."""
        return max(usable)[1]

    def look(self) -> None:
        """Search, and tell what was found.

        Raises
        ------
        SQLAlchemyError : the database is away; what was begun is due again after its lease.
        """
        super().look()
        self._tell()

    def _tell(self) -> None:
        """What the earlier CT showed becomes a value of the patient, once it was looked at."""
        there = (SearchOutcome.FETCHED, SearchOutcome.KNOWN)
        with self.store.read() as session:
            searches = searches_to_tell(session, outcomes=there, since=time.time() - NEW_WITHIN_S)
            found = [(search, self._earlier(exams_of(session, search.patient), search)) for search in searches]
        for search, exam in found:
            if exam is not None and exam.outcomes[FINDING].decision != Decision.UNCERTAIN:
                with self.store.write() as session:
                    store_context(session, [_observation(search.patient, exam)], ())
                self.record(search, SearchOutcome.TOLD, {})

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
