"""Storage and Verification SCP (DICOM PS3.4 annexes A and B): pynetdicom's events, answered by intake and spool."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
import traceback
import warnings
from concurrent.futures import Future
from dataclasses import asdict
from typing import Any, cast

from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event
from pynetdicom.pdu_primitives import SOPClassCommonExtendedNegotiation
from pynetdicom.presentation import build_context
from sqlalchemy.exc import SQLAlchemyError

from dicomnode.config.tls import server_context
from dicomnode.config.whole import Config
from dicomnode.dicom.contexts import VERIFICATION
from dicomnode.dicom.libraries import set_up_pydicom, set_up_pynetdicom
from dicomnode.dicom.statuses import CANNOT_UNDERSTAND, NO_SUCH_ACTION, OUT_OF_RESOURCES, SUCCESS
from dicomnode.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicomnode.environment import Fault, fault_of, said_by
from dicomnode.errors import ReceiveError
from dicomnode.receive.admission import Admission, Rejection, Requestor
from dicomnode.receive.alarm import Alarm
from dicomnode.receive.data_sets import SpooledDataSet
from dicomnode.receive.intake import Arrival, Intake, Outcome, Peer
from dicomnode.receive.messages import SpoolingProvider
from dicomnode.receive.negotiation import asks_only_for_commitment, contexts_for, storage_classes_of
from dicomnode.receive.network import MAX_CONNECTIONS, Line, ReceptionHandler, ReceptionServer
from dicomnode.receive.spool import Spool
from dicomnode.receive.sweep import sweep
from dicomnode.receive.writer import GroupWriter
from dicomnode.store.deliver.commitments import take_report
from dicomnode.store.engine import Store
from dicomnode.store.receive.receptions import ABORTED, RELEASED, Indexed, end_association, end_lost_associations

log = logging.getLogger(__name__)

MAX_PDU_BYTES = 131_072
"""Largest PDU that dcmtk sends; eight times pynetdicom's default, a quarter of its time per slice."""
ACSE_TIMEOUT_S = 30.0
"""A connection that asks for no association is closed after this (ARTIM, DICOM PS3.8 9.1.5)."""
POLL_INTERVAL_S = 0.1
"""How soon a stop is noticed; a connection is accepted at once."""
REAPER_INTERVAL_S = 0.5
GRACE_ROUNDS = 4
"""Rounds of the reaper that an association which was told to go has for going."""
END_RETRY_MAX_S = 30.0


