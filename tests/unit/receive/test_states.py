"""The upper layer of an acceptor: the table of PS3.8, and what a line does in each of its states, event by event."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from pynetdicom.fsm import TRANSITION_TABLE

from dicomnode.receive.admission import Rejection
from dicomnode.receive.intake import Peer
from dicomnode.receive.line import Accepted, Line
from dicomnode.receive.messages import Message, Messages
from dicomnode.receive.requests import AssociationRequest
from dicomnode.receive.states import NEXT_STATE, TRANSITIONS, Event, State
from tests.unit.receive.test_requests import body

ABORTED_BY_USER, ABORTED_BY_PROVIDER = bytes((7, 0, 0, 0, 0, 4, 0, 0, 0, 0)), bytes((7, 0, 0, 0, 0, 4, 0, 0, 2, 0))
RELEASED = bytes((6, 0, 0, 0, 0, 4, 0, 0, 0, 0))
WRONG_VERSION, REJECTED = bytes((3, 0, 0, 0, 0, 4, 0, 1, 2, 2)), bytes((3, 0, 0, 0, 0, 4, 0, 2, 3, 2))
NOTHING = b""


class Wire:
    """Stands for asyncio's transport: keeps what is written."""

    def __init__(self) -> None:
        self.sent, self.is_cut, self.reads = b"", False, True

    def write(self, data: bytes) -> None:
        self.sent += data

    def abort(self) -> None:
        self.is_cut = True

    def is_closing(self) -> bool:
        return self.is_cut

    def is_reading(self) -> bool:
        return self.reads

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def set_write_buffer_limits(self, _high: int) -> None:
        return

    def get_extra_info(self, _name: str) -> None:
        return None


class User:
    """The service user: accepts, or rejects for now."""

    def __init__(self) -> None:
        self.rejects, self.ended_lines, self.messages = False, 0, 0

    def judge(self, line: Line, request: AssociationRequest) -> Accepted | Rejection:
        if self.rejects:
            return Rejection.LOCAL_LIMIT_EXCEEDED
        peer = Peer(receiver="r", calling_ae="CT", called_ae="NODE", address=line.address)
        return Accepted(b"accepted", Messages({}, peer, None, line.reserve), peer)  # type: ignore[arg-type]

    def serve(self, _line: Line, _message: Message) -> None:
        self.messages += 1

    def ended(self, _line: Line) -> None:
        self.ended_lines += 1


class World:
    """A line in one of its states."""

    def __init__(self, state: State) -> None:
        self.user, self.wire, self.buffer = User(), Wire(), memoryview(bytearray(4096))
        self.line = Line(self.user, "10.0.0.1", self.buffer, lambda _: None, lambda _: None)
        if state != State.IDLE:
            self.connect()
        if state in (State.ESTABLISHED, State.AWAITING_CLOSE):
            self.feed(pdu(1, body()))
        if state == State.AWAITING_CLOSE:
            self.feed(pdu(5, bytes(4)))
        self.wire.sent = b""
        assert self.line.state == state

    def connect(self) -> None:
        wire: Any = self.wire
        self.line.connection_made(wire)

    def feed(self, data: bytes) -> None:
        self.buffer[: len(data)] = data
        self.line.buffer_updated(len(data))

    def cause(self, event: str) -> None:
        acts = {
            "Evt5": self.connect,
            "Evt15": lambda: self.line.break_off("local"),
            "Evt17": lambda: self.line.connection_lost(None),
            "Evt18": lambda: self.line.break_off("late"),
        }
        acts.get(event, lambda: self.feed(PDUS[event]))()


def pdu(kind: int, content: bytes) -> bytes:
    return struct.pack(">BBL", kind, 0, len(content)) + content


PDUS = {
    "Evt3": pdu(2, bytes(4)),
    "Evt4": pdu(3, bytes(4)),
    "Evt6": pdu(1, body()),
    "Evt10": pdu(4, bytes(6))[:6],
    "Evt12": pdu(5, bytes(4)),
    "Evt13": pdu(6, bytes(4)),
    "Evt16": pdu(7, bytes(4)),
    "Evt19": pdu(9, bytes(4)),
}


def test_the_table_is_that_of_the_standard() -> None:
    """As pynetdicom has it, whose authors read it off the standard, too."""
    ours = {(str(event), str(state)): str(action) for (event, state), action in TRANSITIONS.items()}
    states, events = {str(one) for one in State}, {str(one) for one in Event}
    theirs = {pair: action for pair, action in TRANSITION_TABLE.items() if pair[1] in states and pair[0] in events}
    assert ours == theirs
    assert {str(action) for action in NEXT_STATE} == set(ours.values())


