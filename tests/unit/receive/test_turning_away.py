"""Who gets a place, who is cut off, and how often the log says so."""

from __future__ import annotations

import pytest

from dicomnode.config.sections import Reception
from dicomnode.config.whole import Config
from dicomnode.receive import turned_away
from dicomnode.receive.admission import Admission, Rejection, Requestor
from dicomnode.receive.limits import Limits, overdue
from dicomnode.receive.line import Line
from dicomnode.receive.network import Budget
from dicomnode.receive.pdus import BrokenProtocol
from dicomnode.receive.states import State
from dicomnode.receive.turned_away import TurnedAway
from tests.unit.receive.test_states import World

FULL = 25


def asks(*, others: int, own: int, reception: dict[str, object] | None = None, echo: bool = False) -> Rejection | None:
    rules = Admission(Config.model_validate({"node": {"ae_title": "NODE"}, "reception": reception or {}}))
    who = Requestor(called_ae="NODE", calling_ae="CT", address="10.0.0.1", may_only_echo=echo, own=own)
    return rules.rejection(who, others=others, draining=False)


def test_one_who_holds_all_places_keeps_out_himself_alone() -> None:
    assert asks(others=FULL - 1, own=FULL - 1) is None
    assert asks(others=FULL, own=FULL) is Rejection.LOCAL_LIMIT_EXCEEDED
    assert asks(others=FULL, own=0) is None
    assert asks(others=FULL + 5, own=0) is Rejection.LOCAL_LIMIT_EXCEEDED


def test_an_echo_finds_a_place_where_an_image_does_not() -> None:
    assert asks(others=FULL, own=1, echo=True) is None
    assert asks(others=FULL, own=1) is Rejection.LOCAL_LIMIT_EXCEEDED


def test_an_ae_title_may_have_a_limit_of_its_own() -> None:
    limit = {"max_associations_per_ae": 2}
    assert asks(others=2, own=1, reception=limit) is None
    assert asks(others=2, own=2, reception=limit) is Rejection.LOCAL_LIMIT_EXCEEDED
    assert asks(others=2, own=2, reception={"reserved_associations": 0}) is None


def test_places_of_a_listed_sender_are_nobody_elses() -> None:
    senders = [{"ae_title": "STROKE", "places": 3}, {"ae_title": "STROKE", "host": "10.0.0.2"}, {"ae_title": "CT"}]
    rules = Admission(Config.model_validate({"node": {"ae_title": "NODE"}, "sender": senders}))
    assert [rules.kept_free("CT", {"STROKE": opened}) for opened in (0, 1, 3, 9)] == [3, 2, 0, 0]
    assert rules.kept_free("STROKE", {"CT": 9}) == 0

    def asks(calling_ae: str, others: int, own: int, kept_free: int) -> Rejection | None:
        who = Requestor(called_ae="NODE", calling_ae=calling_ae, address="10.0.0.1", own=own, kept_free=kept_free)
        return rules.rejection(who, others=others, draining=False)

    assert asks("CT", FULL - 4, FULL - 4, 3) is None
    assert asks("CT", FULL - 3, FULL - 3, 3) is Rejection.LOCAL_LIMIT_EXCEEDED
    assert asks("STROKE", FULL - 1, 2, 0) is None


def test_the_same_peer_stands_in_the_log_once_and_then_with_a_number(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    teller = TurnedAway()
    for _ in range(7):
        teller.tell("association rejected", "local_limit_exceeded", {"peer": "10.0.0.1", "calling_ae": "CT"})
    teller.tell("association rejected", "local_limit_exceeded", {"peer": "10.0.0.2"})
    assert [vars(line)["peer"] for line in caplog.records] == ["10.0.0.1", "10.0.0.2"]
    teller.flush()
    assert len(caplog.records) == 2
    monkeypatch.setattr(turned_away, "COUNTED_S", -1.0)
    teller.flush()
    (counted,) = [vars(line) for line in caplog.records[2:]]
    assert (counted["message"], counted["peer"], counted["times"]) == ("association rejected, again", "10.0.0.1", 6)
    teller.tell("association rejected", "local_limit_exceeded", {"peer": "10.0.0.1"})
    assert len(caplog.records) == 4


def test_each_title_behind_one_address_stands_in_the_log_and_a_crowd_of_them_is_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    teller = TurnedAway()
    for _ in range(3):
        for title in ("CT1", "CT2"):
            teller.tell("association rejected", "calling_ae_not_recognised", {"peer": "10.0.0.1", "calling_ae": title})
    assert [vars(line)["calling_ae"] for line in caplog.records] == ["CT1", "CT2"]
    for number in range(500):
        facts = {"peer": "10.0.0.1", "calling_ae": f"X{number}"}
        teller.tell("association rejected", "calling_ae_not_recognised", facts)
    assert len(caplog.records) == turned_away.MOST_TITLES + 1
    teller.flush_all()
    told = [vars(line) for line in caplog.records[turned_away.MOST_TITLES + 1 :]]
    assert [(line.get("calling_ae"), line["times"]) for line in told] == [("CT1", 2), ("CT2", 2), (None, 485)]


LIMITS = Limits.of(Reception(idle_timeout_s=10, max_association_s=100, min_bytes_per_s=1000))


def late(line: Line, seconds: float) -> str | None:
    return overdue(line, line.opened + seconds, LIMITS)


def test_a_request_and_a_close_have_their_time() -> None:
    waiting = World(State.AWAITING_REQUEST).line
    assert (late(waiting, 9), late(waiting, 11)) == (None, "no request in time")
    closing = World(State.AWAITING_CLOSE).line
    assert (late(closing, 0.5), late(closing, 2)) == (None, "")


def test_who_says_nothing_or_stays_too_long_is_cut_off_but_not_while_the_node_works() -> None:
    line = World(State.ESTABLISHED).line
    assert (late(line, 9), late(line, 11), late(line, 101)) == (None, "idle", "the association is too long")
    line.hold()
    assert (late(line, 50), late(line, 101)) == (None, "the association is too long")


def test_who_drips_in_the_middle_of_a_message_is_cut_off() -> None:
    world = World(State.ESTABLISHED)
    world.feed(b"\x04\x00\x00")
    line = world.line
    for second in range(1, 10):
        line.heard_at, line.window_bytes = line.opened + second, line.window_bytes + 500
        assert late(line, second) is None
    assert late(line, 10.5) == "slower than 1000 bytes/s"
    fast = World(State.ESTABLISHED)
    fast.feed(b"\x04\x00\x00")
    fast.line.heard_at, fast.line.window_bytes = fast.line.opened + 10, 20_000
    assert late(fast.line, 10.5) is None


def test_what_is_kept_of_all_connections_together_has_an_end() -> None:
    budget = Budget(most=10)
    budget.change(8)
    with pytest.raises(BrokenProtocol, match="no room"):
        budget.change(3)
    budget.change(-4)
    budget.change(3)
    assert budget.kept == 7
