"""Proves that a destination has what it acknowledged; what it lost is sent again.

Success to a C-STORE says that the peer took over responsibility; PACS are known that lose an object all the same, in a
queue behind their receiver. A job is done only when its results were seen in the archive.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby

from pydicom.uid import generate_uid
from sqlalchemy.orm import Session

from dicomnode.config.destinations import AnyDestination
from dicomnode.deliver.backoff import Backoff
from dicomnode.deliver.commitment import CommitmentNotOffered
from dicomnode.deliver.route import Route
from dicomnode.deliver.searching import Verdict, search, why_held, why_in_vain
from dicomnode.dicom.commitment import UNKNOWN_INSTANCE, Reference
from dicomnode.dicom.statuses import sentence
from dicomnode.errors import DeliveryError
from dicomnode.store.deliver import commitments, proofs
from dicomnode.store.deliver.commitments import Answered
from dicomnode.store.deliver.proofs import Sent
from dicomnode.store.engine import Store
from dicomnode.store.queue import notes

logger = logging.getLogger(__name__)

LOOK_MIN_S, LOOK_MAX_S = 1.0, 600.0
"""Pauses between two looks for the same result: an archive may index with some delay, or be down for long."""

REQUESTS_BEFORE_QUERY = 3
"""Commitment requests without a report before the archive is queried instead: it may not know the node's address."""

_UNTOLD = "sent, but it cannot be told whether the destination has it: its answer names no instance"


