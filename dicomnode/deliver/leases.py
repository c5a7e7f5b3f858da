"""Keeps the leases of a batch while it is worked on: short ones, so that another node soon takes over from a dead one.

A peer may take an hour to answer one C-STORE: a lease that outlasts the slowest answer would strand the results of a
node that died for as long.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from dicomnode.store.deliver import outbox
from dicomnode.store.deliver.outbox import Parcel
from dicomnode.store.engine import Store

logger = logging.getLogger(__name__)

BEATS = 3
"""Times that a lease is extended within its length: two may be missed."""


class Leases:
    """The leases of one sender, each ``lease_s`` long.

    Parameters
    ----------
    owner : as the parcels were claimed.
    """

    def __init__(self, store: Store, owner: str, lease_s: float) -> None:
        self._store, self._owner, self.lease_s = store, owner, lease_s

    @contextmanager
    def kept(self, parcels: Sequence[Parcel]) -> Iterator[None]:
        """Extend them, in a thread of its own, for as long as the block runs; those that are settled stay settled."""
        over = threading.Event()
        thread = threading.Thread(target=self._keep, args=(parcels, over), name="leases", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _keep(self, parcels: Sequence[Parcel], over: threading.Event) -> None:
        ids = [parcel.outbox_id for parcel in parcels]
        while not over.wait(self.lease_s / BEATS):
            try:
                with self._store.write() as session:
                    outbox.extend_leases(session, ids, owner=self._owner, lease_s=self.lease_s)
            except SQLAlchemyError as fault:
                # The sender meets the same database and says so; whoever waits for the lease cannot ask it either.
                logger.debug("leases not extended", extra={"action": "deliver", "error": type(fault).__name__})
