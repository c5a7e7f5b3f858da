"""Several processes receive on the one port of a node: they share its limits, and where one dies nothing is lost."""

from __future__ import annotations

import json
import signal
import socket
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import psutil
import pytest
from sqlalchemy import func, select

from dicomnode.store.engine import Store
from dicomnode.store.ops.audit import count_waiting
from dicomnode.store.tables import Association, Instance, Series
from tests.acceptance.orthanc import free_port
from tests.acceptance.served import ServedNode
from tests.integration.receive import peers
from tests.integration.receive.peers import ScriptedPeer, ct_slice, sent
from tests.integration.receive.world import wait_until

pytestmark = pytest.mark.timeout(600)

RECEIVERS, PLACES = 3, 4
SENDERS, SLICES = 12, 5
SUCCESS = 0
FULL = (2, 3, 2)
"""Rejected for now: the local limit is exceeded (DICOM PS3.8 table 9-21)."""


class Many:
    """A node that receives with several processes."""

    def __init__(self, folder: Path, url: str = "", **reception: int) -> None:
        self.served = ServedNode(
            folder,
            free_port(),
            [{"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": free_port()}],
            database_url=url,
            reception={"receivers": RECEIVERS, "settle_s": 0.2, "reserved_associations": 0, **reception},
            role="receive",
            operations={"audit": {"host": "localhost", "port": free_port(), "tls": {}}},
        )
        self.peers = ExitStack()
        self.store = Store(url or f"sqlite:///{folder}/data/node.db")

    def start(self) -> None:
        """Return once all listen."""
        listening = len(self.lines("listening"))
        self.served.start()
        wait_until(lambda: len(self.lines("listening")) == listening + RECEIVERS, 60)

    def lines(self, message: str) -> list[dict[str, object]]:
        """Of its log."""
        text = self.served.log.read_text() if self.served.log.exists() else ""
        every = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        return [line for line in every if line["message"] == message]

    def audited(self) -> int:
        """Messages that wait for the audit server."""
        with self.store.read() as session:
            return count_waiting(session)

    def processes(self) -> list[psutil.Process]:
        """The further receivers."""
        assert self.served.process is not None
        children = psutil.Process(self.served.process.pid).children()
        alive = [child for child in children if child.status() != psutil.STATUS_ZOMBIE]
        return [child for child in alive if "spawn_main" in " ".join(child.cmdline())]

    def peer(self, calling: str = "SCANNER") -> ScriptedPeer:
        """A connection, to whichever receiver gets it; closed when the test is over."""
        return self.peers.enter_context(ScriptedPeer(self.served.port, calling=calling, called=self.served.ae_title))

    def answer_to(self, calling: str) -> int:
        """Type of the PDU that answers a request; the connection is closed at once."""
        with ScriptedPeer(self.served.port, calling=calling, called=self.served.ae_title) as peer:
            return peer.request().type

    def receivers_of_associations(self) -> dict[str, str]:
        """Outcome of each association by the calling AE title, and who had it."""
        with self.store.read() as session:
            return {row.calling_ae: f"{row.receiver} {row.outcome}" for row in session.scalars(select(Association))}


@pytest.fixture
def many(tmp_path: Path, new_database: Callable[..., str]) -> Iterator[Many]:
    """Started."""
    node = Many(tmp_path, new_database(), max_associations=PLACES)
    with node.served, closing(node.store), node.peers:
        node.start()
        yield node


