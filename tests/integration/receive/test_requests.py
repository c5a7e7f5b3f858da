"""Who is turned away hears so and stands in the log once; whoever can be understood is let in (DICOM PS3.8)."""

from __future__ import annotations

import contextlib
import shutil
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from dicomnode.receive.pdus import MAX_PDU_LENGTH
from dicomnode.store.engine import Store
from tests.integration.receive import peers
from tests.integration.receive.peers import CT_IMAGE, VERIFICATION, Pdu, ScriptedPeer, ct_slice, sent
from tests.integration.receive.world import Reception, wait_until
from tests.unit.receive.test_requests import EXPLICIT, MR, body, context, item, user

GOOD = (item(0x10, b"1.2.840.10008.3.1.1.1"), context(1), user(item(0x51, bytes(4)), item(0x52, b"1.2.3.4")))
SUCCESS = 0x0000


@pytest.fixture
def start(
    sqlite_template: Path, tmp_path: Path, new_reception: Callable[..., Reception]
) -> Iterator[Callable[..., Reception]]:
    store = Store(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'node.db')}")
    yield lambda **reception: new_reception(store, **reception)
    store.close()


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[str], list[dict]]:
    """Facts of the log lines of one message so far."""
    caplog.set_level("INFO", logger="dicomnode")

    def told(message: str) -> list[dict]:
        return [vars(record) for record in caplog.records if record.getMessage() == message]

    return told


def asked(peer: ScriptedPeer, request: bytes) -> Pdu:
    peer._contexts[CT_IMAGE] = 1
    peer.send(peers.ASSOCIATE_RQ, request)
    return peer.receive()


@pytest.mark.parametrize(
    "request_body",
    [
        body(*GOOD, calling=b" " * 16),
        body(*GOOD, calling=bytes(16)),
        body(*GOOD, calling=b"K\xd6LN"),
        body(*GOOD, called=b"NODE" + bytes(12)),
        body(*GOOD, called=b"  NODE"),
        body(*GOOD, version=0x0003),
        body(item(0x10, b"1.2.840.10008.3.1.1.1\x00"), *GOOD[1:]),
        body(*GOOD[1:]),
        body(item(0x10, b"not quite"), *GOOD[1:]),
        body(item(0x99, b"unknown", reserved=7), *GOOD),
        body(*GOOD, item(0x88, b"")),
        body(GOOD[0], context(2, MR.encode()), context(0), context(1), context(1), GOOD[2]),
        body(GOOD[0], item(0x20, bytes([3, 0, 0, 0]) + item(0x30, MR.encode())), context(1), GOOD[2]),
        body(GOOD[0], context(5, b"x" * 300), context(1, CT_IMAGE.encode() + b"\x00"), GOOD[2]),
        body(GOOD[0], context(1, reserved=b"\xff\xff\xff"), GOOD[2]),
        body(GOOD[0], context(1), user(item(0x51, bytes(4)), item(0x52, b"1.2.3.4"), item(0x55, b"V" * 20))),
        body(GOOD[0], context(1), user(item(0x51, bytes(4)), item(0x52, b"no uid \xff"), item(0x77, b"x" * 9_000))),
        body(GOOD[0], context(1), user(item(0x51, struct.pack(">L", 1)))),
        body(GOOD[0], context(1), user(item(0x51, struct.pack(">L", 7)))),
        body(GOOD[0], context(1), user(item(0x51, b"\x00"))),
        body(GOOD[0], context(1)),
        body(GOOD[0], context(1), user(item(0x58, b"\x01\x01\x00\xff"), item(0x53, b""), item(0x54, b"\xff\xff"))),
        body(GOOD[0], context(1), user(item(0x56, b"\x00\x40" + b"x" * 64), item(0x57, b"\xff" * 7))),
        body(*GOOD)[:42] + b"\xaa" * 26 + body(*GOOD)[68:],
    ],
)
def test_what_can_be_understood_is_accepted(start: Callable[..., Reception], request_body: bytes) -> None:
    reception = start()
    with ScriptedPeer(reception.port) as peer:
        answer = asked(peer, request_body)
        assert answer.type == peers.ASSOCIATE_AC
        assert answer.body[4:36] == request_body[4:36]
        assert dict(peers._accepted(answer.body[68:])) == {1: EXPLICIT}
        peer.begin_store(CT_IMAGE, "1.2.3.1.1.1")
        peer.send_data(peers.encoded(ct_slice(sop_uid="1.2.3.1.1.1")), last=True)
        assert _status_in_parts(peer) == SUCCESS
        peer.release()
    assert len(reception.instances()) == 1


