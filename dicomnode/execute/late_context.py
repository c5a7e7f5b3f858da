"""Context that arrives after the results: where it changes what they say, the job is done again.

The new results take the place of the old ones, name them as predecessors, and the old ones are withdrawn, as with late
slices. What changes nothing in any result makes no new one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from pathlib import Path

from dicomnode.clinical.merging import HOUR_S, merged
from dicomnode.clinical.scores.report import reference_scores
from dicomnode.config.whole import Config
from dicomnode.errors import InferenceError
from dicomnode.execute.context import CONTEXT, load_context, scan_of
from dicomnode.execute.findings_file import load_findings
from dicomnode.execute.plan import Plan, identities, plans_of
from dicomnode.records import ContextSource, PatientContext
from dicomnode.store.clinical.late import (
    SettledJob,
    StudyToCheck,
    amend_job,
    is_under_way,
    mark_checked,
    settled_jobs,
    studies_to_check,
)
from dicomnode.store.clinical.observations import known_of
from dicomnode.store.engine import Store

log = logging.getLogger(__name__)

LATE_EVERY_S = 2.0
SLACK_S = 10.0
LOOK_BACK_S = HOUR_S
"""Arrivals are looked at again for this long: their job may just be running."""


class LateContext:
    """Looks whether what arrived changes the results of a study.

    Raises
    ------
    ConfigError : see :func:`~dicomnode.execute.plan.plans_of`.
    """

    def __init__(self, config: Config, store: Store) -> None:
        self.config, self.store = config, store
        self.plans = plans_of(config)
        self._is_first = True

    def look(self) -> int:
        """Amend the jobs whose context has changed; returns how many.

        Raises
        ------
        SQLAlchemyError : the database is away; the next look makes up for it.
        """
        clinical, now = self.config.clinical, time.time()
        window_s = clinical.amend_h * HOUR_S
        since = now - (window_s if self._is_first else clinical.amend_settle_s + LOOK_BACK_S)
        with self.store.read() as session:
            studies = studies_to_check(session, since=since, seen_since=now - window_s, slack_s=SLACK_S)
        # several values of one message, or of one visit, make one amendment
        amended = [self._check(study, now) for study in studies if study.newest_at <= now - clinical.amend_settle_s]
        self._is_first = False
        return sum(amended)

    def _check(self, study: StudyToCheck, now: float) -> int:
        with self.store.read() as session:
            jobs = settled_jobs(session, study.study_uid)
            is_open = is_under_way(session, study.study_uid)
        amended = 0
        for job in jobs:
            changed = self._changed(study, job)
            if changed:
                amended += self._amend(job, changed)
        if not is_open:
            with self.store.write() as session:
                mark_checked(session, study.study_uid, now)
        return amended

    def _changed(self, study: StudyToCheck, job: SettledJob) -> list[str]:
        """What a job would know now and did not, or otherwise; empty where its results would say the same."""
        path = self.config.work_dir / f"job-{job.job_id}" / CONTEXT
        plan = self.plans.get(job.protocol)
        if plan is None or not path.exists():
            return []  # the protocol is gone, or the retention of the job is over
        kept = load_context(path)
        of_header = tuple(value for value in kept.context.values if value.source is ContextSource.HEADER)
        scan = scan_of(self.config, study.patient, kept.scanned_at)
        with self.store.read() as session:
            known = known_of(session, study.patient)
        context = merged(PatientContext(values=of_header), known.observations, known.texts, scan)
        if context == kept.context or not self._says_otherwise(plan, job, kept.context, context):
            return []
        return sorted(_differing(kept.context, context))

    def _says_otherwise(self, plan: Plan, job: SettledJob, before: PatientContext, after: PatientContext) -> bool:
        digests = {name: identity.model_digest for name, identity in job.runs.items()}
        if identities(plan, digests, before) != identities(plan, digests, after):
            return True
        try:
            findings = [one for path in self._paths(job) for one in load_findings(path)]
        except InferenceError:
            return False  # they went with the job's retention
        unasked = self.config.clinical.scores == "always"
        first, now = (reference_scores(findings, None, context, unasked=unasked) for context in (before, after))
        return first != now

    def _paths(self, job: SettledJob) -> Iterable[Path]:
        return (self.config.work_dir / path for path in job.findings)

    def _amend(self, job: SettledJob, changed: list[str]) -> bool:
        models = [manifest.name for manifest in self.plans[job.protocol]]
        protocol = self.config.protocol_named(job.protocol)
        with self.store.write() as session:
            done = amend_job(session, job.job_id, models=protocol.models if protocol else models, changed=changed)
        if done:
            log.info("context came later: job amended", extra={"job_id": job.job_id, "changed": changed})
        return done


def _differing(before: PatientContext, after: PatientContext) -> set[str]:
    values = {value.name for value in (*before.values, *after.values)}
    sections = {text.section for text in (*before.texts, *after.texts)}
    changed = {name for name in values if before.value(name) != after.value(name)}
    return changed | {name for name in sections if before.text(name) != after.text(name)}
