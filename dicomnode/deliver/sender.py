"""Sends one destination's outbox: claims what is due, stores it over one connection, records each outcome.

The database says what is to be sent and what was sent; this object holds nothing that a restart would miss.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from dicomnode.config.destinations import AnyDestination
from dicomnode.config.whole import Config
from dicomnode.deliver.ahead import MAX_AGE_S, AskedAhead
from dicomnode.deliver.backoff import Backoff
from dicomnode.deliver.breaker import ECHO_INTERVAL_S, Breaker
from dicomnode.deliver.doubtful import DoubtfulOutcomes
from dicomnode.deliver.identity import LOOK_AGAIN_S, IdentityCheck
from dicomnode.deliver.leases import Leases
from dicomnode.deliver.outgoing import Outgoing
from dicomnode.deliver.proving import Prover
from dicomnode.deliver.route import Link, route_to
from dicomnode.errors import (
    AssociationRejected,
    DeliveryError,
    DestinationUnavailable,
    LeaseLost,
    ResultAway,
    StoreRefused,
)
from dicomnode.store.deliver import fallback, outbox, proofs
from dicomnode.store.deliver.outbox import Parcel
from dicomnode.store.engine import Store

logger = logging.getLogger(__name__)

POLL_S = 0.2
"""Pause between two looks at the outbox: bounds what delivery adds to the time from image to result."""

BATCH = 50
"""Most deliveries claimed at once, hence sent over one association."""

DATABASE_PAUSE_S = 2.0

Batch = Sequence[tuple[Parcel, Outgoing]]


class Sender:
    """Delivery to one destination; ``run`` in a thread of its own, or ``step`` by step.

    Parameters
    ----------
    data_dir : the folder that the paths of the outbox are relative to.
    before_step : called before each look at the outbox, such as a look whether the clock was set.
    owner : names this node in leases. Unique among the nodes on one database, and the same after a restart: what was
        being sent when the node died is sent again at once.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        data_dir: Path,
        owner: str,
        destination: AnyDestination,
        *,
        echo_interval_s: float = ECHO_INTERVAL_S,
        look_again_s: float = LOOK_AGAIN_S,
        ahead_max_age_s: float = MAX_AGE_S,
        before_step: Callable[[], object] = lambda: None,
    ) -> None:
        self.destination = destination
        self._before_step = before_step
        # One owner per destination: the senders of a node start and fail one by one, and recover only their own.
        self.owner = f"{owner}/{destination.name}"
        self._route = route_to(destination, config.node.ae_title)
        self._leases = Leases(store, self.owner, config.execution.lease_s)
        self._store = store
        self._data_dir = data_dir
        self._draw = random.Random()
        self._backoff = Backoff.of(destination)
        self._breaker = Breaker(self._backoff, self._draw, echo_interval_s=echo_interval_s)
        own_route = route_to(destination, config.node.ae_title)
        self._ahead = AskedAhead(config, store, destination, own_route, max_age_s=ahead_max_age_s)
        self._identity = IdentityCheck(
            config, store, data_dir, destination, self._route, self._ahead, look_again_s=look_again_s
        )
        self._doubtful = DoubtfulOutcomes(store, destination, self._route)
        self._prover = Prover(store, destination, self._route, self._backoff, look_again_s=look_again_s)
        self._stop, self._retired = threading.Event(), threading.Event()
        self._recovery_due, self._is_overtaken = True, False
        self._look_again_s = look_again_s
        self._next_look_at_held = 0.0

    @property
    def breaker(self) -> Breaker:
        """For those who watch: whether the destination is left alone, and after how many failures."""
        return self._breaker

    def run(self, stop: threading.Event) -> None:
        """Send until ``stop`` is set; the file on its way is finished, the rest of its batch given back.

        After :meth:`retire` the batch at hand is sent whole.
        """
        self._stop = stop
        while not (stop.is_set() or self._retired.is_set()):
            try:
                pause_s = 0.0 if self.step() else POLL_S
            except SQLAlchemyError as fault:
                logger.error("database failed", extra=self._about(error=type(fault).__name__))
                self._recovery_due, pause_s = True, DATABASE_PAUSE_S
            stop.wait(pause_s)
        try:
            self._recover()
        except SQLAlchemyError as fault:
            logger.error("database failed", extra=self._about(error=type(fault).__name__))

    def retire(self) -> None:
        """Look at the outbox no more; :meth:`run` returns soon."""
        self._retired.set()

    def step(self) -> int:
        """One look at the outbox: send what is due, then prove what was sent; with neither, ask about what is coming.

        Returns
        -------
        how many deliveries were tried; where none, how many results were looked for at the destination.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError : the database failed; what was claimed is recovered by the next step.
        """
        self._before_step()
        self._ahead.wait()
        self._is_overtaken = False
        if self._recovery_due:
            self._recover()
        if self._breaker.is_open and not self._is_back():
            return 0
        tried = self._send_due()
        if self._breaker.is_open or self._stop.is_set() or self._is_overtaken:
            return tried
        if time.monotonic() >= self._next_look_at_held:
            self._next_look_at_held = time.monotonic() + self._look_again_s
            self._look_again()
        proven = self._prover.step()
        if not (tried or proven or self._retired.is_set()):
            self._ahead.ask()
        return tried or proven

    def _send_due(self) -> int:
        with self._store.read() as session:
            if not outbox.has_due_parcels(session, self.destination.name):
                return 0
        parcels = self._claim()
        with self._leases.kept(parcels):
            batch = self._cleared(self._readable(self._doubtful.not_there(self._offered(parcels))))
            if batch:
                self._deliver(batch)
        self._recovery_due = False
        return len(parcels)

    def _offered(self, parcels: Sequence[Parcel]) -> list[Parcel]:
        """The parcels that are offered: without those of SOP classes that the destination is known to refuse."""
        with self._store.read() as session:
            refused = fallback.refused_classes(session, self.destination.name)
        known = [parcel for parcel in parcels if parcel.sop_class_uid in refused]
        replaced = [parcel for parcel in known if self._fell_back(parcel, "the destination is known to refuse it")]
        return [parcel for parcel in parcels if parcel not in replaced]

    def _recover(self) -> None:
        with self._store.write() as session:
            recovered = outbox.recover_parcels(session, time.time(), owner=self.owner)
            proofs.adopt_proof(session, self.destination.name, self.destination.proof)
            withheld = 0
            if not self.destination.accept_research:
                withheld = outbox.withhold_research(session, self.destination.name)
        self._recovery_due = False
        if recovered or withheld:
            logger.info("outbox recovered", extra=self._about(recovered=recovered, withheld=withheld))

    def _is_back(self) -> bool:
        if not self._breaker.wants_echo():
            return False
        try:
            self._route.ask()
        except DeliveryError:
            return False
        self._breaker.resume()
        with self._store.write() as session:
            woken = outbox.wake_parcels(session, self.destination.name)
        logger.debug("destination answers C-ECHO again", extra=self._about(woken=woken))
        return True

    def _answered(self) -> None:
        """The destination answered a C-STORE; where it was away, that is told once."""
        was_away = self._breaker.failures > 0
        self._breaker.answered()
        if was_away:
            logger.warning("destination is back", extra=self._about(waiting=self._waiting()))

    def _waiting(self) -> int:
        with self._store.read() as session:
            return outbox.count_waiting(session, self.destination.name)

    def _claim(self) -> list[Parcel]:
        self._recovery_due = True  # until the batch is recorded to its end
        lease_s = self._leases.lease_s
        with self._store.write() as session:
            return outbox.claim_parcels(session, self.destination.name, owner=self.owner, lease_s=lease_s, limit=BATCH)

    def _readable(self, parcels: Sequence[Parcel]) -> Batch:
        batch = []
        for parcel in parcels:
            try:
                batch.append((parcel, self._outgoing(parcel)))
            except DeliveryError as fault:
                self._record_failure(parcel, fault, time.time(), self._backoff.delay_s(parcel.attempts, self._draw))
        return batch

    def _outgoing(self, parcel: Parcel) -> Outgoing:
        path = self._data_dir / parcel.path
        return Outgoing.from_file(path, sha256=parcel.digest, unanswered=parcel.unanswered)

    def _deliver(self, batch: Batch) -> None:
        try:
            with self._route.link([file for _, file in batch]) as link:
                self._store_all(link, batch)
        except DeliveryError as fault:
            self._destination_failed(batch, fault)

    def _cleared(self, batch: Batch) -> Batch:
        """The rest of a batch once it is settled whose study each result belongs to."""
        try:
            cleared, unreadable = self._identity.cleared(batch) if batch else (batch, [])
        except AssociationRejected as fault:
            self._destination_failed(batch, fault)
            return []
        except DeliveryError as fault:
            self._destination_failed(batch, DeliveryError(f"whose study it is could not be asked: {fault}"))
            return []
        for parcel, error in unreadable:
            self._record_failure(parcel, error, time.time(), self._backoff.delay_s(parcel.attempts, self._draw))
        return cleared

    def _look_again(self) -> None:
        """Look at the held results again; where the destination cannot be asked, the next look is as good."""
        try:
            released = self._identity.look_again()
        except DeliveryError as fault:
            logger.warning("held results not looked at", extra=self._about(error=str(fault)))
            return
        if released:
            logger.info("held results released: the conflict is gone", extra=self._about(count=released))

    def _store_all(self, link: Link, batch: Batch) -> None:
        for index, (parcel, file) in enumerate(batch):
            if self._stop.is_set():
                return
            if self._gives_way(parcel):
                self._give_back(batch[index:])
                return
            try:
                if self._holds(parcel):
                    self._store_one(link, parcel, file)
            except DestinationUnavailable as fault:
                self._destination_failed(batch[index:], fault)
                return
            if link.is_lost:
                self._destination_failed(batch[index + 1 :], DeliveryError("the connection was lost"))
                return

    def _gives_way(self, parcel: Parcel) -> bool:
        """Whether a result is routine, and one that is stat waits: it must not wait for a whole batch."""
        if parcel.is_stat:
            return False
        with self._store.read() as session:
            return outbox.has_due_parcels(session, self.destination.name, stat_only=True)

    def _give_back(self, batch: Batch) -> None:
        self._is_overtaken = True
        with self._store.write() as session:
            for parcel, _ in batch:
                outbox.give_back(session, parcel)

    def _store_one(self, link: Link, parcel: Parcel, file: Outgoing) -> None:
        try:
            status = link.store(file)
        except DestinationUnavailable:
            raise
        except DeliveryError as fault:
            if isinstance(fault, StoreRefused):
                self._answered()
            if fault.refuses_class and self._fell_back(parcel, str(fault)):
                return
            delay_s = self._backoff.delay_s(parcel.attempts, self._draw)
            if link.is_lost:
                # Perhaps this very file makes the peer fall over: what comes behind it must get its turn first.
                delay_s = max(delay_s, 2.0 * self._backoff.nominal_s(self._breaker.failures + 1))
            self._record_failure(parcel, fault, time.time(), delay_s)
        else:
            self._answered()
            self._record_sent(parcel, status)

    def _fell_back(self, parcel: Parcel, how: str) -> bool:
        """Something else is sent in place of what the destination refuses; False where there is nothing."""
        try:
            with self._store.write() as session:
                is_replaced = fallback.record_refused(session, parcel, how=how)
        except LeaseLost:
            return True
        if is_replaced:
            facts = self._about(job_id=parcel.job_id, kind=parcel.kind, sop_class_uid=parcel.sop_class_uid, reason=how)
            logger.warning("SOP class refused: something else is sent in its place", extra=facts)
        return is_replaced

    def _destination_failed(self, batch: Batch, fault: DeliveryError) -> None:
        delay_s = self._breaker.trip(fault.retry_after_s if isinstance(fault, DestinationUnavailable) else 0.0)
        facts = self._about(error=str(fault), failures=self._breaker.failures, retry_s=delay_s)
        if self._breaker.failures == 1:
            logger.warning("destination is away", extra={**facts, "waiting": self._waiting()})
        else:
            logger.debug("destination is still away", extra=facts)
        failed_at = time.time()  # one moment for all: they come back together, over one association
        for parcel, _ in batch:
            unsent = DeliveryError(str(fault)) if fault.leaves_open and parcel is not batch[0][0] else fault
            self._record_failure(parcel, unsent, failed_at, delay_s, told=True)

    def _holds(self, parcel: Parcel) -> bool:
        """Whether this delivery is still ours, and not withdrawn."""
        with self._store.write() as session:
            return outbox.try_extend_lease(session, parcel, lease_s=self._leases.lease_s)

    def _record_sent(self, parcel: Parcel, status: int) -> None:
        try:
            with self._store.write() as session:
                outbox.record_sent(session, parcel, status=status)
        except LeaseLost:
            with self._store.write() as session:
                outbox.note_sent_unrecorded(session, parcel, status=status)
        logger.info("result sent", extra=self._about(job_id=parcel.job_id, sop_instance_uid=parcel.sop_instance_uid))

    def _record_failure(
        self, parcel: Parcel, fault: DeliveryError, failed_at: float, delay_s: float, *, told: bool = False
    ) -> None:
        """Record that a result was not sent. ``told``: the log says so already, of the destination."""
        away = isinstance(fault, ResultAway)
        final = not fault.retryable or (self._backoff.gives_up(parcel.created_at, failed_at) and not away)
        status = fault.status if isinstance(fault, StoreRefused) else None
        retry_at = None if final else failed_at + delay_s
        try:
            with self._store.write() as session:
                outbox.record_failure(
                    session,
                    parcel,
                    error=str(fault),
                    status=status,
                    failed_at=failed_at,
                    retry_at=retry_at,
                    unanswered=fault.leaves_open,
                )
        except LeaseLost:
            return
        facts = self._about(job_id=parcel.job_id, error=str(fault), attempt=parcel.attempts)
        if away:
            logger.error("result waits: the environment failed", extra={**facts, "action": "environment"})
        elif final or not told:
            logger.warning("result given up" if final else "result not sent", extra=facts)

    def _about(self, **more: object) -> dict[str, object]:
        return {"action": "deliver", "destination": self.destination.name, **more}