def _status_in_parts(peer: ScriptedPeer) -> int:
    """Status of a response however finely it is cut."""
    command = b""
    while True:
        values = peer.receive().body
        while values:
            (length,) = struct.unpack(">L", values[:4])
            command, is_last = command + values[6 : 4 + length], values[5] & 2
            values = values[4 + length :]
            if is_last:
                at = command.index(struct.pack("<HH", 0, 0x0900)) + 8
                return int(struct.unpack("<H", command[at : at + 2])[0])


def test_each_context_has_its_answer(start: Callable[..., Reception]) -> None:
    bad = (context(2), context(3, b"x"), context(5, CT_IMAGE.encode(), b"1.2.3"))
    with ScriptedPeer(start().port) as peer:
        answer = asked(peer, body(GOOD[0], *bad, context(1), context(7, b"1.2.840.10008.5.1.4.1.2.1.1"), GOOD[2]))
    results = {}
    items = answer.body[68:]
    while items:
        kind, _, length = struct.unpack(">BBH", items[:4])
        if kind == 0x21:
            results[items[4]] = items[6]
        items = items[4 + length :]
    assert results == {1: 0, 2: 1, 3: 3, 5: 4, 7: 3}


def test_a_request_in_many_segments_is_one(start: Callable[..., Reception]) -> None:
    with ScriptedPeer(start().port) as peer:
        request = body(*GOOD)
        whole = struct.pack(">BBL", 1, 0xFF, len(request)) + request
        for part in (whole[:3], whole[3:20], whole[20:90], whole[90:]):
            peer.socket.sendall(part)
            time.sleep(0.05)
        assert peer.receive().type == peers.ASSOCIATE_AC


@pytest.mark.parametrize(
    ("request_body", "answer", "reason"),
    [
        (body(*GOOD, called=b"OTHER"), (1, 1, 7), "called_ae_not_recognised"),
        (body(*GOOD, called=b"N\xd6DE"), (1, 1, 7), "called_ae_not_recognised"),
        (body(*GOOD, called=b""), (1, 1, 7), "called_ae_not_recognised"),
        (body(*GOOD, calling=b"STRANGER"), (1, 1, 3), "calling_ae_not_recognised"),
        (body(*GOOD, calling=bytes(16)), (1, 1, 3), "calling_ae_not_recognised"),
        (body(item(0x10, b"1.2.3"), *GOOD[1:], calling=b"CT"), (1, 1, 2), "application_context_not_supported"),
        (body(*GOOD, version=2), (1, 2, 2), "protocol version"),
    ],
)
def test_who_is_rejected_hears_why_and_stands_in_the_log_once(
    start: Callable[..., Reception],
    lines: Callable[[str], list[dict]],
    request_body: bytes,
    answer: tuple[int, int, int],
    reason: str,
) -> None:
    reception = start(senders=({"ae_title": "CT"},))
    with ScriptedPeer(reception.port) as peer:
        got = asked(peer, request_body)
        assert (got.type, *got.body[1:4]) == (peers.ASSOCIATE_RJ, *answer)
        peer.wait_for_end()
    wait_until(lambda: not reception.scp._server.open_lines())
    (line,) = [*lines("association rejected"), *lines("association turned away")]
    assert (line["peer"], line["reason"]) == ("127.0.0.1", reason)
    assert line["calling_ae"].isprintable()
    assert line["called_ae"].isprintable()
    assert not lines("association ended")


@pytest.mark.parametrize(
    ("sent_bytes", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: node\r\n\r\n", "no DICOM: a PDU of type 71"),
        (struct.pack(">BBL", 1, 0, 20) + bytes(20), "request of 20 bytes"),
        (struct.pack(">BBL", 1, 0, 0xFFFFFFFF) + bytes(500), "a PDU of 4294967295 bytes"),
        (struct.pack(">BBL", 4, 0, 0xFFFFFFFF), "a PDU of 4294967295 bytes"),
        (struct.pack(">BBL", 4, 0, 6) + struct.pack(">LBB", 2, 1, 3), ""),
        (struct.pack(">BBL", 5, 0, 4) + bytes(4), ""),
    ],
)
def test_who_does_not_ask_for_an_association_is_aborted_and_stands_in_the_log_once(
    start: Callable[..., Reception], lines: Callable[[str], list[dict]], sent_bytes: bytes, reason: str
) -> None:
    reception = start()
    with ScriptedPeer(reception.port) as peer:
        began = time.monotonic()
        peer.socket.sendall(sent_bytes)
        assert peer.receive().type == peers.ABORT
        assert time.monotonic() - began < 2
        wait_until(lambda: not reception.scp._server.open_lines(), 5)
    (line,) = lines("association turned away")
    assert line["peer"] == "127.0.0.1"
    assert line["reason"].startswith(reason)
    assert line["reason"] != ""


