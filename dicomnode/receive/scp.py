"""Storage and Verification SCP (DICOM PS3.4 annexes A and B): heals, listens, stops."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict

from dicomnode.config.tls import server_context
from dicomnode.config.whole import Config
from dicomnode.dicom.libraries import set_up_pydicom
from dicomnode.receive.admission import Admission
from dicomnode.receive.intake import Intake
from dicomnode.receive.limits import Limits
from dicomnode.receive.network import ReceptionServer, require_free
from dicomnode.receive.places import Places
from dicomnode.receive.serving import Serving
from dicomnode.receive.spool import Spool
from dicomnode.receive.sweep import sweep
from dicomnode.receive.writer import GroupWriter
from dicomnode.store.engine import Store
from dicomnode.store.receive.receptions import end_lost_associations

log = logging.getLogger(__name__)


def spool_of(config: Config, owner: str, *, receiver: int = 0, is_there: Callable[[], bool] = lambda: True) -> Spool:
    """The spool of a configuration; ``owner``, ``receiver`` and ``is_there`` as there."""
    return Spool(
        config.spool_dir,
        owner=owner,
        receiver=receiver,
        min_free_bytes=int(config.reception.min_free_gb * 1e9),
        max_instance_bytes=int(config.reception.max_instance_gb * 1e9),
        is_there=is_there,
    )


class StorageScp:
    """Receives for the node.

    Parameters
    ----------
    owner : names this receiver in the database; the same after a restart, another for each receiver of a node.
    places : who is associated with the receivers that share the port; None: there are no others.
    """

    def __init__(self, config: Config, store: Store, spool: Spool, owner: str, places: Places | None = None) -> None:
        self.config = config
        self.store = store
        self.spool = spool
        self.owner = owner
        self._places = Places() if places is None else places
        self._admission = Admission(config)
        self._intake = Intake(
            store,
            spool,
            settle_s=config.reception.settle_s,
            max_instances=config.reception.max_series_instances,
        )
        self._draining = False
        self._server: ReceptionServer | None = None

    @property
    def admission(self) -> Admission:
        """Who may associate."""
        return self._admission

    @property
    def draining(self) -> bool:
        """Whether it is about to stop, and finishes what it has."""
        return self._draining

    @property
    def port(self) -> int:
        """The port it listens on (the one the system chose where the configured port is 0); 0 where it does not.

        For any thread, also while it starts or stops.
        """
        server = self._server
        return 0 if server is None else server.port

    @property
    def associations(self) -> int:
        """How many are open now."""
        server = self._server
        return 0 if server is None else sum(line.is_admitted for line in server.open_lines())

    def reload(self, config: Config) -> None:
        """Take over who may send, how many at a time, and the limits; address and certificates stay.

        Associations that are open stay open, and what they send is stored.
        """
        self.config = config
        reception = config.reception
        self._admission = Admission(config)
        self._intake.settle_s, self._intake.max_instances = reception.settle_s, reception.max_series_instances
        wanted = spool_of(config, self.owner)
        self.spool.min_free_bytes, self.spool.max_instance_bytes = wanted.min_free_bytes, wanted.max_instance_bytes
        if self._server is not None:
            self._serving.settle_s = reception.settle_s
            self._server.set_limits(Limits.of(reception))

    def start(self) -> None:
        """Heal what a crash left behind (half-written files, files without a row, open associations), and listen.

        Raises
        ------
        OSError : the port is taken, or the spool cannot be written.
        ConfigError : the certificates cannot be used.
        sqlalchemy.exc.SQLAlchemyError : the database is away.
        """
        set_up_pydicom()
        # pydicom quotes values in its warnings, and warnings end up in the log.
        warnings.filterwarnings("ignore", module=r"pydicom\b")
        stale = self.spool.prepare()
        # The first of several looks after the spool, before the others are there.
        swept = self._swept() if self._places.number == 0 else {}
        with self.store.write() as session:
            lost = end_lost_associations(session, self.owner)
        self._listen()
        log.info("listening", extra={"port": self.port, "lost_associations": lost, "stale_files": stale, **swept})
        if self._admission.is_open and self._places.number == 0:
            log.warning("no [[sender]] is listed: anyone may send", extra={"port": self.port})

    def _swept(self) -> dict[str, int]:
        reception = self.config.reception
        settle_s, most = reception.settle_s, reception.max_series_instances
        return asdict(sweep(self.store, self.spool, settle_s=settle_s, max_instances=most))

    def refuse_new(self) -> None:
        """Reject new associations for now (transient); the open ones go on."""
        self._draining = True

    def stop(self, drain_s: float = 0.0) -> None:
        """Reject new associations for now, let the open ones finish for ``drain_s``, abort the rest, close."""
        server = self._server
        if server is None:
            return
        self._draining = True
        deadline = time.monotonic() + drain_s
        while self.associations and time.monotonic() < deadline:
            time.sleep(0.05)
        self._serving.stopping.set()
        server.close("the node stops")
        self._serving.close()
        self._writer.stop()
        self._server = None
        log.info("reception stopped")

    def _listen(self) -> None:
        node, reception = self.config.node, self.config.reception
        address, limits, shared = (node.host, node.port), Limits.of(reception), self._places.receivers > 1
        if shared and self._places.number == 0:
            require_free(*address)
        self._server = ReceptionServer(address, limits, server_context(reception.tls), shared=shared)
        self._writer = GroupWriter(self._intake)
        self._serving = Serving(self.config, self.store, self.spool, self._writer, self, self.owner, self._places)
        self._serving.server = self._server
        self._writer.start()
        self._server.start(self._serving)
