"""Proves that a destination has what it acknowledged; what it lost is sent again.

Success to a C-STORE says that the peer took over responsibility; PACS are known that lose an object all the same, in a
queue behind their receiver. A job is done only when its results were seen in the archive.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from dicomnode.config import Destination
from dicomnode.deliver.backoff import Backoff
from dicomnode.deliver.query import find_instances
from dicomnode.errors import DeliveryError
from dicomnode.store import proofs
from dicomnode.store.engine import Store
from dicomnode.store.proofs import Sent

logger = logging.getLogger(__name__)

LOOK_MIN_S, LOOK_MAX_S = 1.0, 600.0
"""Pauses between two looks for the same result: an archive may index with some delay, or be down for long."""


class Prover:
    """Proves what was sent to one destination.

    Parameters
    ----------
    backoff : the destination's; says how soon what was lost is sent again, and when it is given up.
    """

    def __init__(self, store: Store, destination: Destination, calling_ae: str, backoff: Backoff) -> None:
        self._store = store
        self._destination = destination
        self._calling_ae = calling_ae
        self._backoff = backoff
        self._looks = replace(backoff, min_s=LOOK_MIN_S, max_s=LOOK_MAX_S)
        self._draw = random.Random()

    def step(self) -> int:
        """One look at what is to be proven now; returns how many results were looked for.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError : the database failed; what was not recorded is looked for again.
        """
        with self._store.read() as session:
            due = proofs.unproven(session, self._destination.name, "query")
        if due:
            self._query(due)
        return len(due)

    def _query(self, due: Sequence[Sent]) -> None:
        try:
            found = find_instances(
                self._destination, self._calling_ae, [(sent.study_uid, sent.series_uid) for sent in due]
            )
        except DeliveryError as fault:
            self._no_answer(due, f"sent, but not proven yet: {fault}")
            return
        for _, of_job in groupby(due, key=lambda sent: sent.job_id):
            self._judge(list(of_job), found)

    def _judge(self, due: Sequence[Sent], found: dict[tuple[str, str], set[str]]) -> None:
        """Record what the answer says of one job's results, in one transaction."""
        with self._store.write() as session:
            for sent in due:
                if sent.sop_instance_uid in found[sent.study_uid, sent.series_uid]:
                    proofs.record_proven(session, sent, by="query")
                elif time.time() - sent.sent_at < self._destination.proof_wait_s:
                    error = "sent, but the destination does not show it yet"
                    proofs.record_no_answer(session, sent, error=error, look_at=self._next_look(sent))
                else:
                    error = "the destination answered Success but does not have it"
                    proofs.record_missing(session, sent, error=error, retry_at=self._next_sending(sent))
                    logger.warning("result lost by the destination", extra=self._about(sent))

    def _no_answer(self, due: Sequence[Sent], error: str) -> None:
        logger.warning(
            "proof not obtained", extra={"action": "prove", "destination": self._destination.name, "error": error}
        )
        for _, of_job in groupby(due, key=lambda sent: sent.job_id):
            with self._store.write() as session:
                for sent in of_job:
                    final = self._backoff.gives_up(sent.created_at, time.time())
                    look_at = None if final else self._next_look(sent)
                    proofs.record_no_answer(session, sent, error=error, look_at=look_at)

    def _next_look(self, sent: Sent) -> float:
        return time.time() + self._looks.delay_s(sent.attempts + 1, self._draw)

    def _next_sending(self, sent: Sent) -> float | None:
        now = time.time()
        if self._backoff.gives_up(sent.created_at, now):
            return None
        return now + self._backoff.delay_s(sent.losses + 1, self._draw)

    def _about(self, sent: Sent) -> dict[str, object]:
        return {
            "action": "prove",
            "destination": self._destination.name,
            "job_id": sent.job_id,
            "sop_instance_uid": sent.sop_instance_uid,
            "losses": sent.losses + 1,
        }