def in_any_database(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test with SQLite and with PostgreSQL."""
    return pytest.mark.parametrize("new_database", ["sqlite", "postgresql"], indirect=True)(test)


def in_sqlite(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test where the database makes no difference."""
    return pytest.mark.parametrize("new_database", ["sqlite"], indirect=True)(test)


def store_a_head(node: Many, number: int) -> list[int]:
    """Statuses of the slices of one series, sent by a scanner of its own once there is a place for it."""
    series = f"1.2.3.{number}"
    peer = node.peer(f"CT{number}")
    while peer.request().type != peers.ASSOCIATE_AC:
        # a scanner that knocks again at once keeps the node from making room, and runs out of sockets
        peer.socket.close()
        time.sleep(0.05)
        peer = node.peer(f"CT{number}")
    slices = (ct_slice(series_uid=series, number=at) for at in range(1, SLICES + 1))
    statuses = [sent(peer, ds) for ds in slices]
    peer.release()
    return statuses


@in_any_database
def test_what_many_scanners_send_at_once_is_stored_by_all_receivers_and_kept_once(many: Many) -> None:
    with ThreadPoolExecutor(SENDERS) as pool:
        statuses = list(pool.map(lambda number: store_a_head(many, number), range(SENDERS)))
    assert statuses == [[SUCCESS] * SLICES] * SENDERS
    with many.store.read() as session:
        assert session.scalar(select(func.count()).select_from(Instance)) == SENDERS * SLICES
        assert session.scalar(select(func.count()).select_from(Series)) == SENDERS
    wait_until(lambda: all(said.endswith(" released") for said in many.receivers_of_associations().values()), 30)
    assert len({said.split()[0] for said in many.receivers_of_associations().values()}) > 1
    files = [path for path in (many.served.folder / "data" / "spool").rglob("*.dcm")]
    assert len(files) == SENDERS * SLICES
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert {stat.S_IMODE(path.parent.stat().st_mode) for path in files} == {0o700}


@in_sqlite
def test_the_limit_of_associations_holds_over_all_receivers(many: Many) -> None:
    opened = [many.peer(f"CT{number}").associate() for number in range(PLACES)]
    for _ in range(8):
        answer = many.peer("LATE").request()
        assert (answer.type, tuple(answer.body[1:4])) == (peers.ASSOCIATE_RJ, FULL)
    opened[0].release()
    wait_until(lambda: many.peer("LATE").request().type == peers.ASSOCIATE_AC, 10)
    # The start of the node, and what each receiver that rejected said of it.
    wait_until(lambda: many.audited() == 1 + len(many.lines("association rejected")), 30)


@in_sqlite
def test_a_receiver_that_dies_is_started_again_and_its_associations_are_known_to_be_lost(many: Many) -> None:
    senders: list[ScriptedPeer] = []
    while len({said.split()[0] for said in many.receivers_of_associations().values()}) < 2:
        for peer in senders:
            peer.release()
        senders = [many.peer(f"CT{number}").associate() for number in range(PLACES)]
        assert [sent(peer, ct_slice()) for peer in senders] == [SUCCESS] * PLACES
    victims = many.processes()
    assert len(victims) == RECEIVERS - 1
    for victim in victims:
        victim.kill()
    psutil.wait_procs(victims, timeout=10)
    wait_until(lambda: many.answer_to("STILL") == peers.ASSOCIATE_AC, 10)
    wait_until(lambda: len(many.lines("listening")) == 2 * RECEIVERS - 1, 60)
    theirs = [said for said in many.receivers_of_associations().values() if "/" in said.split()[0].rpartition("#")[2]]
    assert theirs
    assert {said.split()[1] for said in theirs} <= {"lost", "released"}
    assert len(many.lines("a receiver died and is started again")) == RECEIVERS - 1
    assert {process.pid for process in many.processes()}.isdisjoint(victim.pid for victim in victims)


@in_sqlite
def test_all_end_with_their_node_and_its_next_start_heals_what_was_theirs(many: Many) -> None:
    children = many.processes()
    for number in range(PLACES):
        peer = many.peer(f"CT{number}").associate()
        peer.begin_store(peers.CT_IMAGE, f"1.2.3.{number}")
        peer.send_data(b"\0" * 500, last=False)
    half = many.served.folder / "data" / "spool" / "incoming"
    many.served.kill()
    psutil.wait_procs(children, timeout=10)
    assert not any(child.is_running() for child in children)
    many.start()
    assert [path for path in half.rglob("*") if path.is_file()] == []
    wait_until(lambda: len(many.processes()) == RECEIVERS - 1)
    children = many.processes()
    assert many.served.stop() == 0
    assert not any(child.is_running() for child in children)


@in_sqlite
def test_a_node_that_stops_does_not_wait_for_a_receiver_that_is_still_starting(many: Many) -> None:
    before = {child.pid for child in many.processes()}
    psutil.Process(next(iter(before))).kill()

    def started() -> list[psutil.Process]:
        return [child for child in many.processes() if child.pid not in before]

    wait_until(lambda: bool(started()))
    started()[0].suspend()
    began = time.monotonic()
    assert many.served.stop() == 0
    assert time.monotonic() - began < 30


@in_sqlite
def test_all_go_by_another_configuration(many: Many) -> None:
    config = many.served.config
    config.write_text(config.read_text() + '[[sender]]\nae_title = "CT1"\n')
    assert many.served.process is not None
    many.served.process.send_signal(signal.SIGHUP)

    def answers(calling: str) -> set[int]:
        return {many.answer_to(calling) for _ in range(12)}

    wait_until(lambda: answers("STRANGER") == {peers.ASSOCIATE_RJ}, 30)
    wait_until(lambda: answers("CT1") == {peers.ASSOCIATE_AC}, 30)


def test_a_port_that_another_process_shares_already_is_taken(tmp_path: Path) -> None:
    node = Many(tmp_path)
    with closing(node.store), socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", node.served.port))
        other.listen()
        node.served.write_config()
        ended = node.served.command("serve", "--role", "receive")
    assert (ended.returncode, "cannot listen" in ended.stderr) == (1, True)
