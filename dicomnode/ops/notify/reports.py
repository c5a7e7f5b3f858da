"""Findings as reports to a system: each until it is acknowledged by it, and a fault while one is not."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from dicomnode.config.notify import Hl7Receiver
from dicomnode.decision import told_from
from dicomnode.errors import NotifyError, ReportRefused
from dicomnode.ops.notify.oru import Report
from dicomnode.ops.notify.reporting import Reporter
from dicomnode.records import Patient
from dicomnode.store.clinical.patients import studies_of
from dicomnode.store.engine import Store
from dicomnode.store.ops import alarms
from dicomnode.store.ops.alarms import FINDING, AlarmLine
from dicomnode.store.ops.standing import study_of_job

log = logging.getLogger(__name__)

PATIENCE_S = 60.0
"""A report that is not taken this long after its finding is a fault."""
FAULT_NAME = "findings not reported by HL7"


class Reports:
    """The reports of one process; does nothing where no receiver is configured.

    People who acknowledge a finding are told no more of it; the system still gets its report.
    """

    def __init__(self, receiver: Hl7Receiver, store: Store) -> None:
        self._reporter = Reporter(receiver) if receiver.host else None
        self._store = store
        self._is_silent = False

    def faults(self, known: Sequence[AlarmLine], now: float) -> Mapping[str, str]:
        """What is wrong with them; a finding that somebody has acknowledged is none any more."""
        if self._reporter is None:
            return {}
        open_ones = [one for one in known if one.kind == FINDING and self._is_open(one) and one.acknowledged_at is None]
        refused = sum("refused" in one.detail for one in open_ones)
        late = sum("refused" not in one.detail and now - one.since_at > PATIENCE_S for one in open_ones)
        says = f"{late} wait for the receiver, it refused {refused}: look at the alarms, tell somebody by hand"
        return {FAULT_NAME: says} if refused or late else {}

    def _is_open(self, alarm: AlarmLine) -> bool:
        return Reporter.name not in alarm.told

    def report(self, alarm: AlarmLine) -> None:
        """Report a finding, unless it is reported or was refused.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError : the database is away; the next look reports.
        """
        if self._reporter is None or not self._is_open(alarm) or "refused" in alarm.detail:
            return
        report = self._report_of(alarm)
        if report is None:  # of a version before this one
            return
        facts = {"channel": Reporter.name, "job_id": report.job_id}
        try:
            self._reporter.send(report)
        except ReportRefused as fault:
            log.error("finding not reported: it was refused", extra={**facts, "reason": str(fault)})
            with self._store.write() as session:
                alarms.note_refused(session, alarm, str(fault))
        except NotifyError as fault:
            if not self._is_silent:  # it is tried at every look
                log.error("finding not reported, it is tried again", extra={**facts, "error": str(fault)})
            self._is_silent = True
        else:
            self._is_silent = False
            log.info("finding reported", extra=facts)
            with self._store.write() as session:
                alarms.note_told(session, alarm, Reporter.name, is_end=False)

    def _report_of(self, alarm: AlarmLine) -> Report | None:
        if alarm.job_id is None:
            return None
        with self._store.read() as session:
            study_uid, accession_number = study_of_job(session, alarm.job_id)
            known = [one.patient for one in studies_of(session, study_uid) if one.study_uid == study_uid]
        return Report(
            job_id=alarm.job_id,
            study_uid=study_uid,
            accession_number=accession_number,
            patient=known[0] if known else Patient(patient_id=""),
            model=alarm.detail["model"],
            outcome=told_from(alarm.detail["outcome"]),
            found_at=alarm.since_at,
        )
