"""Looks at what is wrong, and tells it: a message when a fault starts, one when it ends, tried until they arrive.

What somebody has acknowledged is quiet until it ends; who was told of its beginning is told of its end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from dicomnode.config.whole import Config
from dicomnode.errors import NotifyError
from dicomnode.ops.notify.channels import Channel, Message, channels_of, moment
from dicomnode.ops.notify.faults import faults_of_node, faults_of_work
from dicomnode.ops.notify.findings import urgent_findings
from dicomnode.ops.notify.reports import Reports
from dicomnode.ops.readiness import Readiness
from dicomnode.ops.state import StateOf
from dicomnode.store.engine import Store
from dicomnode.store.ops import alarms, turns
from dicomnode.store.ops.alarms import FAULT, FINDING, SHARED, AlarmLine, UrgentFinding

log = logging.getLogger(__name__)

LOOK_EVERY_S = 10.0
TURN, TURN_S = "messages", 60.0
"""A process that has not looked for so long is gone: another one tells of the database."""


class Notifier:
    """The messages of one process; ``look`` is a duty.

    Parameters
    ----------
    owner : names this process, the same after a restart: what it has told it does not tell again.
    works : whether this process tells of the database too. Of several that do one has the turn: each would tell the
        same.
    """

    def __init__(self, config: Config, store: Store, owner: str, state_of: StateOf, *, works: bool = True) -> None:
        self._config, self._store, self._owner, self._state_of, self._works = config, store, owner, state_of, works
        self._readiness = Readiness(config, store)
        self._channels: Sequence[Channel] = channels_of(config.operations.notify)
        self._reports = Reports(config.operations.notify.hl7, store)
        self._silent: set[str] = set()

    def look(self) -> None:
        """See what is wrong, then send what is to be told. Nothing is held in the database while a message is sent.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError : the database is away; the next look tells.
        """
        now = time.time()
        self._see(self._owner, faults_of_node(self._readiness, self._state_of()), [], now)
        if self._works and self._has_turn():
            self._look_at_work(now)

    def _has_turn(self) -> bool:
        with self._store.read() as session:
            if turns.has_turn(session, TURN, self._owner, for_s=TURN_S / 2):
                return True
        with self._store.write() as session:
            return turns.take_turn(session, TURN, self._owner, for_s=TURN_S)

    def _look_at_work(self, now: float) -> None:
        """What is true of the database, whoever sees it."""
        with self._store.read() as session:
            faults = faults_of_work(session, self._config, now)
            shadows = {protocol.name for protocol in self._config.protocol if protocol.shadow}
            found = list(urgent_findings(session, self._config.operations.notify, now, shadows=shadows))
            known = alarms.alarms_of(session, SHARED)
        self._see(SHARED, {**faults, **self._reports.faults(known, now)}, found, now)

    def _see(self, owner: str, faults: dict[str, str], found: Sequence[UrgentFinding], now: float) -> None:
        with self._store.read() as session:
            known = alarms.alarms_of(session, owner)
        if self._is_news(known, faults, found):
            with self._store.write() as session:
                alarms.see_faults(session, owner, faults, now)
                for finding in found:
                    alarms.see_finding(session, owner, finding, now)
                alarms.forget_old_findings(session, now)
                known = alarms.alarms_of(session, owner)
        for alarm in known:
            self._tell(alarm, now)
            if alarm.kind == FINDING:
                self._reports.report(alarm)

    @staticmethod
    def _is_news(known: Sequence[AlarmLine], faults: dict[str, str], found: Sequence[UrgentFinding]) -> bool:
        running = {alarm.name for alarm in known if alarm.kind == FAULT and alarm.ended_at is None}
        told = {alarm.name for alarm in known if alarm.kind == FINDING}
        return running != faults.keys() or any(one.name not in told for one in found)

    def _tell(self, alarm: AlarmLine, now: float) -> None:
        after_s = 0.0 if alarm.kind == FINDING else self._config.operations.notify.after_s
        if alarm.ended_at is not None and not alarm.told:
            self._forget(alarm)  # it was gone before it was worth a message
        elif alarm.ended_at is not None and now - alarm.ended_at >= after_s:
            if all([self._sent(alarm, channel, is_end=True) for channel in self._told_of(alarm)]):
                self._forget(alarm)
        elif alarm.ended_at is None and alarm.acknowledged_at is None and now - alarm.since_at >= after_s:
            for channel in self._channels:
                self._sent(alarm, channel, is_end=False)

    def _told_of(self, alarm: AlarmLine) -> list[Channel]:
        """Those that have had the message of its beginning."""
        return [channel for channel in self._channels if channel.name in alarm.told]

    def _sent(self, alarm: AlarmLine, channel: Channel, *, is_end: bool) -> bool:
        """Whether a channel has had the message: before, or now."""
        if channel.name in (alarm.told_end if is_end else alarm.told):
            return True
        event = "finding" if alarm.kind == FINDING else "end" if is_end else "start"
        message = Message(
            node=self._config.node.ae_title,
            event=event,
            what=alarm.name,
            says=alarm.says,
            since_at=moment(alarm.since_at),
        )
        try:
            channel.send(message)
        except NotifyError as fault:
            if channel.name not in self._silent:  # it is tried at every look
                log.error("message not sent, it is tried again", extra={"channel": channel.name, "error": str(fault)})
            self._silent.add(channel.name)
            return False
        self._silent.discard(channel.name)
        log.info("message sent", extra={"channel": channel.name, "event": event, "kind": alarm.kind})
        with self._store.write() as session:
            alarms.note_told(session, alarm, channel.name, is_end=is_end)
        return True

    def _forget(self, alarm: AlarmLine) -> None:
        with self._store.write() as session:
            alarms.forget(session, alarm)
