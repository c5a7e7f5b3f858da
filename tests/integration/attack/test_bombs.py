"""What is small on the wire and large for its reader is kept, refused with its code, and costs nobody else anything."""

from __future__ import annotations

import io
import shutil
import signal
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from pydicom.uid import ImplicitVRLittleEndian

from dicomnode.dicom.bounded import MAX_HEADER_BYTES, inflated
from dicomnode.errors import Refusal, SeriesError, WorkerCrashed
from dicomnode.execute.child import ChildProcess
from dicomnode.execute.digests import PROGRAM
from dicomnode.execute.limits import reading, refusal_of_death
from dicomnode.execute.tasks import DigestReply, DigestTask, Failure, ReadTask, Source
from dicomnode.images.codestream import size_of
from dicomnode.images.pixels import stored_values
from dicomnode.images.volume import read_series
from dicomnode.receive.part10 import Origin, preamble_of
from dicomnode.store.engine import Store
from dicomnode.store.history.events import events_of
from tests.integration.attack import bombs
from tests.integration.attack.bombs import MIB, Bomb, all_bombs
from tests.integration.receive.peers import CT_IMAGE, VERIFICATION, ScriptedPeer, ct_slice, encoded, sent
from tests.integration.receive.world import Reception, sha256
from tests.unit.images.test_volume import one

SUCCESS = 0x0000
BOMBS = all_bombs()
TOO_LARGE = Refusal.HEADER_TOO_LARGE


def named(bomb: Bomb) -> str:
    return bomb.name


@pytest.fixture
def reception(sqlite_template: Path, tmp_path: Path, new_reception: Callable[..., Reception]) -> Iterator[Reception]:
    store = Store(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'node.db')}")
    yield new_reception(store)
    store.close()


def spooled(folder: Path, bomb: Bomb) -> Path:
    path = folder / f"{bomb.sop_instance_uid}.dcm"
    path.write_bytes(preamble_of(Origin(CT_IMAGE, bomb.sop_instance_uid, bomb.syntax, "CT", "NODE")) + bomb.data_set)
    return path


def echo_s(port: int) -> float:
    """Seconds until a new association had its C-ECHO answered."""
    began = time.monotonic()
    with ScriptedPeer(port) as peer:
        assert peer.associate([VERIFICATION]).echo() == SUCCESS
        peer.release()
    return time.monotonic() - began


def test_reception_keeps_every_bomb_and_stays_small_and_quick(reception: Reception, tmp_path: Path) -> None:
    made = {bomb.name: bomb.data_set for bomb in BOMBS}
    process, before = psutil.Process(), psutil.Process().memory_info().rss
    for bomb in BOMBS:
        with ScriptedPeer(reception.port) as peer:
            peer.associate(syntaxes=[bomb.syntax])
            began = time.process_time()
            assert peer.store(CT_IMAGE, bomb.sop_instance_uid, made[bomb.name]) == SUCCESS, bomb.name
            assert time.process_time() - began < 3, bomb.name
            peer.release()
        assert echo_s(reception.port) < 1, bomb.name
    assert process.memory_info().rss - before < 320 * MIB
    rows = {row.sop_instance_uid: row for row in reception.instances()}
    for bomb in BOMBS:
        row = rows[bomb.sop_instance_uid]
        assert row.digest == sha256(bomb.data_set)
        assert (reception.spool.root / row.path).stat().st_size == row.size_bytes
        assert (row.reason == "") is bomb.kept, (bomb.name, row.reason)
        assert bomb.kept or row.reason in (TOO_LARGE, Refusal.UNREADABLE), (bomb.name, row.reason)
    assert (tmp_path / "node.db").stat().st_size < 2 * MIB


@pytest.mark.parametrize(
    "bomb",
    [
        bombs.many_elements("1.2.3.4"),
        bombs.many_keywords("1.2.3.4"),
        bombs.deflated_header("1.2.3.4"),
        bombs.deep("1.2.3.4"),
    ],
    ids=named,
)
def test_a_header_that_is_too_large_is_refused_with_its_code_in_log_and_history(
    reception: Reception, caplog: pytest.LogCaptureFixture, bomb: Bomb
) -> None:
    with ScriptedPeer(reception.port) as peer:
        peer.associate(syntaxes=[bomb.syntax])
        assert peer.store(CT_IMAGE, bomb.sop_instance_uid, bomb.data_set) == SUCCESS
    (row,) = reception.instances()
    expected = {TOO_LARGE, Refusal.UNREADABLE} if bomb.name == "deep sequences" else {TOO_LARGE}
    assert (row.status, row.reason) in {("not_used", reason.value) for reason in expected}
    told = [vars(record) for record in caplog.records if "instance" in record.getMessage()]
    assert len(told) == 1
    with reception.store.read() as session:
        events = events_of(session, bomb.sop_instance_uid)
    assert row.reason in [event.name for event in events]