class StorageScp:
    """Receives for the node.

    Parameters
    ----------
    owner : names this acceptor in the database; the same after a restart, another for each acceptor of a node.
    """

    def __init__(self, config: Config, store: Store, spool: Spool, owner: str) -> None:
        self.config = config
        self.store = store
        self.spool = spool
        self.owner = owner
        self._admission = Admission(config)
        self._alarm = Alarm()
        self._intake = Intake(
            store,
            spool,
            settle_s=config.reception.settle_s,
            max_instances=config.reception.max_series_instances,
        )
        self._writer = GroupWriter(self._intake)
        self._stopping = threading.Event()
        self._draining = False
        self._server: ReceptionServer | None = None
        self._threads: list[threading.Thread] = []

    @property
    def port(self) -> int:
        """The port it listens on; the one the system chose where the configured port is 0.

        Raises
        ------
        RuntimeError : it does not listen.
        """
        if self._server is None:
            raise RuntimeError("the SCP is not started")
        return int(self._server.server_address[1])

    @property
    def associations(self) -> int:
        """How many are open now."""
        return 0 if self._server is None else sum(line.is_admitted for line in self._server.open_lines())

    def start(self) -> None:
        """Heal what a crash left behind (half-written files, files without a row, open associations), and listen.

        Raises
        ------
        OSError : the port is taken, or the spool cannot be written.
        ConfigError : the certificates cannot be used.
        sqlalchemy.exc.SQLAlchemyError : the database is away.
        """
        set_up_pydicom()
        set_up_pynetdicom()
        # pydicom quotes values in its warnings, and warnings end up in the log.
        warnings.filterwarnings("ignore", module=r"pydicom\b")
        stale = self.spool.prepare()
        swept = sweep(
            self.store,
            self.spool,
            settle_s=self.config.reception.settle_s,
            max_instances=self.config.reception.max_series_instances,
        )
        with self.store.write() as session:
            lost = end_lost_associations(session, self.owner)
        self._server = self._make_server()
        self._writer.start()
        accept = threading.Thread(
            target=self._server.serve_forever, args=(POLL_INTERVAL_S,), name="scp-accept", daemon=True
        )
        self._threads = [accept, threading.Thread(target=self._reap, name="scp-reaper", daemon=True)]
        for thread in self._threads:
            thread.start()
        log.info(
            "listening", extra={"port": self.port, "lost_associations": lost, "stale_files": stale, **asdict(swept)}
        )
        if self._admission.is_open:
            log.warning("no [[sender]] is listed: anyone may send", extra={"port": self.port})

    def stop(self, drain_s: float = 0.0) -> None:
        """Reject new associations for now, let the open ones finish for ``drain_s``, abort the rest, close."""
        server = self._server
        if server is None:
            return
        self._draining = True
        deadline = time.monotonic() + drain_s
        while self.associations and time.monotonic() < deadline:
            time.sleep(0.05)
        self._stopping.set()
        server.shutdown()
        _end_all(server)
        for thread in self._threads:
            thread.join(5.0)
        self._writer.stop()
        self._server = None
        log.info("reception stopped")

    def _make_server(self) -> ReceptionServer:
        reception = self.config.reception
        ae = AE(ae_title=self.config.node.ae_title)
        ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        ae.maximum_pdu_size = MAX_PDU_BYTES
        # Counted here: pynetdicom counts connections that never associated, such as a balancer's health checks.
        ae.maximum_associations = 1_000_000
        ae.acse_timeout = min(ACSE_TIMEOUT_S, reception.idle_timeout_s)
        ae.network_timeout = ae.dimse_timeout = reception.idle_timeout_s
        server: ReceptionServer = ae.make_server(  # type: ignore[assignment]
            (self.config.node.host, self.config.node.port),
            contexts=[build_context(VERIFICATION)],
            evt_handlers=[
                (evt.EVT_REQUESTED, self._on_requested),
                (evt.EVT_SOP_COMMON, _on_common_extended),
                (evt.EVT_C_STORE, self._on_store),
                (evt.EVT_N_EVENT_REPORT, self._on_report),
                (evt.EVT_N_ACTION, _on_action),
                (evt.EVT_CONN_CLOSE, _on_closed),
            ],
            ssl_context=server_context(reception.tls),
            server_class=ReceptionServer,
            request_handler=ReceptionHandler,
        )
        ae._servers.append(server)  # where pynetdicom's own shutdown looks for it
        server.spool, server.on_end = self.spool, self._on_end
        server.idle_timeout_s, server.handshake_timeout_s = reception.idle_timeout_s, ae.acse_timeout
        server.max_connections = reception.max_associations + MAX_CONNECTIONS
        return server

    def _on_requested(self, event: Event) -> None:
        """Reject, or set out what is accepted; before pynetdicom negotiates, which accepts anyone where this fails."""
        server = self._server
        if server is None:
            return
        line = server.lines[event.assoc]
        try:
            rejection = self._admit(server, line)
        except Exception as fault:  # noqa: BLE001 (the boundary, as for a C-STORE)
            log.error("request not judged", extra={"error": type(fault).__name__, "place": _place_of(fault)})
            rejection = Rejection.TEMPORARY_CONGESTION
        if rejection is not None:
            line.is_told = True
            log.warning("association rejected", extra={"reason": rejection.reason, **_facts_of(line)})
            line.assoc.acse.send_reject(*rejection.of_pdu)
            line.assoc.kill()  # returns when the rejection is sent

    def _admit(self, server: ReceptionServer, line: Line) -> Rejection | None:
        assoc, request = line.assoc, line.upper_layer.request
        if request is None:
            return Rejection.TEMPORARY_CONGESTION
        who = Requestor(
            called_ae=request.called_ae,
            calling_ae=request.calling_ae,
            address=assoc.requestor.address,
            names=line.names,
            application_context=request.application_context,
            may_only_report=asks_only_for_commitment(assoc.requestor.requested_contexts),
        )
        rejection = server.admit(
            assoc, lambda others: self._admission.rejection(who, others=others, draining=self._draining)
        )
        if rejection is None:
            log.debug("association opened", extra=_facts_of(line))
            assoc.acceptor.supported_contexts = contexts_for(
                assoc.requestor.requested_contexts, may_report=self._admission.may_report(who.calling_ae)
            )
            line.messages.peer = Peer(
                receiver=self.owner, calling_ae=who.calling_ae, called_ae=who.called_ae, address=who.address
            )
        return rejection

    def _on_store(self, event: Event) -> int:
        """DIMSE status of one C-STORE. The boundary: no error of ours may cost the sender its association."""
        request, reason = cast(C_STORE, event.request), ""
        try:
            status = self._store(cast(SpoolingProvider, event.assoc.dimse), cast(SpooledDataSet, request.DataSet))
        except ReceiveError as refused:
            log.warning("instance refused", extra={"status": f"0x{refused.status:04X}", "reason": str(refused)})
            status = refused.status
            reason = str(refused)
        except Exception as fault:  # noqa: BLE001 (the boundary; neither message nor values, they may quote a patient)
            log.error("instance not stored", extra={"error": type(fault).__name__, "place": _place_of(fault)})
            status = CANNOT_UNDERSTAND if fault_of(fault) is Fault.STAYS else OUT_OF_RESOURCES
            reason = said_by(fault)
        self._alarm.refused(reason) if status == OUT_OF_RESOURCES else self._alarm.taken()
        return status

    def _on_report(self, event: Event) -> tuple[int, None]:
        """A PACS reports on a storage commitment; acted on by the sender, who finds it in the database."""
        try:
            return take_report(self.store, lambda: event.event_information), None
        finally:
            cast(SpoolingProvider, event.assoc.dimse).report_is_done()

    def _store(self, dimse: SpoolingProvider, data_set: SpooledDataSet) -> int:
        if data_set.fault is not None:
            raise data_set.fault
        if data_set.incoming is None or data_set.origin is None or dimse.peer is None:
            raise ReceiveError("C-STORE without a data set", CANNOT_UNDERSTAND)
        try:
            outcome = self._taken(Arrival(incoming=data_set.incoming, origin=data_set.origin, peer=dimse.peer))
        finally:
            dimse.forget(data_set.incoming)
        dimse.peer.images += 1
        log.debug(
            "instance stored",
            extra={"sop_instance_uid": data_set.origin.sop_instance_uid, "outcome": outcome.value},
        )
        return SUCCESS

    def _taken(self, arrival: Arrival) -> Indexed:
        """What became of an arrival, once its group is written."""
        told: Future[Outcome] = Future()
        self._writer.submit(arrival, told.set_result)
        outcome = told.result()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _on_end(self, line: Line) -> None:
        """Write how the association ended; until that is written its series wait."""
        peer = line.messages.peer
        if peer is None:
            _tell_of_no_association(line)
            return
        outcome = RELEASED if line.assoc.is_released else ABORTED
        facts = {**_facts_of(line), "images": peer.images, "outcome": outcome, "reason": line.upper_layer.broken}
        log.info("association ended", extra={**facts, "seconds": round(time.monotonic() - line.opened, 3)})
        delay_s = 0.5
        while peer.association_id is not None:
            try:
                with self.store.write() as session:
                    settle_s = self.config.reception.settle_s
                    end_association(session, peer.association_id, outcome, settle_s=settle_s)
                return
            except SQLAlchemyError as fault:
                log.error("end of association not recorded yet", extra={"error": type(fault).__name__})
            if self._stopping.wait(delay_s):
                return  # the next start closes it
            delay_s = min(2 * delay_s, END_RETRY_MAX_S)

    def _reap(self) -> None:
        """Hang up on whoever stays too long, or does not go when told to."""
        while not self._stopping.wait(REAPER_INTERVAL_S):
            server = self._server
            for connection in server.late_handshakes() if server is not None else ():
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
            for line in server.open_lines() if server is not None else ():
                if not line.assoc.is_alive():
                    continue
                too_old = time.monotonic() - line.opened > self.config.reception.max_association_s
                line.overdue += too_old or line.assoc.is_aborted or line.assoc._kill
                if too_old and line.overdue == 1:
                    log.warning("association too long, aborted", extra={"peer": line.assoc.requestor.address})
                    line.assoc.abort(block=False)
                elif line.overdue > GRACE_ROUNDS:
                    line.hang_up()