def test_half_a_request_is_waited_for_as_long_as_any_and_told_in_the_log(
    start: Callable[..., Reception], lines: Callable[[str], list[dict]]
) -> None:
    reception = start(idle_timeout_s=1)
    with ScriptedPeer(reception.port) as peer:
        peer.socket.sendall(struct.pack(">BBL", 1, 0, 300) + b"half")
        began = time.monotonic()
        peer.wait_for_end()
        assert time.monotonic() - began < 6
    wait_until(lambda: lines("association turned away"))
    assert len(lines("association turned away")) == 1


def test_a_look_at_the_port_says_nothing(start: Callable[..., Reception], lines: Callable[[str], list[dict]]) -> None:
    reception = start()
    for _ in range(3):
        socket.create_connection(("127.0.0.1", reception.port)).close()
    with ScriptedPeer(reception.port) as peer:
        assert peer.associate([VERIFICATION]).echo() == SUCCESS
        peer.release()
    wait_until(lambda: lines("association ended"))
    assert not lines("association turned away")


def test_one_line_tells_how_an_association_ended(
    start: Callable[..., Reception], lines: Callable[[str], list[dict]]
) -> None:
    reception = start()
    for leave in (ScriptedPeer.release, ScriptedPeer.abort):
        peer = ScriptedPeer(reception.port, calling="CT 7").associate()
        assert [sent(peer, ct_slice(number=number)) for number in (1, 2)] == [SUCCESS, SUCCESS]
        leave(peer)
    wait_until(lambda: len(lines("association ended")) == 2)
    for line, outcome in zip(lines("association ended"), ("released", "aborted"), strict=True):
        assert (line["calling_ae"], line["called_ae"], line["peer"]) == ("CT 7", "NODE", "127.0.0.1")
        assert (line["images"], line["outcome"], line["levelname"]) == (2, outcome, "INFO")
        assert 0 < line["seconds"] < 30


