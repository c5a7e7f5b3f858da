"""Disk, database and process fail; what was acknowledged is there, and nothing is there by halves."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from dicomnode.receive.intake import Peer
from dicomnode.receive.part10 import Origin, data_offset_of, preamble_of
from dicomnode.receive.spool import INCOMING
from dicomnode.receive.sweep import sweep
from dicomnode.store.engine import Store
from dicomnode.store.receive.receptions import open_association
from dicomnode.store.tables import Instance
from tests.integration.receive import peers
from tests.integration.receive.peers import CT_IMAGE, ScriptedPeer, ct_slice, encoded, sent
from tests.integration.receive.world import Reception, sha256, wait_until
from tests.integration.store.fixture import both_databases

SUCCESS, OUT_OF_RESOURCES = 0x0000, 0xA700


@contextlib.contextmanager
def outage(store: Store) -> Iterator[None]:
    """The database is away: its file cannot be opened; its server lets no one in."""
    url = make_url(store.url)
    if url.get_backend_name() == "sqlite":
        database = Path(str(url.database))
        away = database.with_suffix(".away")
        nowhere = database.with_suffix(".nowhere")
        nowhere.symlink_to(database.parent / "no folder" / "node.db")
        away.hardlink_to(database)
        store.engine.dispose()
        # In one step each, so that nobody finds no file there and begins an empty one.
        nowhere.replace(database)
        yield
        away.replace(database)
        return
    server = create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {url.database} ALLOW_CONNECTIONS false"))
        connection.execute(
            text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{url.database}'")
        )
        yield
        connection.execute(text(f"ALTER DATABASE {url.database} ALLOW_CONNECTIONS true"))
    server.dispose()


@both_databases
def test_a_database_that_is_away_is_told_as_out_of_resources_and_a_retry_succeeds_failure_mode_06(
    reception: Reception,
) -> None:
    first, second = ct_slice(number=1), ct_slice(number=2)
    with ScriptedPeer(reception.port) as peer:
        peer.associate()
        assert sent(peer, first) == SUCCESS
        with outage(reception.store):
            assert sent(peer, second) == OUT_OF_RESOURCES
            assert sent(peer, first) == OUT_OF_RESOURCES
        assert [sent(peer, second), sent(peer, first)] == [SUCCESS, SUCCESS]
        peer.release()
    assert {row.sop_instance_uid for row in reception.instances()} == {first.SOPInstanceUID, second.SOPInstanceUID}
    assert [str(path) for path in reception.files()] == sorted(row.path for row in reception.instances())
    assert not reception.half_files()
    assert reception.ended_association().instances == 3


def test_an_association_that_ends_while_the_database_is_away_is_ended_later(reception: Reception) -> None:
    peer = ScriptedPeer(reception.port).associate()
    assert sent(peer, ct_slice()) == SUCCESS
    with outage(reception.store):
        peer.release()
        wait_until(lambda: reception.scp.associations == 0)
    assert reception.ended_association().outcome == "released"


def test_a_start_indexes_what_was_renamed_but_not_indexed(
    reception: Reception, new_reception: Callable[..., Reception]
) -> None:
    plain, report, hostile = ct_slice(), ct_slice(series_uid="1.2.3.1.2"), encoded(ct_slice())[:300]
    report.SOPClassUID = peers.DOSE_REPORT
    expected = _rows_after(reception, plain, report, hostile)
    with reception.store.write() as session:
        session.execute(text("DELETE FROM instance"))
    reception.scp.stop()
    restarted = new_reception(reception.store)
    assert _rows(restarted) == expected
    assert all(row.association_id is None for row in restarted.instances())
    assert all(series.due_at is not None for series in restarted.series())
    assert sweep(restarted.store, restarted.spool, settle_s=1, max_instances=10_000).indexed == 0


def _rows_after(reception: Reception, plain: object, report: object, hostile: bytes) -> set[tuple]:
    with ScriptedPeer(reception.port) as peer:
        peer.associate([CT_IMAGE, peers.DOSE_REPORT])
        assert [sent(peer, plain), sent(peer, report)] == [SUCCESS, SUCCESS]
        assert peer.store(CT_IMAGE, "../../hostile", hostile) == SUCCESS
        peer.release()
    reception.ended_association()
    return _rows(reception)


def _rows(reception: Reception) -> set[tuple]:
    """What identifies each row, however it came about."""
    return {
        (
            row.sop_instance_uid,
            row.sop_class_uid,
            row.study_uid,
            row.series_uid,
            row.transfer_syntax_uid,
            row.path,
            row.digest,
            row.size_bytes,
            row.status,
            row.reason,
            str(sorted(row.header.items())),
        )
        for row in reception.instances()
    }


def test_a_refused_instance_that_nobody_sends_again_is_found_by_the_next_sweep(reception: Reception) -> None:
    with ScriptedPeer(reception.port) as peer:
        peer.associate()
        with outage(reception.store):
            assert sent(peer, ct_slice()) == OUT_OF_RESOURCES
    assert sweep(reception.store, reception.spool, settle_s=1, max_instances=10_000, min_age_s=3600).indexed == 0
    assert sweep(reception.store, reception.spool, settle_s=1, max_instances=10_000).indexed == 1
    assert len(reception.instances()) == 1


def test_a_sweep_tells_of_missing_and_foreign_files_and_touches_neither(reception: Reception) -> None:
    with ScriptedPeer(reception.port) as peer:
        peer.associate()
        assert [sent(peer, ct_slice(number=n)) for n in (1, 2)] == [SUCCESS, SUCCESS]
    gone, kept = reception.instances()
    (reception.spool.root / gone.path).unlink()
    foreign = (reception.spool.root / kept.path).with_name("1.2.3.dcm")
    foreign.write_bytes(b"not from here")
    misplaced = foreign.with_name("4.5.6.0123456789abcdef.dcm")
    shutil.copy(reception.spool.root / kept.path, misplaced)
    swept = sweep(reception.store, reception.spool, settle_s=1, max_instances=10_000)
    assert (swept.indexed, swept.foreign, swept.missing) == (0, 2, 1)
    assert foreign.exists()
    assert len(reception.instances()) == 2


def test_a_purged_file_is_not_missing_and_may_come_again(reception: Reception) -> None:
    ds = ct_slice()
    with ScriptedPeer(reception.port) as peer:
        peer.associate()
        assert sent(peer, ds) == SUCCESS
        (row,) = reception.instances()
        (reception.spool.root / row.path).unlink()
        with reception.store.write() as session:
            session.get_one(Instance, row.id).status = "purged"
        assert sweep(reception.store, reception.spool, settle_s=1, max_instances=10_000).missing == 0
        assert sent(peer, ds) == SUCCESS
    (row,) = reception.instances()
    assert row.status == "used"
    assert (reception.spool.root / row.path).exists()


@both_databases
def test_a_start_closes_its_own_lost_associations_only(store: Store, new_reception: Callable[..., Reception]) -> None:
    with store.write() as session:
        for receiver in ("receiver-1", "receiver-2"):
            open_association(session, receiver=receiver, calling_ae="A", called_ae="B", peer_address="::1")
    reception = new_reception(store, owner="receiver-1")
    assert [row.outcome for row in reception.associations()] == ["lost", "open"]


def test_a_start_removes_its_own_half_files_only(store: Store, tmp_path: Path, new_reception: object) -> None:
    incoming = tmp_path / "data" / "spool" / INCOMING
    for owner in ("receiver-1", "receiver-2"):
        (incoming / owner).mkdir(parents=True)
        (incoming / owner / "0.part").write_bytes(b"half")
    reception = new_reception(store, owner="receiver-1")
    assert reception.half_files() == [incoming / "receiver-2" / "0.part"]


@both_databases
def test_a_sweep_beside_a_running_reception_indexes_nothing_twice(reception: Reception) -> None:
    done = threading.Event()

    def sweep_on() -> None:
        while not done.is_set():
            sweep(reception.store, reception.spool, settle_s=1, max_instances=10_000)

    sweeper = threading.Thread(target=sweep_on)
    sweeper.start()
    with ScriptedPeer(reception.port) as peer:
        peer.associate()
        statuses = [sent(peer, ct_slice(number=number)) for number in range(30)]
        peer.release()
    done.set()
    sweeper.join()
    assert statuses == [SUCCESS] * 30
    assert len(reception.instances()) == len(reception.files()) == 30


def test_intake_commits_before_the_database_is_asked(reception: Reception) -> None:
    ds = ct_slice()
    origin = Origin(CT_IMAGE, ds.SOPInstanceUID, peers.EXPLICIT_LE, "SCANNER", "NODE")
    incoming = reception.spool.open(preamble_of(origin))
    incoming.write(encoded(ds))
    peer = Peer(receiver="receiver-1", calling_ae="SCANNER", called_ae="NODE", address="127.0.0.1")
    with outage(reception.store), pytest.raises(Exception, match="database") as refused:
        reception.scp._intake.take(incoming, origin, peer)
    assert refused.value.status == OUT_OF_RESOURCES
    assert peer.association_id is None
    assert len(reception.files()) == 1


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_reception_has_all_that_it_acknowledged_failure_mode_03(
    new_database: Callable[..., str], tmp_path: Path, seed: int
) -> None:
    url, data_dir = new_database(), tmp_path / "killed"
    kill_after_s = random.Random(seed).uniform(0.05, 0.6)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.receive.receiving_process", url, str(data_dir)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert process.stdout is not None
    port = int(process.stdout.readline())
    threading.Timer(kill_after_s, process.send_signal, [signal.SIGKILL]).start()
    acknowledged = _send_until_killed(port)
    assert process.wait(90) == -signal.SIGKILL
    process.stdout.close()
    store = Store(url)
    restarted = Reception(store, data_dir, owner="receiver-1", senders=())
    try:
        rows = {row.sop_instance_uid: row for row in restarted.instances()}
        for uid, data_set in acknowledged.items():
            file = restarted.spool.root / rows[uid].path
            assert sha256(file.read_bytes()[data_offset_of(file) :]) == rows[uid].digest == sha256(data_set)
        assert len(rows) == len(restarted.files())
        assert not restarted.half_files()
        assert {row.outcome for row in restarted.associations()} <= {"lost"}
    finally:
        restarted.scp.stop()
        store.close()


def _send_until_killed(port: int) -> dict[str, bytes]:
    acknowledged = {}
    with ScriptedPeer(port) as peer, contextlib.suppress(ConnectionError, peers.Closed, peers.Aborted):
        peer.associate()
        for number in range(10_000):
            ds = ct_slice(number=number, rows=64)
            if sent(peer, ds) == SUCCESS:
                acknowledged[ds.SOPInstanceUID] = encoded(ds)
    return acknowledged