def _facts_of(line: Line) -> dict[str, object]:
    """Who is at the other end, for the log; titles made printable."""
    request = line.upper_layer.request
    titles = {} if request is None else {"calling_ae": request.calling_ae, "called_ae": request.called_ae}
    return {"peer": line.assoc.requestor.address, **titles}


def _tell_of_no_association(line: Line) -> None:
    """One line for whoever said something and got no association; a balancer's look at the port says nothing."""
    if line.is_told or not line.upper_layer.has_read:
        return
    reason = line.upper_layer.broken or "it ended before it had asked for one"
    log.warning("association turned away", extra={"reason": reason, **_facts_of(line)})


def _place_of(fault: BaseException) -> str:
    place = traceback.extract_tb(fault.__traceback__)[-1]
    return f"{place.filename}:{place.lineno}"


def _on_action(event: Event) -> tuple[int, None]:
    """The node is no archive: it commits to nothing, also not to a PACS that may report to it."""
    return NO_SUCH_ACTION, None


def _on_common_extended(event: Event) -> dict[UID, SOPClassCommonExtendedNegotiation]:
    return storage_classes_of(event.assoc.requestor.requested_contexts)


def _on_closed(event: Event) -> None:
    """Wake the thread of a connection that closed without an association; pynetdicom lets it wait for 30 s."""
    if event.assoc.requestor.primitive is None:
        queue: Any = event.assoc.dul.to_user_queue
        queue.put(None)


def _end_all(server: ReceptionServer) -> None:
    for line in server.open_lines():
        line.assoc.abort(block=False)
    deadline = time.monotonic() + 1.0
    while server.open_lines() and time.monotonic() < deadline:
        time.sleep(0.02)
    for line in server.open_lines():
        line.hang_up()
    deadline = time.monotonic() + 10.0
    while server.open_lines() and time.monotonic() < deadline:
        time.sleep(0.02)