def flood(peer: ScriptedPeer, part: bytes, megabytes: int) -> None:
    """Send one part again and again until the node hangs up."""
    try:
        for _ in range(megabytes * (1 << 20) // len(part)):
            peer.socket.sendall(part)
    except OSError:
        return


@pytest.mark.parametrize("senders", [(), ({"ae_title": "ANOTHER"},)])
@pytest.mark.parametrize("kind", [peers.ASSOCIATE_RQ, peers.P_DATA, peers.ABORT])
def test_a_pdu_without_end_fills_no_memory(start: Callable[..., Reception], senders: tuple, kind: int) -> None:
    reception = start(senders=senders)
    before = psutil.Process().memory_info().rss
    with ScriptedPeer(reception.port) as peer:
        peer.socket.sendall(struct.pack(">BBL", kind, 0, 0xFFFFFFFF))
        flood(peer, bytes(1 << 16), 128)
        wait_until(lambda: not reception.scp._server.open_lines(), 5)
    assert psutil.Process().memory_info().rss - before < 24 << 20


def test_a_pdu_as_long_as_any_may_be_is_read(start: Callable[..., Reception]) -> None:
    with ScriptedPeer(start().port) as peer:
        peer.associate()
        ds = ct_slice(rows=600)
        peer.begin_store(CT_IMAGE, ds.SOPInstanceUID)
        peer.send_data(peers.encoded(ds), last=True, part_bytes=MAX_PDU_LENGTH - 6)
        assert peer.receive_status() == SUCCESS


def test_a_command_set_without_end_is_broken_off(
    start: Callable[..., Reception], lines: Callable[[str], list[dict]]
) -> None:
    reception = start()
    before = psutil.Process().memory_info().rss
    with ScriptedPeer(reception.port) as peer:
        peer.associate()
        part = struct.pack(">BBLLBB", peers.P_DATA, 0, 60_006, 60_002, 1, 0x01) + bytes(60_000)
        flood(peer, part, 64)
        wait_until(lambda: lines("association ended"), 5)
    (line,) = lines("association ended")
    assert (line["outcome"], line["reason"]) == ("aborted", "a command set without end")
    assert psutil.Process().memory_info().rss - before < 24 << 20


def test_data_sets_of_other_messages_are_not_kept_in_memory(start: Callable[..., Reception]) -> None:
    reception = start()
    before = psutil.Process().memory_info().rss
    find, report = 0x0020, 0x0100
    for command_field in (find, report):
        with ScriptedPeer(reception.port) as peer:
            peer.associate()
            command = peers._command(
                (0x0002, CT_IMAGE.encode()),
                (0x0100, struct.pack("<H", command_field)),
                (0x0110, struct.pack("<H", 1)),
                (0x0700, struct.pack("<H", 0)),
                (0x0800, struct.pack("<H", 1)),
                (0x1000, b"1.2.3"),
                (0x1002, struct.pack("<H", 1)),
            )
            peer._send_value(1, 0x03, command)
            with contextlib.suppress(OSError):  # the node breaks off
                peer.send_data(bytes(48 << 20), last=False)
            peak = psutil.Process().memory_info().rss
        # The 48 MB that are sent are this process's own.
        assert peak - before < (48 + 16) << 20


def test_a_sender_that_waits_for_no_answer_is_slowed_down_and_loses_nothing(start: Callable[..., Reception]) -> None:
    reception = start()
    slices = [ct_slice(number=number) for number in range(1, 61)]
    process = psutil.Process()
    before, most = process.num_fds(), 0
    with ScriptedPeer(reception.port) as peer:
        peer.associate()

        def send() -> None:
            for ds in slices:
                peer.begin_store(CT_IMAGE, ds.SOPInstanceUID)
                peer.send_data(peers.encoded(ds), last=True)

        sender = threading.Thread(target=send)
        sender.start()
        statuses = []
        for _ in slices:
            statuses.append(peer.receive_status())
            most = max(most, process.num_fds())
        sender.join()
        peer.release()
    assert statuses == [SUCCESS] * 60
    assert len(reception.instances()) == 60
    assert most - before < 30


@pytest.mark.parametrize(
    "spoiled",
    [
        struct.pack(">BBLLBB", 4, 0, 6, 2, 99, 3),  # a context that was not accepted
        struct.pack(">BBLLBB", 4, 0, 20, 16, 1, 3) + bytes(14),  # a command without a field
        struct.pack(">BBL", 4, 0, 3) + b"\x00\x00\x00",  # a value cut off
        struct.pack(">BBLL", 4, 0, 4, 0),  # a value of no length
        struct.pack(">BBLLBB", 4, 0, 6, 0xFFFF, 1, 3),  # a value longer than its PDU
        struct.pack(">BBL", 2, 0, 4) + bytes(4),  # an acceptance
        struct.pack(">BBL", 1, 0, len(body(*GOOD))) + body(*GOOD),  # a second request
        struct.pack(">BBL", 6, 0, 4) + bytes(4),  # an answer to no release
        struct.pack(">BBL", 9, 0, 4) + bytes(4),  # of no known type
    ],
)
def test_what_breaks_the_protocol_is_aborted_and_no_thread_dies_of_it(
    start: Callable[..., Reception],
    lines: Callable[[str], list[dict]],
    monkeypatch: pytest.MonkeyPatch,
    spoiled: bytes,
) -> None:
    died: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: died.append(args.exc_type.__name__))
    reception = start()
    with ScriptedPeer(reception.port) as peer:
        peer.associate()
        peer.socket.sendall(spoiled)
        began = time.monotonic()
        assert peer.receive().type == peers.ABORT
        assert time.monotonic() - began < 2
    wait_until(lambda: lines("association ended"))
    assert lines("association ended")[0]["outcome"] == "aborted"
    assert not died
    with ScriptedPeer(reception.port) as peer:
        assert sent(peer.associate(), ct_slice()) == SUCCESS