def test_what_stands_in_front_of_a_flood_still_names_the_study(reception: Reception) -> None:
    flood = bombs.element(0x0029, 0x1001, b"LO", b"") * 100_000
    ds = ct_slice(sop_uid="1.2.3.1.1.1")
    head, pixels = encoded(ds)[: -2048 - 12], encoded(ds)[-2048 - 12 :]
    with ScriptedPeer(reception.port) as peer:
        assert peer.associate().store(CT_IMAGE, "1.2.3.1.1.1", head + flood + pixels) == SUCCESS
    (row,) = reception.instances()
    assert (row.study_uid, row.series_uid, row.reason) == ("1.2.3.1", "1.2.3.1.1", TOO_LARGE)


def test_a_large_private_header_is_no_obstacle(reception: Reception) -> None:
    ds = ct_slice(sop_uid="1.2.3.1.1.1")
    ds.add_new(0x00290010, "LO", "ACME")
    ds.add_new(0x00291001, "OB", bytes(3 * MIB))
    for number in range(0x1002, 0x10FF):
        ds.add_new((0x0029, number), "LO", "x" * 60)
    with ScriptedPeer(reception.port) as peer:
        assert sent(peer.associate(), ds) == SUCCESS
    assert [row.status for row in reception.instances()] == ["used"]


def test_a_series_has_an_end(sqlite_template: Path, tmp_path: Path, new_reception: Callable[..., Reception]) -> None:
    store = Store(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'node.db')}")
    reception = new_reception(store, max_series_instances=5)
    with ScriptedPeer(reception.port) as peer:
        peer.associate()
        assert [sent(peer, ct_slice(number=number)) for number in range(8)] == [SUCCESS] * 8
        assert sent(peer, ct_slice(series_uid="1.2.3.1.2")) == SUCCESS
    rows = reception.instances()
    assert [row.reason for row in rows] == [""] * 5 + ["too_many_instances"] * 3 + [""]
    assert all((reception.spool.root / row.path).exists() for row in rows)
    assert [row.header for row in rows[5:8]] == [{}] * 3
    with store.read() as session:
        assert [event.name for event in events_of(session, "1.2.3.1")].count("too_many_instances") == 1
    store.close()


@pytest.fixture(scope="module")
def digest_worker() -> Iterator[ChildProcess]:
    child = ChildProcess(PROGRAM, None, start_timeout_s=120)
    child.start()
    yield child
    child.kill()


@pytest.mark.parametrize("bomb", BOMBS, ids=named)
def test_copies_are_decoded_in_a_bounded_process(digest_worker: ChildProcess, tmp_path: Path, bomb: Bomb) -> None:
    reply = digest_worker.ask(DigestTask(spooled(tmp_path, bomb)), timeout_s=60)
    assert isinstance(reply, DigestReply)
    # A whole image behind many items, which are too many for whoever looks into the sequence.
    assert reply.digest == "unreadable"
    peak_kib = next(
        int(line.split()[1])
        for line in Path(f"/proc/{digest_worker.pid}/status").read_text().splitlines()
        if line.startswith("VmHWM")
    )
    assert peak_kib < 500 << 10


@pytest.mark.parametrize("bomb", [bomb for bomb in BOMBS if bomb.kept and bomb.name != "defined items"], ids=named)
def test_a_slice_that_is_a_bomb_refuses_its_series_with_a_code(tmp_path: Path, bomb: Bomb) -> None:
    with pytest.raises(SeriesError) as refused, reading(1):
        read_series([spooled(tmp_path, bomb)])
    assert refused.value.refusal in (Refusal.IMPLAUSIBLE_SIZE, Refusal.EXPANDS_TOO_FAR, Refusal.UNREADABLE)


