"""Whose study it is, asked ahead: while the models run, so that results which agree need not wait for the answer.

An early answer saves a question and decides nothing else. It counts where the destination names the study and agrees
with the result in everything; where it does not have the study (it may be on its way there, too), says another
identity, contradicts, fails or is silent, delivery asks as if nothing had been asked before.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dicomnode.config.destinations import AnyDestination
from dicomnode.config.whole import Config
from dicomnode.deliver.route import Route
from dicomnode.dicom.identity import Identity
from dicomnode.errors import DeliveryError
from dicomnode.store.deliver.coming import studies_coming
from dicomnode.store.engine import Store

logger = logging.getLogger(__name__)

MAX_AGE_S = 30.0
"""An older answer is not used. A patient who is identified or merged at this very time may be filed under the identity
before, as may anyone whose results left a moment earlier; an answer of before an outage must never be used."""

RENEWED_AT = 2 / 3
"""Of this age: while a model runs for long its study is asked about again, so that the answer is young at the end."""

PATIENCE_S = 2.0
"""So long after a question has begun the sender waits for it, before it does anything else: some archives take one
association of a peer at a time. One that is silent for longer holds nothing up."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """``at``: when the question began, by the monotonic clock. ``identities``: none where none was told."""

    at: float
    identities: Sequence[Identity] = ()

    def is_younger(self, age_s: float) -> bool:
        return time.monotonic() - self.at < age_s


class _Question(threading.Thread):
    """One question about some studies, in a thread of its own; a fault leaves it without answers."""

    def __init__(self, route: Route, destination: str, study_uids: Sequence[str]) -> None:
        # A daemon: a destination that says nothing must not hold up the end of the node.
        super().__init__(name=f"question {destination}", daemon=True)
        self._route, self._destination, self._study_uids = route, destination, study_uids
        self._begun = time.monotonic()
        self._answers: Mapping[str, Sequence[Identity]] = {}

    def run(self) -> None:
        try:
            self._answers = self._route.find_identities(self._study_uids)
        except DeliveryError as fault:
            facts = {"action": "identity", "destination": self._destination, "error": str(fault)}
            logger.debug("no answer ahead of delivery", extra=facts)

    def wait(self) -> None:
        self.join(max(0.0, self._begun + PATIENCE_S - time.monotonic()))

    def asked(self) -> dict[str, _Asked]:
        """What came of it, once it is over."""
        return {uid: _Asked(self._begun, self._answers.get(uid, ())) for uid in self._study_uids}


class AskedAhead:
    """Asks one destination about the studies that results are being made of; one question at a time.

    Parameters
    ----------
    route : of its own, since a route is used by one thread.
    max_age_s : see :data:`MAX_AGE_S`.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        destination: AnyDestination,
        route: Route,
        *,
        max_age_s: float = MAX_AGE_S,
    ) -> None:
        self._store, self._destination, self._route = store, destination, route
        self._max_age_s, self._renew_s = max_age_s, max_age_s * RENEWED_AT
        self._protocols = [] if destination.identity == "trust" else protocols_to(config, destination)
        self._asked: dict[str, _Asked] = {}
        self._question: _Question | None = None

    def ask(self) -> None:
        """Begin to ask about what is under way and was not asked about of late; returns at once.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError : the database failed.
        """
        self._collect()
        if self._question is not None or not self._protocols:
            return
        with self._store.read() as session:
            coming = studies_coming(session, self._destination.name, self._protocols)
        due = [uid for uid in coming if uid not in self._asked or not self._asked[uid].is_younger(self._renew_s)]
        if due:
            self._question = _Question(self._route, self._destination.name, due)
            self._question.start()

    def wait(self) -> None:
        """Return when no question is under way, or the one that is has had its :data:`PATIENCE_S`."""
        if self._question is not None:
            self._question.wait()
        self._collect()

    def taken(self, study_uids: Iterable[str]) -> dict[str, Sequence[Identity]]:
        """What was told of those studies, where it is young; each is given once: who sends again, asks again."""
        found = {uid: self._asked.pop(uid) for uid in dict.fromkeys(study_uids) if uid in self._asked}
        return {uid: asked.identities for uid, asked in found.items() if asked.is_younger(self._max_age_s)}

    def _collect(self) -> None:
        if self._question is not None and not self._question.is_alive():
            self._asked |= self._question.asked()
            self._question = None
        self._asked = {uid: asked for uid, asked in self._asked.items() if asked.is_younger(self._max_age_s)}


def protocols_to(config: Config, destination: AnyDestination) -> list[str]:
    """Names of the protocols whose results go to a destination."""
    return [one.name for one in config.protocol if destination in config.destinations_of(one)]