@pytest.mark.parametrize("field", [0x0020, 0x0021, 0x0030, 0x0100, 0x0110, 0x0130, 0x0140], ids=hex)
def test_a_request_for_a_service_that_its_context_is_not_for_is_aborted_with_a_reason(
    start: Callable[..., Reception], lines: Callable[[str], list[dict]], field: int
) -> None:
    reception = start()
    with ScriptedPeer(reception.port, timeout_s=5) as peer:
        peer.associate()
        peer.send_command(CT_IMAGE, field)
        assert peer.receive().type == peers.ABORT
    wait_until(lambda: lines("association ended"))
    (ended,) = lines("association ended")
    assert ended["reason"] == f"a request 0x{field:04X} in a context for another service"
    assert not lines("instance not stored")


def test_an_answer_or_a_cancellation_that_nobody_asked_for_changes_nothing(start: Callable[..., Reception]) -> None:
    with ScriptedPeer(start().port, timeout_s=20) as peer:
        peer.associate()
        for field in (0x0FFF, 0x8001):
            peer.send_command(CT_IMAGE, field)
        assert sent(peer, ct_slice()) == SUCCESS
        peer.release()


def test_more_connections_than_there_is_room_for_are_turned_away_with_a_word(
    start: Callable[..., Reception], lines: Callable[[str], list[dict]]
) -> None:
    reception = start()
    reception.scp._server.max_connections = 5
    silent = [socket.create_connection(("127.0.0.1", reception.port)) for _ in range(5)]
    with ScriptedPeer(reception.port) as peer:
        assert peer.receive().type == peers.ABORT
    assert lines("association turned away")[0]["reason"] == "too many connections"
    for connection in silent:
        connection.close()
    wait_until(lambda: not reception.scp._server.open_lines())
    with ScriptedPeer(reception.port) as peer:
        assert sent(peer.associate(), ct_slice()) == SUCCESS


def test_a_fault_of_the_node_s_own_lets_nobody_in(
    start: Callable[..., Reception], monkeypatch: pytest.MonkeyPatch
) -> None:
    reception = start()
    monkeypatch.setattr(reception.scp, "_admission", None)
    with ScriptedPeer(reception.port) as peer:
        assert peer.request().type == peers.ASSOCIATE_RJ


def test_an_image_within_an_unfinished_one_is_not_acknowledged(
    start: Callable[..., Reception], lines: Callable[[str], list[dict]]
) -> None:
    reception = start()
    first, second = (ct_slice(number=number, sop_uid=f"1.2.3.1.1.{number}") for number in (1, 2))
    with ScriptedPeer(reception.port) as peer:
        peer.associate()
        peer.begin_store(CT_IMAGE, first.SOPInstanceUID)
        peer.send_data(peers.encoded(first)[:500], last=False)
        peer.begin_store(CT_IMAGE, second.SOPInstanceUID)
        peer.send_data(peers.encoded(second), last=True)
        with pytest.raises(peers.Aborted):
            peer.receive_status()
    wait_until(lambda: lines("association ended"))
    assert lines("association ended")[0]["reason"] == "fragments of several messages mixed"
    assert reception.files() == reception.instances() == reception.half_files() == []


def test_a_data_set_in_another_context_than_its_command_is_broken_off(start: Callable[..., Reception]) -> None:
    reception = start()
    with ScriptedPeer(reception.port) as peer:
        peer.associate([CT_IMAGE, MR])
        peer.begin_store(CT_IMAGE, "1.2.3.1.1.1")
        peer.send_data(peers.encoded(ct_slice(sop_uid="1.2.3.1.1.1")), sop_class=MR, last=True)
        with pytest.raises(peers.Aborted):
            peer.receive_status()
    wait_until(lambda: not reception.scp._server.open_lines())
    assert reception.files() == []


def test_two_messages_in_one_pdu_are_both_answered(start: Callable[..., Reception]) -> None:
    reception = start()
    slices = [ct_slice(number=number) for number in (1, 2)]
    values = b""
    with ScriptedPeer(reception.port) as peer:
        peer.associate()
        peer.send = lambda kind, content: collected.append(content)  # type: ignore[method-assign]
        collected: list[bytes] = []
        for ds in slices:
            peer.begin_store(CT_IMAGE, ds.SOPInstanceUID)
            peer.send_data(peers.encoded(ds), last=True)
        values = b"".join(collected)
        peer.socket.sendall(struct.pack(">BBL", peers.P_DATA, 0, len(values)) + values)
        assert [peer.receive_status() for _ in slices] == [SUCCESS, SUCCESS]
    assert len(reception.instances()) == 2