class Prover:
    """Proves what was sent to one destination.

    Parameters
    ----------
    backoff : the destination's; says how soon what was lost is sent again, and when it is given up.
    look_again_s : pause between two looks for what is held since it is not shown.
    """

    def __init__(
        self, store: Store, destination: AnyDestination, route: Route, backoff: Backoff, *, look_again_s: float
    ) -> None:
        self._store = store
        self._destination = destination
        self._route = route
        self._backoff = backoff
        self._looks = replace(backoff, min_s=LOOK_MIN_S, max_s=LOOK_MAX_S)
        self._look_again_s = look_again_s
        self._draw = random.Random()

    def step(self) -> int:
        """One look at what is to be proven now; returns how many results were looked for.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError : the database failed; what was not recorded is looked for again.
        """
        name, wanted = self._destination.name, self._destination.proof
        if wanted == "status":
            return 0
        self._settle_doubts()
        if wanted == "commitment":
            self._conclude()
        with self._store.read() as session:
            due = _most_urgent(proofs.unproven(session, name, wanted))
        asked_in_vain = [sent for sent in due if wanted == "query" or sent.requests >= REQUESTS_BEFORE_QUERY]
        to_ask = [sent for sent in due if sent not in asked_in_vain]
        if to_ask:
            self._ask_commitment(to_ask)
        if asked_in_vain:
            self._query(asked_in_vain)
        self._look_at_held()
        return len(due)

    def _settle_doubts(self) -> None:
        """Which withdrawn results arrived all the same? A rejection note names what is there, and nothing else."""
        with self._store.read() as session:
            doubtful = notes.doubtful_deliveries(session, self._destination.name)
        if not doubtful:
            return
        try:
            verdicts = search(self._route, doubtful, lambda _: True)
        except DeliveryError as fault:
            logger.warning("withdrawn results not looked for", extra=self._facts(error=str(fault)))
            verdicts = dict.fromkeys(doubtful, Verdict.UNTOLD)
        with self._store.write() as session:
            for sent, verdict in verdicts.items():
                if verdict is not Verdict.UNTOLD:
                    notes.settle_doubt(session, sent, found=verdict is not Verdict.ABSENT)
        self._leave_in_doubt([sent for sent, verdict in verdicts.items() if verdict is Verdict.UNTOLD])

    def _leave_in_doubt(self, doubtful: Sequence[Sent]) -> None:
        """Ask again later; what was never acknowledged and cannot be told for days is not named in the note."""
        with self._store.write() as session:
            for sent in doubtful:
                if self._backoff.gives_up(sent.created_at, time.time()):
                    notes.settle_doubt(session, sent, found=False)
                else:
                    pause_s = self._looks.delay_s(3, self._draw)
                    notes.postpone_doubt(session, sent, until=time.time() + pause_s)

    def _ask_commitment(self, due: Sequence[Sent]) -> None:
        """Store a transaction and ask for it; where the destination does not offer that, look by query."""
        transaction_uid = str(generate_uid(prefix=None))
        error = "sent; commitment was asked for, no report yet"
        with self._store.write() as session:
            commitments.open_commitment(session, self._destination.name, transaction_uid, due)
        # Before the request: the report may be faster than its answer.
        self._no_proof_yet(due, error, lambda sent: self._destination.proof_wait_s * 2**sent.requests)
        references = [Reference(sent.sop_class_uid, sent.sop_instance_uid) for sent in due]
        try:
            self._route.request_commitment(self._store, transaction_uid, references)
        except CommitmentNotOffered as fault:
            logger.info("no commitment, query instead", extra=self._facts(error=str(fault)))
            self._query(due)
        except DeliveryError as fault:
            self._no_answer(due, f"sent, but not proven yet: {fault}")
        else:
            with self._store.write() as session:
                proofs.count_request(session, due)
            self._conclude()

    def _conclude(self) -> None:
        """Draw the conclusions of the reports that came in, on whatever association."""
        with self._store.read() as session:
            reports = commitments.answered(session, self._destination.name)
        for report in reports:
            with self._store.write() as session:
                unclear = [sent for sent in report.sent if not self._conclude_one(session, report, sent)]
                commitments.conclude(session, report.commitment_id)
            if unclear:
                self._query(unclear)

    def _conclude_one(self, session: Session, report: Answered, sent: Sent) -> bool:
        """Act on what a report says of one result; False: it leaves open whether that is there."""
        if sent.sop_instance_uid in report.committed:
            proofs.record_proven(session, sent, by="commitment")
        elif sent.sop_instance_uid in report.failed:
            reason = report.failed[sent.sop_instance_uid]
            if reason != UNKNOWN_INSTANCE or why_in_vain(sent):
                return False
            error = f"the destination does not commit to it: {sentence(reason)}"
            proofs.record_missing(session, sent, error=error, retry_at=self._next_sending(sent))
            logger.warning("result not committed", extra=self._about(sent))
        return True

    def _query(self, due: Sequence[Sent]) -> None:
        try:
            verdicts = search(self._route, due, lambda sent: self._is_late(sent) or bool(why_in_vain(sent)))
        except DeliveryError as fault:
            self._no_answer(due, f"sent, but not proven yet: {fault}")
            return
        for _, of_job in groupby(due, key=lambda sent: sent.job_id):
            with self._store.write() as session:
                for sent in of_job:
                    self._judge(session, sent, verdicts[sent])

    def _judge(self, session: Session, sent: Sent, verdict: Verdict) -> None:
        """Record what the answer says of one result."""
        reason = why_held(sent, verdict)
        if verdict is Verdict.THERE or (verdict is Verdict.ELSEWHERE and not reason):
            proofs.record_proven(session, sent, by="query", elsewhere=verdict is Verdict.ELSEWHERE)
        elif reason and (verdict is Verdict.ELSEWHERE or self._is_late(sent)):
            proofs.record_unplaced(session, sent, reason=reason, look_at=time.time() + self._look_again_s)
            logger.error("result held: see dicomnode jobs held", extra=self._facts(job_id=sent.job_id, reason=reason))
        else:
            self._record_unshown(session, sent, verdict)

    def _record_unshown(self, session: Session, sent: Sent, verdict: Verdict) -> None:
        if verdict is Verdict.UNTOLD:
            is_final = self._is_late(sent) and self._backoff.gives_up(sent.created_at, time.time())
            look_at = None if is_final else self._next_look(sent)
            proofs.record_no_answer(session, sent, error=_UNTOLD, look_at=look_at)
        elif not self._is_late(sent):
            error = "sent, but the destination does not show it yet"
            proofs.record_no_answer(session, sent, error=error, look_at=self._next_look(sent))
        else:
            error = "the destination answered Success but does not have it"
            proofs.record_missing(session, sent, error=error, retry_at=self._next_sending(sent))
            logger.warning("result lost by the destination", extra=self._about(sent))

    def _look_at_held(self) -> None:
        """What was held since it is not shown may be shown by now."""
        with self._store.read() as session:
            held = proofs.held_unproven(session, self._destination.name)
        if not held:
            return
        try:
            verdicts = search(self._route, held, lambda _: True)
        except DeliveryError as fault:
            logger.warning("held results not looked for", extra=self._facts(error=str(fault)))
            verdicts = dict.fromkeys(held, Verdict.UNTOLD)
        for sent in held:
            with self._store.write() as session:
                self._judge_held(session, sent, verdicts[sent])

    def _judge_held(self, session: Session, sent: Sent, verdict: Verdict) -> None:
        reason = why_held(sent, verdict)
        if verdict in (Verdict.THERE, Verdict.ELSEWHERE) and not reason:
            proofs.record_proven(session, sent, by="query", elsewhere=verdict is Verdict.ELSEWHERE)
        else:
            proofs.look_again(session, sent, at=time.time() + self._look_again_s)

    def _is_late(self, sent: Sent) -> bool:
        """Whether the destination has had its time to show a result."""
        return time.time() - sent.sent_at >= self._destination.proof_wait_s

    def _no_answer(self, due: Sequence[Sent], error: str) -> None:
        logger.warning("proof not obtained", extra=self._facts(error=error))
        self._no_proof_yet(due, error, lambda sent: self._looks.delay_s(sent.attempts + 1, self._draw))

    def _no_proof_yet(self, due: Sequence[Sent], error: str, pause_s: Callable[[Sent], float]) -> None:
        for _, of_job in groupby(due, key=lambda sent: sent.job_id):
            with self._store.write() as session:
                for sent in of_job:
                    final = self._backoff.gives_up(sent.created_at, time.time())
                    look_at = None if final else time.time() + pause_s(sent)
                    proofs.record_no_answer(session, sent, error=error, look_at=look_at)

    def _next_look(self, sent: Sent) -> float:
        return time.time() + self._looks.delay_s(sent.attempts + 1, self._draw)

    def _next_sending(self, sent: Sent) -> float | None:
        now = time.time()
        if self._backoff.gives_up(sent.created_at, now):
            return None
        return now + self._backoff.delay_s(sent.losses + 1, self._draw)

    def _about(self, sent: Sent) -> dict[str, object]:
        return self._facts(job_id=sent.job_id, sop_instance_uid=sent.sop_instance_uid, losses=sent.losses + 1)

    def _facts(self, **more: object) -> dict[str, object]:
        return {"action": "prove", "destination": self._destination.name, **more}


def _most_urgent(due: Sequence[Sent]) -> Sequence[Sent]:
    """Of stat and routine results those that are stat: the others would be looked for before any is recorded."""
    return [sent for sent in due if sent.is_stat] or due