def test_more_memory_than_images_need_is_a_refusal_and_the_limit_ends_with_it() -> None:
    with pytest.raises(SeriesError) as refused, reading(1):
        bytearray(4 << 30)
    assert refused.value.refusal == Refusal.EXPANDS_TOO_FAR
    assert len(bytearray(1 << 20)) == 1 << 20


def test_more_time_than_images_need_ends_the_process_and_refuses_the_images() -> None:
    child = ChildProcess("tests.integration.attack.spinning_worker", None, start_timeout_s=60)
    child.start()
    with pytest.raises(WorkerCrashed) as crashed:
        child.ask(DigestTask(Path("any")), timeout_s=60)
    assert crashed.value.by_signal == signal.SIGXCPU
    refusal = refusal_of_death(crashed.value.by_signal)
    assert refusal is not None
    assert refusal.refusal == Refusal.EXPANDS_TOO_FAR


def test_a_crash_of_a_decoder_is_the_images_own_and_a_kill_is_not() -> None:
    assert refusal_of_death(signal.SIGSEGV).refusal == Refusal.UNREADABLE  # type: ignore[union-attr]
    assert refusal_of_death(signal.SIGKILL) is None
    assert refusal_of_death(0) is None


def test_no_more_is_inflated_than_is_asked_for() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(bytes(3 * MIB)) + packer.flush()
    assert inflated(io.BytesIO(packed), 3 * MIB) == (bytes(3 * MIB), True)
    assert inflated(io.BytesIO(packed), MIB) == (bytes(MIB), False)
    assert len(inflated(io.BytesIO(packed), MAX_HEADER_BYTES)[0]) == 3 * MIB


@pytest.mark.parametrize("keyword", ["Rows", "Columns", "NumberOfFrames", "BitsAllocated"])
def test_a_size_that_no_ct_image_has_is_refused_before_it_is_decoded(keyword: str) -> None:
    ds = one()
    setattr(ds, keyword, 60_000)
    with pytest.raises(SeriesError) as refused:
        stored_values(ds)
    assert refused.value.refusal in (Refusal.IMPLAUSIBLE_SIZE, Refusal.MULTI_FRAME, Refusal.UNREADABLE)


def test_the_size_in_a_codestream_is_read_whatever_stands_in_front_of_it() -> None:
    wrapped = bytes(10) + b"\xff\x4f\xff\x51" + struct.pack(">HHLLLLLLLLH", 41, 0, 520, 530, 8, 18, 9, 9, 0, 0, 1)
    assert size_of(wrapped) == (512, 512, 1)
    assert size_of(wrapped[:40]) is None
    assert size_of(b"\xff\xd8\xff\xe0\x00\x04ab\xff\xff\xc3\x00\x0b\x10\x00\x08\x00\x10\x01\x01\x11\x00") == (8, 16, 1)
    assert size_of(b"\xff\xd8\xff\xc4\x00\x02\xff\xda") is None
    assert size_of(b"no codestream") is None


def test_an_implicit_header_is_bounded_like_any(reception: Reception) -> None:
    flood = struct.pack("<HHL", 0x0009, 0x1001, 0) * 50_000
    body = encoded(ct_slice(sop_uid="1.2.3.1.1.1"), ImplicitVRLittleEndian)
    with ScriptedPeer(reception.port) as peer:
        peer.associate(syntaxes=[ImplicitVRLittleEndian])
        assert peer.store(CT_IMAGE, "1.2.3.1.1.1", flood + body) == SUCCESS
    assert [row.reason for row in reception.instances()] == [TOO_LARGE]


def test_a_failed_job_is_a_refusal_where_a_file_is_the_case_worker_s_death(tmp_path: Path) -> None:
    child = ChildProcess("dicomnode.execute.case_worker", None, start_timeout_s=120)
    child.start()
    paths = tuple(
        spooled(tmp_path, bomb) for bomb in BOMBS if bomb.name in ("deflated pixels", "JPEG 2000 of other size")
    )
    reply = child.ask(ReadTask(Source(paths, paths[0]), tmp_path / "volume.npz"), timeout_s=120)
    child.kill()
    assert isinstance(reply, Failure)
    assert reply.refusal in (Refusal.IMPLAUSIBLE_SIZE, Refusal.EXPANDS_TOO_FAR)
