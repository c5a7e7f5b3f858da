"""The upper layer of whoever accepts associations, as DICOM PS3.8 table 9-10 has it: events, states, actions.

Rows and columns of a requestor, and of an acceptor that asks for a release itself, are not here: the node does neither.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """States of PS3.8 tables 9-1 to 9-5."""

    IDLE = "Sta1"
    AWAITING_REQUEST = "Sta2"
    AWAITING_LOCAL_RESPONSE = "Sta3"
    ESTABLISHED = "Sta6"
    AWAITING_LOCAL_RELEASE = "Sta8"
    AWAITING_CLOSE = "Sta13"


class Event(StrEnum):
    """Events of PS3.8 table 9-10."""

    ACCEPT_PDU = "Evt3"
    REJECT_PDU = "Evt4"
    CONNECTED = "Evt5"
    REQUEST_PDU = "Evt6"
    ACCEPT = "Evt7"
    REJECT = "Evt8"
    SEND_DATA = "Evt9"
    DATA_PDU = "Evt10"
    RELEASE_REQUEST_PDU = "Evt12"
    RELEASE_RESPONSE_PDU = "Evt13"
    RELEASE = "Evt14"
    ABORT = "Evt15"
    ABORT_PDU = "Evt16"
    CLOSED = "Evt17"
    ARTIM_EXPIRED = "Evt18"
    INVALID_PDU = "Evt19"


class Action(StrEnum):
    """Actions of PS3.8 tables 9-6 to 9-9."""

    AWAIT_REQUEST = "AE-5"
    JUDGE_REQUEST = "AE-6"
    SEND_ACCEPT = "AE-7"
    SEND_REJECT = "AE-8"
    SEND_DATA = "DT-1"
    TAKE_DATA = "DT-2"
    INDICATE_RELEASE = "AR-2"
    SEND_RELEASE_RESPONSE = "AR-4"
    STOP_ARTIM = "AR-5"
    SEND_DATA_BEFORE_RELEASE = "AR-7"
    SEND_ABORT = "AA-1"
    CLOSE = "AA-2"
    INDICATE_ABORT_AND_CLOSE = "AA-3"
    INDICATE_PROVIDER_ABORT = "AA-4"
    GIVE_UP = "AA-5"
    IGNORE = "AA-6"
    SEND_ABORT_AGAIN = "AA-7"
    SEND_PROVIDER_ABORT = "AA-8"


_TABLE = """
       Sta1  Sta2  Sta3  Sta6  Sta8  Sta13
Evt3   -     AA-1  AA-8  AA-8  AA-8  AA-6
Evt4   -     AA-1  AA-8  AA-8  AA-8  AA-6
Evt5   AE-5  -     -     -     -     -
Evt6   -     AE-6  AA-8  AA-8  AA-8  AA-7
Evt7   -     -     AE-7  -     -     -
Evt8   -     -     AE-8  -     -     -
Evt9   -     -     -     DT-1  AR-7  -
Evt10  -     AA-1  AA-8  DT-2  AA-8  AA-6
Evt12  -     AA-1  AA-8  AR-2  AA-8  AA-6
Evt13  -     AA-1  AA-8  AA-8  AA-8  AA-6
Evt14  -     -     -     -     AR-4  -
Evt15  -     -     AA-1  AA-1  AA-1  -
Evt16  -     AA-2  AA-3  AA-3  AA-3  AA-2
Evt17  -     AA-5  AA-4  AA-4  AA-4  AR-5
Evt18  -     AA-2  -     -     -     AA-2
Evt19  -     AA-1  AA-8  AA-8  AA-8  AA-7
"""


def _read(table: str) -> dict[tuple[Event, State], Action]:
    head, *lines = table.strip().splitlines()
    states = [State(name) for name in head.split()]
    rows = [(Event(event), actions) for event, *actions in map(str.split, lines)]
    return {
        (event, state): Action(action)
        for event, actions in rows
        for state, action in zip(states, actions, strict=True)
        if action != "-"
    }


TRANSITIONS = _read(_TABLE)
"""What is done on an event in a state; a pair that is not here cannot occur."""

NEXT_STATE = {
    Action.AWAIT_REQUEST: State.AWAITING_REQUEST,
    Action.JUDGE_REQUEST: State.AWAITING_LOCAL_RESPONSE,
    Action.SEND_ACCEPT: State.ESTABLISHED,
    Action.SEND_REJECT: State.AWAITING_CLOSE,
    Action.SEND_DATA: State.ESTABLISHED,
    Action.TAKE_DATA: State.ESTABLISHED,
    Action.INDICATE_RELEASE: State.AWAITING_LOCAL_RELEASE,
    Action.SEND_RELEASE_RESPONSE: State.AWAITING_CLOSE,
    Action.STOP_ARTIM: State.IDLE,
    Action.SEND_DATA_BEFORE_RELEASE: State.AWAITING_LOCAL_RELEASE,
    Action.SEND_ABORT: State.AWAITING_CLOSE,
    Action.CLOSE: State.IDLE,
    Action.INDICATE_ABORT_AND_CLOSE: State.IDLE,
    Action.INDICATE_PROVIDER_ABORT: State.IDLE,
    Action.GIVE_UP: State.IDLE,
    Action.IGNORE: State.AWAITING_CLOSE,
    Action.SEND_ABORT_AGAIN: State.AWAITING_CLOSE,
    Action.SEND_PROVIDER_ABORT: State.AWAITING_CLOSE,
}
"""The state behind each action. AE-6 rejects by itself what is of another protocol version, and goes on to Sta13."""
