"""What the node does with associations and their messages: lets in, stores, echoes, takes reports, records the end."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from io import BytesIO
from typing import Protocol, TypeVar

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import ImplicitVRLittleEndian
from sqlalchemy.exc import SQLAlchemyError

from dicomnode.config.whole import Config
from dicomnode.dicom.commitment import STORAGE_COMMITMENT
from dicomnode.dicom.contexts import VERIFICATION
from dicomnode.dicom.statuses import CANNOT_UNDERSTAND, NO_SUCH_ACTION, OUT_OF_RESOURCES, SUCCESS
from dicomnode.environment import Fault, fault_of, said_by
from dicomnode.errors import ReceiveError
from dicomnode.receive.admission import Admission, Rejection, Requestor
from dicomnode.receive.alarm import Alarm
from dicomnode.receive.commands import Field
from dicomnode.receive.data_sets import KeptDataSet, SpooledDataSet
from dicomnode.receive.intake import Arrival, Outcome, Peer
from dicomnode.receive.line import Accepted, Line
from dicomnode.receive.messages import Message, Messages
from dicomnode.receive.negotiation import accepted_contexts, answers_to, asks_only_for
from dicomnode.receive.network import ReceptionServer
from dicomnode.receive.places import Places
from dicomnode.receive.requests import AssociationRequest
from dicomnode.receive.spool import Spool
from dicomnode.receive.writer import GroupWriter, started_pool
from dicomnode.store.deliver.commitments import take_report
from dicomnode.store.engine import Store
from dicomnode.store.receive.receptions import end_association

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_PDU_BYTES = 131_072
"""Largest PDU that dcmtk sends; eight times the usual 16 kB, and a quarter of the time per slice."""
SIDE_THREADS = 2
"""For what is no image: reports, and the ends of associations."""
END_RETRY_MAX_S = 30.0


class Rules(Protocol):
    """Who is let in at present."""

    @property
    def admission(self) -> Admission:
        """By the configuration."""

    @property
    def draining(self) -> bool:
        """Whether nobody is, because the node is about to stop."""


class Serving:
    """The service of all lines. Runs in the thread of the network, and leaves to others what has to wait.

    Parameters
    ----------
    places : who is associated with the other receivers of the node.

    Attributes
    ----------
    server : whose lines they are; set before it starts.
    settle_s : how long after an association has ended its series are looked at.
    stopping : set once the node stops: what is not written by then the next start heals.
    """

    server: ReceptionServer

    def __init__(
        self,
        config: Config,
        store: Store,
        spool: Spool,
        writer: GroupWriter,
        rules: Rules,
        owner: str,
        places: Places,
    ) -> None:
        self.stopping = threading.Event()
        self.settle_s = config.reception.settle_s
        self._store = store
        self._spool = spool
        self._writer = writer
        self._rules = rules
        self._owner = owner
        self._places = places
        self._alarm = Alarm()
        self._side = started_pool(SIDE_THREADS, "scp-side")

    def close(self) -> None:
        """End the threads at the side, once nothing is left for them."""
        self.stopping.set()
        self._side.shutdown()

    def judge(self, line: Line, request: AssociationRequest) -> Accepted | Rejection:
        """Let in, or say why not."""
        with self._places.locked():
            rejection = self._why_not(line, request)
            if rejection is None:
                return self._accept(line, request)
        line.is_told = True
        self.server.turned_away.tell("association rejected", rejection.reason, facts_of(line))
        return rejection

    def _why_not(self, line: Line, request: AssociationRequest) -> Rejection | None:
        try:
            return self._rejection(line, request)
        except Exception as fault:  # noqa: BLE001 (the boundary, as for a C-STORE)
            log.error("request not judged", extra={"error": type(fault).__name__, "place": _place_of(fault)})
            return Rejection.TEMPORARY_CONGESTION

    def serve(self, line: Line, message: Message) -> None:
        """Answer a message, or have it done elsewhere; answers that nobody asked for are dropped."""
        if not message.command.is_request:
            return
        if message.command.field == Field.C_STORE:
            self._store_image(line, message)
        elif message.command.field == Field.N_EVENT_REPORT:
            line.hold()
            self._aside(lambda: self._report_status(message), lambda status: self._reported(line, message, status))
        else:
            # The node is no archive: it commits to nothing, also not to a PACS that may report to it.
            line.answer(message, SUCCESS if message.command.field == Field.C_ECHO else NO_SUCH_ACTION)

    def ended(self, line: Line) -> None:
        """Write how an association ended; until that is written its series wait."""
        peer = line.peer
        if peer is None:
            self._tell_of_no_association(line)
            self._recorded(line)
            return
        self._places.publish(list(self._admitted().elements()))
        facts = {**facts_of(line), "images": peer.images, "outcome": line.outcome, "reason": line.broken}
        log.info("association ended", extra={**facts, "seconds": round(time.monotonic() - line.opened, 3)})
        self._record(line, peer, 0.5)

    def _admitted(self) -> Counter[str]:
        lines = [one for one in self.server.open_lines() if one.is_admitted]
        return Counter(one.peer.calling_ae for one in lines if one.peer is not None)

    def _rejection(self, line: Line, request: AssociationRequest) -> Rejection | None:
        opened = self._admitted() + self._places.elsewhere()
        admission = self._rules.admission
        who = Requestor(
            called_ae=request.called_ae,
            calling_ae=request.calling_ae,
            address=line.address,
            names=line.names,
            application_context=request.application_context,
            may_only_report=asks_only_for(request, STORAGE_COMMITMENT, VERIFICATION),
            may_only_echo=asks_only_for(request, VERIFICATION),
            own=opened[request.calling_ae],
            kept_free=admission.kept_free(request.calling_ae, opened),
        )
        return admission.rejection(who, others=opened.total(), draining=self._rules.draining)

    def _accept(self, line: Line, request: AssociationRequest) -> Accepted:
        answers = answers_to(request, may_report=self._rules.admission.may_report(request.calling_ae))
        peer = Peer(
            receiver=self._owner, calling_ae=request.calling_ae, called_ae=request.called_ae, address=line.address
        )
        line.is_admitted = True
        self._places.publish([*self._admitted().elements(), request.calling_ae])
        log.debug("association opened", extra=facts_of(line))
        messages = Messages(accepted_contexts(answers), peer, self._spool, line.reserve)
        return Accepted(request.accepted(answers, MAX_PDU_BYTES), messages, peer)

    def _store_image(self, line: Line, message: Message) -> None:
        data_set = message.data_set
        if not isinstance(data_set, SpooledDataSet) or data_set.incoming is None:
            fault = data_set.fault if isinstance(data_set, SpooledDataSet) else None
            missing = ReceiveError("C-STORE without a data set", CANNOT_UNDERSTAND)
            line.answer(message, self._status_of(fault or missing))
            return
        assert line.peer is not None  # nobody sends messages before it is let in
        line.hold()
        arrival = Arrival(incoming=data_set.incoming, origin=data_set.origin, peer=line.peer)

        def done(outcome: Outcome) -> None:
            self.server.call(self._stored, line, message, arrival, outcome)

        self._writer.submit(arrival, done)

    def _stored(self, line: Line, message: Message, arrival: Arrival, outcome: Outcome) -> None:
        status = self._status_of(outcome)
        if status == SUCCESS:
            arrival.peer.images += 1
            log.debug(
                "instance stored",
                extra={"sop_instance_uid": arrival.origin.sop_instance_uid, "outcome": str(outcome)},
            )
        line.answer(message, status)
        line.go_on()

    def _status_of(self, outcome: Outcome) -> int:
        """DIMSE status of one C-STORE. The boundary: no error of ours may cost the sender its association."""
        status, reason = SUCCESS, ""
        if isinstance(outcome, ReceiveError):
            status, reason = outcome.status, str(outcome)
            log.warning("instance refused", extra={"status": f"0x{status:04X}", "reason": reason})
        elif isinstance(outcome, Exception):
            # Neither message nor values: they may quote a patient.
            log.error("instance not stored", extra={"error": type(outcome).__name__, "place": _place_of(outcome)})
            status = CANNOT_UNDERSTAND if fault_of(outcome) is Fault.STAYS else OUT_OF_RESOURCES
            reason = said_by(outcome)
        self._alarm.refused(reason) if status == OUT_OF_RESOURCES else self._alarm.taken()
        return status

    def _report_status(self, message: Message) -> int:
        """A PACS reports on a storage commitment; acted on by the sender, who finds it in the database."""
        return take_report(self._store, lambda: _decoded(message))

    def _reported(self, line: Line, message: Message, status: int) -> None:
        if message.data_set is not None:
            message.data_set.discard()
        line.answer(message, status)
        line.go_on()

    def _record(self, line: Line, peer: Peer, delay_s: float) -> None:
        """Write the end of an association, again and again while the database is away."""
        association_id, outcome = peer.association_id, line.outcome
        if association_id is None or outcome is None:
            self._recorded(line)
            return

        def write() -> bool:
            try:
                with self._store.write() as session:
                    end_association(session, association_id, outcome, settle_s=self.settle_s)
            except SQLAlchemyError as fault:
                log.error("end of association not recorded yet", extra={"error": type(fault).__name__})
                return False
            return True

        def then(is_written: bool) -> None:
            if is_written or self.stopping.is_set():
                self._recorded(line)  # what is not written the next start closes
            else:
                self.server.loop.call_later(delay_s, self._record, line, peer, min(2 * delay_s, END_RETRY_MAX_S))

        self._aside(write, then)

    def _recorded(self, line: Line) -> None:
        line.is_recorded = True
        self.server.is_over(line)

    def _aside(self, work: Callable[[], T], then: Callable[[T], None]) -> None:
        """Do something that waits in another thread, then go on in this one."""

        def done(task: Future[T]) -> None:
            self.server.call(then, task.result())

        self._side.submit(work).add_done_callback(done)

    def _tell_of_no_association(self, line: Line) -> None:
        """One line for whoever said something and got no association; a balancer's look at the port says nothing."""
        if not line.is_told and line.has_read:
            reason = line.broken or "it ended before it had asked for one"
            self.server.turned_away.tell("association turned away", reason, facts_of(line))


def facts_of(line: Line) -> dict[str, object]:
    """Who is at the other end, for the log; titles made printable."""
    request = line.request
    titles = {} if request is None else {"calling_ae": request.calling_ae, "called_ae": request.called_ae}
    return {"peer": line.address, **titles}


def _decoded(message: Message) -> Dataset:
    content = message.data_set.content if isinstance(message.data_set, KeptDataSet) else b""
    is_implicit = message.context.transfer_syntax == ImplicitVRLittleEndian
    return read_dataset(BytesIO(content), is_implicit, is_little_endian=True)


def _place_of(fault: BaseException) -> str:
    frames = traceback.extract_tb(fault.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
