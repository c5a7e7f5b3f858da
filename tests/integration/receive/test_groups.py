"""Images of several associations in one transaction: Success is said when it is durable, a bad one costs itself."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from sqlalchemy.exc import DataError

from dicomnode.errors import ReceiveError
from dicomnode.receive.intake import Arrival, Intake, Peer
from dicomnode.receive.part10 import Origin, preamble_of
from dicomnode.receive.writer import GroupWriter
from dicomnode.store.engine import Store
from dicomnode.store.receive.receptions import Indexed
from tests.integration.receive import peers
from tests.integration.receive.peers import CT_IMAGE, VERIFICATION, ScriptedPeer, ct_slice, encoded, sent
from tests.integration.receive.world import Reception, wait_until
from tests.integration.store.fixture import both_databases

SUCCESS, OUT_OF_RESOURCES = 0x0000, 0xA700


def arrival(reception: Reception, number: int, peer: Peer, *, series: str = "1.2.3.1.1") -> Arrival:
    return arrival_of(reception, ct_slice(series_uid=series, number=number), peer)


def arrival_of(reception: Reception, ds: Dataset, peer: Peer) -> Arrival:
    origin = Origin(CT_IMAGE, ds.SOPInstanceUID, peers.EXPLICIT_LE, peer.calling_ae, "NODE")
    incoming = reception.spool.open(preamble_of(origin))
    incoming.write(encoded(ds))
    return Arrival(incoming=incoming, origin=origin, peer=peer)


def peer(name: str) -> Peer:
    return Peer(receiver="receiver-1", calling_ae=name, called_ae="NODE", address="127.0.0.1")


@both_databases
def test_a_group_of_two_senders_and_two_series_is_one_transaction(reception: Reception) -> None:
    first, second = peer("CT1"), peer("CT2")
    group = [arrival(reception, number, first) for number in (1, 2, 3)]
    group += [arrival(reception, number, second, series="1.2.3.1.0") for number in (1, 2)]
    begun: list[int] = []
    write = reception.store.write
    reception.store.write = lambda: begun.append(1) or write()  # type: ignore[method-assign]
    assert reception.scp._intake.take_all(group) == [Indexed.NEW] * 5
    assert len(begun) == 1
    assert {(row.calling_ae, row.instances) for row in reception.associations()} == {("CT1", 3), ("CT2", 2)}
    assert len(reception.files()) == len(reception.instances()) == 5
    assert not reception.half_files()


def test_the_same_image_twice_in_a_group_is_one_row(reception: Reception) -> None:
    ds = ct_slice(sop_uid="1.2.3.1.1.7")
    one, other = (arrival_of(reception, ds, peer(name)) for name in ("CT1", "CT2"))
    assert reception.scp._intake.take_all([one, other]) == [Indexed.NEW, Indexed.DUPLICATE]
    assert len(reception.instances()) == len(reception.files()) == 1


@pytest.fixture
def sqlite_reception(
    sqlite_template: Path, tmp_path: Path, new_reception: Callable[..., Reception]
) -> Iterator[Reception]:
    store = Store(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'node.db')}")
    yield new_reception(store, max_associations=3)
    store.close()


def test_what_fails_in_a_group_costs_the_others_nothing(
    sqlite_reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = [arrival(sqlite_reception, number, peer("CT1")) for number in (1, 2, 3)]
    index = Intake._index

    def spoiled(intake: Intake, placed: dict) -> dict:
        if group[1] in placed:
            raise DataError("", {}, ValueError("a value that no column takes"))
        return index(intake, placed)

    monkeypatch.setattr(Intake, "_index", spoiled)
    outcomes = sqlite_reception.scp._intake.take_all(group)
    assert [type(outcome) for outcome in outcomes] == [Indexed, DataError, Indexed]
    assert len(sqlite_reception.instances()) == 2


def test_a_disk_that_does_not_keep_a_file_is_told_though_it_says_that_all_is_well_when_asked_again(
    sqlite_reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = arrival(sqlite_reception, 1, peer("CT1")), arrival(sqlite_reception, 2, peer("CT1"))
    fsync, failed = os.fsync, bad.incoming._file.fileno()

    def once(descriptor: int) -> None:
        nonlocal failed
        if descriptor == failed:
            failed = -1
            raise OSError(5, "Input/output error")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", once)
    told: list = []
    writer = GroupWriter(sqlite_reception.scp._intake)
    for one in (good, bad):
        writer.submit(one, told.append)
    writer.start()
    writer.stop()
    assert told[0] is Indexed.NEW
    assert isinstance(told[1], ReceiveError)
    assert told[1].status == OUT_OF_RESOURCES
    assert len(sqlite_reception.instances()) == len(sqlite_reception.files()) == 1
    assert not sqlite_reception.half_files()


def test_success_waits_for_the_transaction_of_the_group(
    sqlite_reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go, index = threading.Event(), Intake._index
    monkeypatch.setattr(Intake, "_index", lambda intake, placed: may_go.wait(90) and index(intake, placed))
    with ScriptedPeer(sqlite_reception.port) as one, ScriptedPeer(sqlite_reception.port) as other:
        for number, scripted in enumerate((one, other)):
            scripted.associate()
            ds = ct_slice(number=number)
            scripted.begin_store(CT_IMAGE, ds.SOPInstanceUID)
            scripted.send_data(encoded(ds), last=True)
        one.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            one.receive_status()
        # What waits for the disk holds up nobody who asks for nothing of it.
        with ScriptedPeer(sqlite_reception.port) as third:
            assert third.associate([VERIFICATION]).echo() == SUCCESS
        may_go.set()
        one.socket.settimeout(20)
        assert [one.receive_status(), other.receive_status()] == [SUCCESS, SUCCESS]


def test_silent_connections_and_idle_associations_keep_nobody_else_out(sqlite_reception: Reception) -> None:
    silent = [socket.create_connection(("127.0.0.1", sqlite_reception.port)) for _ in range(100)]
    idle = [ScriptedPeer(sqlite_reception.port, calling="HOG").associate() for _ in range(3)]
    with ScriptedPeer(sqlite_reception.port, calling="HOG") as more:
        assert more.request().type == peers.ASSOCIATE_RJ
    with ScriptedPeer(sqlite_reception.port, calling="HOG") as echo:
        assert echo.associate([VERIFICATION]).echo() == SUCCESS
    with ScriptedPeer(sqlite_reception.port, calling="CT") as honest:
        assert sent(honest.associate(), ct_slice()) == SUCCESS
        honest.release()
    for connection in (*silent, *(peer.socket for peer in idle)):
        connection.close()
    wait_until(lambda: not sqlite_reception.scp._server.open_lines(), 90)


def test_a_crowd_of_one_address_that_asks_for_nothing_makes_room(
    sqlite_reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicomnode.receive.network.MAX_WAITING_PER_ADDRESS", 5)
    monkeypatch.setattr("dicomnode.receive.network.MAKES_ROOM_S", 0.0)
    silent = [socket.create_connection(("127.0.0.1", sqlite_reception.port)) for _ in range(5)]
    with ScriptedPeer(sqlite_reception.port) as honest:
        assert sent(honest.associate(), ct_slice()) == SUCCESS
    silent[0].settimeout(20)
    assert silent[0].recv(1) == b""
    for connection in silent:
        connection.close()
