"""Makes a question of each new study, as soon as its first image tells whose it is."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from dicomnode.clinical.matching import with_issuer
from dicomnode.clinical.sources.fhir.identifiers import identifier_of
from dicomnode.clinical.sources.header import patient_of
from dicomnode.config.whole import Config
from dicomnode.dicom.received import BAD_FILE, at_pixels, read_received
from dicomnode.dicom.times import scanned_at
from dicomnode.environment import raise_unless_it_stays
from dicomnode.errors import FhirOutcome, SeriesError
from dicomnode.records import Patient
from dicomnode.store.clinical.patients import all_keys
from dicomnode.store.clinical.questions import NewStudy, has_outdated, make_question, renew_questions, unasked_studies
from dicomnode.store.clinical.reports import newest_instance
from dicomnode.store.engine import Store
from dicomnode.store.storage import Storage

log = logging.getLogger(__name__)

AT_ONCE = 50
LOOK_BACK = 2000
"""Ids that are looked at again: on PostgreSQL a row with a lower id may be committed later."""
HOUR_S, DAY_S = 3600.0, 86400.0


@dataclass(slots=True)
class NewQuestions:
    """Looks at what was received and not asked about yet."""

    config: Config
    store: Store
    _after: int = 0

    def look(self) -> int:
        """Make a question of every new study; returns of how many.

        Raises
        ------
        SQLAlchemyError, OSError, EnvironmentFault : database or spool are away; the next look makes up for it.
        """
        clinical, now = self.config.clinical, time.time()
        since = now - min(max(clinical.amend_h, 1.0) * HOUR_S, clinical.retention_days * DAY_S)
        with self.store.read() as session:
            newest = newest_instance(session)
            studies = unasked_studies(session, after=self._after, since=since, limit=AT_ONCE)
        for study in studies:
            self._make(study)
        if len(studies) < AT_ONCE:
            self._after = max(0, newest - LOOK_BACK)
        return len(studies) + self._renew(now - HOUR_S)

    def _renew(self, since: float) -> int:
        with self.store.read() as session:
            if not has_outdated(session, since=since):
                return 0
        with self.store.write() as session:
            return renew_questions(session, since=since)

    def _make(self, study: NewStudy) -> None:
        patient, at, outcome = self._patient(study)
        with self.store.write() as session:
            keys = all_keys(session, patient)
            if outcome is None and not patient.patient_id:
                outcome = FhirOutcome.NO_ID
            if outcome is None and not any(identifier_of(self.config.clinical, key) for key in keys):
                outcome = FhirOutcome.NO_SYSTEM
            make_question(session, study.study_uid, patient, at, outcome=outcome)
        if outcome is not None:
            log.warning("FHIR server not asked", extra={"study_uid": study.study_uid, "outcome": outcome.value})

    def _patient(self, study: NewStudy) -> tuple[Patient, float | None, FhirOutcome | None]:
        """Whose study it is, when it was scanned, and why that cannot be told."""
        path = self.config.spool_dir / study.path
        try:
            header = read_received(path, at_pixels)
        except FileNotFoundError:
            Storage(self.store, self.config.spool_dir).require()
            return Patient(patient_id=""), None, FhirOutcome.NO_HEADER  # its retention is over
        except (SeriesError, *BAD_FILE) as fault:
            raise_unless_it_stays(fault)
            return Patient(patient_id=""), None, FhirOutcome.NO_HEADER
        patient = with_issuer(patient_of(header), self.config.clinical.issuer)
        return patient, scanned_at(header, self.config.node.timezone), None
