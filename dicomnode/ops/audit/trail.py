"""The audit trail of a process: events become rows within a second, rows go to the server; nobody waits for either."""

from __future__ import annotations

import logging
import socket
import threading
import time
import uuid
from collections.abc import Sequence

from sqlalchemy.orm import Session

from dicomnode.config.audit import Audit
from dicomnode.config.whole import Config
from dicomnode.environment import said_by
from dicomnode.errors import ConfigError
from dicomnode.ops.audit import events
from dicomnode.ops.audit.events import Who
from dicomnode.ops.audit.heard import Heard
from dicomnode.ops.audit.message import AuditEvent, xml_of
from dicomnode.ops.audit.syslog import Waiting, send
from dicomnode.store.clinical.patients import studies_of
from dicomnode.store.engine import Store
from dicomnode.store.ops import audit as rows
from dicomnode.store.ops.audit import AuditRow, Transfer

log = logging.getLogger(__name__)

WRITE_EVERY_S, SEND_EVERY_S = 1.0, 2.0
TURN_S = 120.0
"""A process that has not sent for so long, though something waited, is gone: another one sends."""
LAST_TRY_S = 3.0
"""For what is sent while the node stops; what is not waits for the next start."""


class AuditTrail:
    """Use :meth:`start`, the duties :meth:`write` and :meth:`send`, :meth:`stop`; where none is configured it is idle.

    Parameters
    ----------
    works : whether this process reads the history and sends. Of several that do on one database one sends at a time.
    announces : whether its start and stop are those of the node.
    """

    def __init__(self, config: Config, store: Store, *, works: bool, announces: bool = True) -> None:
        self._config, self._store, self._works, self._announces = config, store, works, announces
        self._node = Who(config.node.ae_title, f"{config.node.ae_title}@{socket.gethostname()}")
        self._heard = Heard(self._node)
        self._sender = uuid.uuid4().hex
        self._writing = threading.Lock()
        self._is_silent = False

    @property
    def _audit(self) -> Audit:
        return self._config.operations.audit

    def start(self) -> None:
        """Begin to listen; the node has started."""
        if self._audit.is_on:
            self._heard.install()
            self._announce(starts=True)

    def _announce(self, *, starts: bool) -> None:
        if self._announces:
            self._heard.add(events.application(self._node, time.time(), starts=starts))

    def reload(self, config: Config) -> None:
        """Go by another configuration."""
        self._heard.remove()
        self._config = config
        if self._audit.is_on:
            self._heard.install()

    def stop(self) -> None:
        """The node stops: the last rows are written, and sent where the server answers soon."""
        if not self._audit.is_on:
            return
        self._heard.remove()
        self._announce(starts=False)
        self.write()
        self.send(timeout_s=LAST_TRY_S)
        if self._works:
            with self._store.write() as session:
                rows.take_turn(session, self._sender, for_s=0.0)

    def write(self) -> None:
        """Have what happened since the last call wait in the database.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError : the database is away; the next call writes.
        """
        if not self._audit.is_on:
            return
        with self._writing:
            heard = self._heard.take()
            try:
                lost = self._write(heard)
            except BaseException:
                self._heard.give_back(heard)
                raise
        lost, self._heard.lost = lost + self._heard.lost, 0
        if lost:
            log.error("audit messages are lost: too many wait for the server", extra={"action": "audit", "count": lost})

    def _write(self, heard: list[AuditEvent]) -> int:
        if not heard and not self._works:
            return 0
        with self._store.write() as session:
            found = [*heard, *(self._of_history(session) if self._works else [])]
            made = [(one.at, self._xml(one)) for one in found]
            return rows.add_messages(session, made, most=self._audit.max_waiting) if made else 0

    def _of_history(self, session: Session) -> list[AuditEvent]:
        transfers, deeds = rows.read_on(session)
        made = [events.transferred(self._node, self._told(one), self._patient_of(session, one)) for one in transfers]
        return [*made, *(events.deed(self._node, one) for one in deeds)]

    def _told(self, one: Transfer) -> Transfer:
        return one if self._audit.patient_data else rows.without_accession(one)

    def _patient_of(self, session: Session, one: Transfer) -> str:
        if not self._audit.patient_data:
            return ""
        known = [found for found in studies_of(session, one.study_uid) if found.study_uid == one.study_uid]
        return known[0].patient.patient_id if known else ""

    def _xml(self, event: AuditEvent) -> str:
        return xml_of(event, source=self._node.process, site=self._audit.enterprise_site)

    def send(self, *, timeout_s: float | None = None) -> None:
        """Send what waits, a portion at a time, until nothing waits or the server is away. No transaction is open.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError : the database is away; the next call sends.
        """
        while self._works and self._audit.is_on:
            portion = self._portion()
            if not portion or not self._sent([Waiting(row.at, row.xml) for row in portion], timeout_s):
                return
            with self._store.write() as session:
                rows.forget_messages(session, [row.row_id for row in portion])

    def _portion(self) -> Sequence[AuditRow]:
        """What waits, where something does and no other process sends it."""
        with self._store.read() as session:
            if not rows.count_waiting(session):
                return ()
        with self._store.write() as session:
            return rows.waiting(session) if rows.take_turn(session, self._sender, TURN_S) else ()

    def _sent(self, messages: list[Waiting], timeout_s: float | None) -> bool:
        try:
            send(messages, self._audit) if timeout_s is None else send(messages, self._audit, timeout_s=timeout_s)
        except (OSError, ConfigError) as fault:
            if not self._is_silent:  # it is tried every few seconds
                reason = said_by(fault) if isinstance(fault, OSError) else str(fault)
                log.error("audit messages wait: the server is away", extra={"action": "audit", "reason": reason})
            self._is_silent = True
            return False
        if self._is_silent:
            log.info("audit messages go out again", extra={"action": "audit"})
        self._is_silent = False
        return True
