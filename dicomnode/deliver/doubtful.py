"""After an unknown outcome the destination is asked before a result is sent again: it may have it already.

An archive that answers after the time limit stores what it was sent all the same. Sent again, it would be late again,
for ever.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from dicomnode.config.destinations import AnyDestination
from dicomnode.deliver.route import Route
from dicomnode.deliver.searching import Verdict, search
from dicomnode.dicom.statuses import SUCCESS
from dicomnode.errors import DeliveryError, LeaseLost
from dicomnode.store.deliver.outbox import Parcel, record_sent
from dicomnode.store.engine import Store

logger = logging.getLogger(__name__)


class DoubtfulOutcomes:
    """What was sent to one destination without an answer."""

    def __init__(self, store: Store, destination: AnyDestination, route: Route) -> None:
        self._store, self._destination, self._route = store, destination, route

    def not_there(self, parcels: Sequence[Parcel]) -> list[Parcel]:
        """The leased parcels that are to be sent: without those that the destination shows, which count as sent.

        Where it cannot be asked, or does not say, they are sent again. What it shows in another study than they were
        sent for is for the prover to judge.
        """
        doubtful = [parcel for parcel in parcels if parcel.unanswered]
        found = self._found(doubtful) if doubtful else []
        for parcel in found:
            self._record(parcel)
        return [parcel for parcel in parcels if parcel not in found]

    def _found(self, doubtful: Sequence[Parcel]) -> list[Parcel]:
        try:
            verdicts = search(self._route, doubtful, lambda _: True)
        except DeliveryError as fault:
            facts = {"action": "deliver", "destination": self._destination.name, "error": str(fault)}
            logger.warning("not asked whether an unanswered result is there", extra=facts)
            return []
        return [parcel for parcel, verdict in verdicts.items() if verdict in (Verdict.THERE, Verdict.ELSEWHERE)]

    def _record(self, parcel: Parcel) -> None:
        try:
            with self._store.write() as session:
                record_sent(session, parcel, status=SUCCESS, found=True)
        except LeaseLost:
            return
        facts = {"destination": self._destination.name, "job_id": parcel.job_id, "unanswered": parcel.unanswered}
        logger.info("the destination has what it did not answer for", extra={"action": "deliver", **facts})
