"""The port for HL7 under peers that are slow, silent, too loud, somebody else, or many."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dicomnode.config.clinical import Hl7
from dicomnode.errors import ConfigError
from dicomnode.receive.mllp.connection import Peer, Reply
from dicomnode.receive.mllp.framing import Frame
from dicomnode.receive.mllp.listener import MllpListener
from tests.integration.clinical.hl7_world import free_port
from tests.tools.certificates import Authority
from tests.tools.hl7_messages import Hl7Peer, framed

GOOD = b"MSH|good"


def echo(frame: Frame, peer: Peer) -> Reply:
    """Answers with what it got, and who sent it."""
    said = b"ack " + (frame.content[:100] if frame.is_whole else b"too large")
    return Reply(said + b" " + ",".join(sorted(peer.names)).encode())


@contextlib.contextmanager
def listening(handler: Callable[[Frame, Peer], Reply] = echo, **keys: object) -> Iterator[MllpListener]:
    raw = {"port": free_port(), "host": "127.0.0.1", "message_timeout_s": 1.0, "idle_timeout_s": 30.0, **keys}
    listener = MllpListener(Hl7.model_validate(raw), handler)
    listener.start()
    try:
        yield listener
    finally:
        listener.stop()


def wait_until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def threads() -> int:
    return sum(thread.name == "mllp" for thread in threading.enumerate())


def is_closed(peer: Hl7Peer) -> bool:
    """Whether the node has hung up."""
    try:
        return peer.socket.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_message_is_answered_however_its_bytes_arrive() -> None:
    with listening(message_timeout_s=10.0) as listener, Hl7Peer(listener.port) as peer:
        for byte in framed(GOOD):
            peer.socket.send(bytes([byte]))
            time.sleep(0.005)
        assert peer.answer().content.startswith(b"ack MSH|good")
        peer.socket.sendall(framed(b"MSH|one") + framed(b"MSH|two"))
        assert peer.answer().content.startswith(b"ack MSH|one")
        assert peer.answer().content.startswith(b"ack MSH|two")
        peer.socket.sendall(b"rubbish\r\n" + framed(GOOD))
        assert peer.answer().content.startswith(b"ack MSH|good")


def test_a_message_that_never_ends_is_given_up_after_its_time_whatever_drips(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with listening() as listener, Hl7Peer(listener.port) as silent, Hl7Peer(listener.port) as dripping:
        began = time.monotonic()
        silent.socket.sendall(b"\x0bMSH|half")
        dripping.socket.sendall(b"\x0b")
        dripping.socket.settimeout(0.1)
        while time.monotonic() - began < 20:
            try:
                dripping.socket.sendall(b"x")
                if dripping.socket.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        assert 0.9 < time.monotonic() - began < 10
        assert is_closed(silent)
        with Hl7Peer(listener.port) as other:
            assert other.send(GOOD).content.startswith(b"ack MSH|good")
    assert "message_not_finished" in {getattr(record, "reason", "") for record in caplog.records}


def test_an_open_connection_may_be_silent_for_longer_than_a_message_takes() -> None:
    with listening(message_timeout_s=0.3) as listener, Hl7Peer(listener.port) as peer:
        for _ in range(2):
            time.sleep(0.6)
            assert peer.send(GOOD).content.startswith(b"ack")


def test_an_idle_connection_is_closed_after_its_time() -> None:
    with listening(idle_timeout_s=0.3) as listener, Hl7Peer(listener.port) as peer:
        assert is_closed(peer)
        wait_until(lambda: threads() == 0)


def test_a_message_that_is_too_large_is_answered_and_costs_no_memory() -> None:
    with listening(max_message_bytes=10_000, message_timeout_s=20.0) as listener, Hl7Peer(listener.port) as peer:
        assert peer.send(b"MSH|" + b"x" * 5_000_000).content.startswith(b"ack too large")
        assert peer.send(GOOD).content.startswith(b"ack MSH|good")


def test_somebody_who_speaks_no_mllp_is_hung_up_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with listening() as listener:
        with Hl7Peer(listener.port) as web:
            web.socket.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert is_closed(web)
        with Hl7Peer(listener.port) as flood, contextlib.suppress(OSError):
            for _ in range(100):
                flood.socket.sendall(b"A" * 65536)
        wait_until(lambda: threads() == 0)
    assert "not_mllp" in {getattr(record, "reason", "") for record in caplog.records}


def test_one_peer_with_all_connections_makes_room_for_its_own_newest_one() -> None:
    with listening(max_connections=3) as listener:
        peers = [Hl7Peer(listener.port) for _ in range(3)]
        for peer in peers[1:] + peers[:1]:  # the second is idle for longest
            assert peer.send(GOOD).content.startswith(b"ack")
        with Hl7Peer(listener.port) as newest:
            assert newest.send(GOOD).content.startswith(b"ack")
        assert is_closed(peers[1])
        assert peers[0].send(GOOD).content.startswith(b"ack")
        for peer in peers:
            peer.socket.close()


def test_connections_that_are_all_busy_keep_their_places(caplog: pytest.LogCaptureFixture) -> None:
    release = threading.Event()

    def slow(frame: Frame, peer: Peer) -> Reply:
        release.wait(20)
        return echo(frame, peer)

    with listening(slow, max_connections=2, message_timeout_s=20.0) as listener:
        peers = [Hl7Peer(listener.port) for _ in range(2)]
        for peer in peers:
            peer.socket.sendall(framed(GOOD))
        wait_until(lambda: sum(one.is_busy for one in listener._connections) == 2)
        with Hl7Peer(listener.port) as late:
            assert is_closed(late)
        release.set()
        assert all(peer.answer().content.startswith(b"ack") for peer in peers)
        for peer in peers:
            peer.socket.close()
    assert "too many connections" in {getattr(record, "reason", "") for record in caplog.records}


def test_who_never_reads_answers_is_hung_up_on_and_holds_nobody_up() -> None:
    def loud(_frame: Frame, _peer: Peer) -> Reply:
        return Reply(b"x" * 5_000_000)

    with listening(loud) as listener, Hl7Peer(listener.port) as deaf:
        deaf.socket.sendall(framed(GOOD))
        wait_until(lambda: threads() == 0)
        assert len(listener._connections) == 0


def test_an_error_of_the_handler_costs_its_connection_alone(caplog: pytest.LogCaptureFixture) -> None:
    def breaks(frame: Frame, peer: Peer) -> Reply:
        if frame.content == b"MSH|bad":
            raise ValueError("secret")
        return echo(frame, peer)

    with listening(breaks) as listener:
        with Hl7Peer(listener.port) as peer, pytest.raises(ConnectionError):
            peer.send(b"MSH|bad")
        with Hl7Peer(listener.port) as peer:
            assert peer.send(GOOD).content.startswith(b"ack")
    assert "connection broke" in caplog.text
    assert "secret" not in caplog.text


def test_a_stop_finishes_the_message_on_its_way_and_hangs_up_on_the_rest() -> None:
    def slow(frame: Frame, peer: Peer) -> Reply:
        time.sleep(0.5)
        return echo(frame, peer)

    listener = MllpListener(Hl7(port=free_port(), host="127.0.0.1"), slow)
    listener.start()
    with Hl7Peer(listener.port) as busy, Hl7Peer(listener.port) as idle:
        busy.socket.sendall(framed(GOOD))
        wait_until(lambda: any(one.is_busy for one in listener._connections))
        listener.stop(drain_s=10.0)
        assert busy.answer().content.startswith(b"ack")
        assert is_closed(idle)
    assert threads() == 0


def test_only_listed_addresses_and_certificates_may_connect(tmp_path: Path) -> None:
    with listening(senders=[{"host": "10.1.2.3"}]) as listener, Hl7Peer(listener.port) as stranger:
        assert is_closed(stranger)
    authority = Authority(tmp_path)
    server, lab, other = authority.sign("node"), authority.sign("lab"), authority.sign("other")
    tls = {"cert": str(server.cert), "key": str(server.key), "ca": str(authority.ca)}
    with listening(tls=tls, senders=[{"host": "127.0.0.0/8", "certificate": "LAB"}]) as listener:
        context = ssl.create_default_context(cafile=str(authority.ca))
        context.load_cert_chain(lab.cert, lab.key)
        with Hl7Peer(listener.port, context=context) as peer:
            assert peer.send(GOOD).content == b"ack MSH|good 127.0.0.1,lab,localhost"
        context = ssl.create_default_context(cafile=str(authority.ca))
        context.load_cert_chain(other.cert, other.key)
        with Hl7Peer(listener.port, context=context) as peer:
            assert is_closed(peer)
        context = ssl.create_default_context(cafile=str(authority.ca))
        with pytest.raises((ssl.SSLError, ConnectionError)), Hl7Peer(listener.port, context=context) as peer:
            peer.send(GOOD)
        with pytest.raises((ConnectionError, AssertionError)), Hl7Peer(listener.port) as plain:
            plain.send(GOOD)


def test_peers_that_do_not_finish_their_handshake_keep_nobody_out(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = authority.sign("node")
    tls = {"cert": str(server.cert), "key": str(server.key), "require_client_cert": False}
    with listening(tls=tls, max_connections=2) as listener:
        silent = [socket.create_connection(("127.0.0.1", listener.port)) for _ in range(4)]
        context = ssl.create_default_context(cafile=str(authority.ca))
        with Hl7Peer(listener.port, context=context) as peer:
            assert peer.send(GOOD).content.startswith(b"ack")
        for connection in silent:
            connection.close()
        wait_until(lambda: threads() == 0)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    server = Authority(tmp_path).sign("node")
    server.key.chmod(0o644)
    tls = {"cert": str(server.cert), "key": str(server.key), "require_client_cert": False}
    with pytest.raises(ConfigError, match=r"clinical\.hl7\.tls.*can be read by others"), listening(tls=tls):
        pass


def test_neither_threads_nor_sockets_are_left_behind() -> None:
    with listening(max_connections=10) as listener:
        for _ in range(50):
            with Hl7Peer(listener.port) as peer:
                peer.send(GOOD)
        wait_until(lambda: threads() == 0 and not listener._connections)