@pytest.mark.parametrize(
    ("state", "event", "after", "sent", "is_cut"),
    [
        ("Sta1", "Evt5", "Sta2", NOTHING, False),
        ("Sta2", "Evt3", "Sta13", ABORTED_BY_USER, False),
        ("Sta2", "Evt4", "Sta13", ABORTED_BY_USER, False),
        ("Sta2", "Evt6", "Sta6", b"accepted", False),
        ("Sta2", "Evt10", "Sta13", ABORTED_BY_USER, False),
        ("Sta2", "Evt12", "Sta13", ABORTED_BY_USER, False),
        ("Sta2", "Evt13", "Sta13", ABORTED_BY_USER, False),
        ("Sta2", "Evt16", "Sta1", NOTHING, True),
        ("Sta2", "Evt17", "Sta1", NOTHING, False),
        ("Sta2", "Evt18", "Sta1", NOTHING, True),
        ("Sta2", "Evt19", "Sta13", ABORTED_BY_USER, False),
        ("Sta6", "Evt3", "Sta13", ABORTED_BY_PROVIDER, False),
        ("Sta6", "Evt4", "Sta13", ABORTED_BY_PROVIDER, False),
        ("Sta6", "Evt6", "Sta13", ABORTED_BY_PROVIDER, False),
        ("Sta6", "Evt10", "Sta6", NOTHING, False),
        ("Sta6", "Evt12", "Sta13", RELEASED, False),
        ("Sta6", "Evt13", "Sta13", ABORTED_BY_PROVIDER, False),
        ("Sta6", "Evt15", "Sta13", ABORTED_BY_USER, False),
        ("Sta6", "Evt16", "Sta1", NOTHING, True),
        ("Sta6", "Evt17", "Sta1", NOTHING, False),
        ("Sta6", "Evt19", "Sta13", ABORTED_BY_PROVIDER, False),
        ("Sta13", "Evt3", "Sta13", NOTHING, False),
        ("Sta13", "Evt4", "Sta13", NOTHING, False),
        ("Sta13", "Evt6", "Sta13", ABORTED_BY_PROVIDER, False),
        ("Sta13", "Evt10", "Sta13", NOTHING, False),
        ("Sta13", "Evt12", "Sta13", NOTHING, False),
        ("Sta13", "Evt13", "Sta13", NOTHING, False),
        ("Sta13", "Evt16", "Sta1", NOTHING, True),
        ("Sta13", "Evt17", "Sta1", NOTHING, False),
        ("Sta13", "Evt18", "Sta1", NOTHING, True),
        ("Sta13", "Evt19", "Sta13", ABORTED_BY_PROVIDER, False),
    ],
)
def test_each_event_in_each_state(state: str, event: str, after: str, sent: bytes, is_cut: bool) -> None:
    world = World(State(state))
    world.cause(event)
    assert (str(world.line.state), world.wire.sent, world.wire.is_cut) == (after, sent, is_cut)


def test_every_pair_that_can_be_caused_from_outside_is_tried() -> None:
    """Sta3 and Sta8 last no longer than their action: the service user answers at once."""
    (mark,) = test_each_event_in_each_state.pytestmark  # type: ignore[attr-defined]
    tried = {(event, state) for state, event, *_ in mark.args[1]}
    local = {"Evt7", "Evt8", "Evt9", "Evt14"}
    assert tried == {
        (str(event), str(state))
        for event, state in TRANSITIONS
        if str(state) not in ("Sta3", "Sta8") and str(event) not in local
    }


@pytest.mark.parametrize(("request_body", "answer"), [(body(version=2), WRONG_VERSION), (body(), REJECTED)])
def test_who_is_rejected_is_waited_for_until_it_closes(request_body: bytes, answer: bytes) -> None:
    world = World(State.AWAITING_REQUEST)
    world.user.rejects = True
    world.feed(pdu(1, request_body))
    assert (str(world.line.state), world.wire.sent) == ("Sta13", answer)


@pytest.mark.parametrize("size", [1, 2, 5, 7])
def test_a_request_and_a_release_are_the_same_however_they_are_cut(size: int) -> None:
    world = World(State.AWAITING_REQUEST)
    stream = pdu(1, body()) + pdu(5, bytes(4))
    for at in range(0, len(stream), size):
        world.feed(stream[at : at + size])
    assert world.wire.sent == b"accepted" + RELEASED
    assert world.line.outcome == "released"
    world.line.connection_lost(None)
    assert world.user.ended_lines == 1


def test_while_a_message_is_in_hand_the_peer_waits_and_its_end_is_told_later() -> None:
    world = World(State.ESTABLISHED)
    world.line.hold()
    world.feed(pdu(5, bytes(4)))
    assert (world.wire.sent, world.wire.reads) == (NOTHING, False)
    world.line.go_on()
    assert (world.wire.sent, world.wire.reads) == (RELEASED, True)
    lost = World(State.ESTABLISHED)
    lost.line.hold()
    lost.line.connection_lost(None)
    assert lost.user.ended_lines == 0
    lost.line.go_on()
    assert lost.user.ended_lines == 1
