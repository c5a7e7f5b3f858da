"""A further receiver of a node, in a process of its own; started by :mod:`dicomnode.app.receivers`."""

from __future__ import annotations

import contextlib
import signal
from dataclasses import dataclass
from multiprocessing.connection import Connection

from sqlalchemy.exc import SQLAlchemyError

from dicomnode.app.doors import open_scp
from dicomnode.config.whole import Config
from dicomnode.errors import NodeError
from dicomnode.execute.tasks import Failure, Ready
from dicomnode.ops.audit.trail import WRITE_EVERY_S, AuditTrail
from dicomnode.receive.places import Places
from dicomnode.receive.scp import StorageScp, spool_of
from dicomnode.store.engine import Store
from dicomnode.store.storage import Storage


@dataclass(frozen=True, slots=True)
class Seat:
    """Which receiver of which node it is.

    Attributes
    ----------
    config : with the port that the first receiver listens on.
    owner : of the node.
    places : of this receiver.
    """

    config: Config
    owner: str
    places: Places


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a receiver is to go by from now on."""

    config: Config
    draining: bool


@dataclass(frozen=True, slots=True)
class Stop:
    """End: let who is associated finish for ``drain_s``."""

    drain_s: float


def main(connection: Connection, seat: Seat) -> None:
    """Receive until the supervisor says stop; when it dies, this process is ended."""
    for number in (signal.SIGINT, signal.SIGTERM):  # they go to a whole terminal, or a whole service
        signal.signal(number, signal.SIG_IGN)
    store = Store(seat.config.database_url)
    receiver = Receiver(seat, store)
    try:
        receiver.start()
    except NodeError as fault:
        connection.send(Failure(str(fault)))
        return
    connection.send(Ready(device=f"receiver {seat.places.number}", models={}))
    receiver.run(connection)
    store.close()


class Receiver:
    """One acceptor with what belongs to it; the supervisor has the rest."""

    def __init__(self, seat: Seat, store: Store) -> None:
        self._config, number = seat.config, seat.places.number
        storage = Storage(store, seat.config.spool_dir)
        self._spool = spool_of(seat.config, seat.owner, receiver=number, is_there=storage.is_there)
        self._scp = StorageScp(seat.config, store, self._spool, f"{seat.owner}/{number}", seat.places)
        self._trail = AuditTrail(seat.config, store, works=False, announces=False)

    def start(self) -> None:
        """Listen.

        Raises
        ------
        EnvironmentFault : folder, port or database cannot be used.
        ConfigError : the certificates cannot be used.
        """
        self._trail.start()
        open_scp(self._config, self._scp, self._spool)

    def run(self, connection: Connection) -> None:
        """Do what the supervisor says, and write down what is to be audited meanwhile."""
        while True:
            order = connection.recv() if connection.poll(WRITE_EVERY_S) else None
            if isinstance(order, Stop):
                self._scp.stop(order.drain_s)
            elif isinstance(order, Wanted):
                self._go_by(order)
            with contextlib.suppress(SQLAlchemyError):  # the supervisor says so; the next call writes it
                self._trail.write()
            if isinstance(order, Stop):
                return

    def _go_by(self, wanted: Wanted) -> None:
        self._scp.reload(wanted.config)
        self._trail.reload(wanted.config)
        if wanted.draining:
            self._scp.refuse_new()
