"""What a peer sends is kept, bit by bit, before it hears Success; on SQLite and on PostgreSQL."""

from __future__ import annotations

import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, generate_uid

from dicomnode.dicom.contexts import STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES
from dicomnode.dicom.equipment import MANUFACTURER, MODEL_NAME
from dicomnode.receive.part10 import data_offset_of
from dicomnode.store.engine import Store
from dicomnode.store.history.events import events_of
from dicomnode.store.tables import Job, Result, Series
from tests.integration.receive import peers
from tests.integration.receive.peers import CT_IMAGE, ScriptedPeer, ct_slice, encoded, sent
from tests.integration.receive.world import Reception, sha256, wait_until
from tests.integration.store.fixture import both_databases, sqlite_only

SUCCESS, OUT_OF_RESOURCES = 0x0000, 0xA700


def data_set_of(reception: Reception, path: str) -> bytes:
    file = reception.spool.root / path
    return file.read_bytes()[data_offset_of(file) :]


@both_databases
def test_a_series_is_on_disk_and_indexed_before_success_failure_mode_03(reception: Reception) -> None:
    with ScriptedPeer(reception.port) as peer:
        peer.associate()
        slices = [ct_slice(number=number) for number in range(1, 6)]
        for count, ds in enumerate(slices, 1):
            assert sent(peer, ds) == SUCCESS
            assert len(reception.instances()) == count
        peer.release()
    for row, ds in zip(reception.instances(), slices, strict=True):
        assert data_set_of(reception, row.path) == encoded(ds)
        assert (row.sop_instance_uid, row.status, row.reason) == (ds.SOPInstanceUID, "used", "")
        assert row.digest == sha256(encoded(ds))
        assert row.path == f"1.2.3.1/1.2.3.1.1/{ds.SOPInstanceUID}.{row.digest[:16]}.dcm"
        assert row.size_bytes == (reception.spool.root / row.path).stat().st_size
    association = reception.ended_association()
    assert (association.calling_ae, association.called_ae) == ("SCANNER", "NODE")
    assert (association.outcome, association.instances, association.peer_address) == ("released", 5, "127.0.0.1")
    (series,) = reception.series()
    assert (series.status, series.modality, series.sender_ae) == ("receiving", "CT", "SCANNER")
    assert series.accession_number == "A1"
    assert not reception.half_files()


def test_the_file_meta_information_tells_syntax_and_sender(reception: Reception) -> None:
    ds = ct_slice()
    with ScriptedPeer(reception.port, calling="CT 7") as peer:
        peer.associate(syntaxes=[peers.IMPLICIT_LE])
        assert peer.store(CT_IMAGE, ds.SOPInstanceUID, encoded(ds, peers.IMPLICIT_LE)) == SUCCESS
        peer.release()
    (row,) = reception.instances()
    kept = dcmread(reception.spool.root / row.path)
    assert kept.file_meta.TransferSyntaxUID == row.transfer_syntax_uid == peers.IMPLICIT_LE
    assert kept.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
    assert kept.file_meta.SourceApplicationEntityTitle == "CT 7"
    assert kept == ds


def test_the_header_of_the_row_holds_no_person(reception: Reception) -> None:
    with ScriptedPeer(reception.port) as peer:
        assert sent(peer.associate(), ct_slice()) == SUCCESS
    (row,) = reception.instances()
    assert row.header["Rows"] == 32
    assert "Muster" not in str(row.header)
    assert "P4711" not in str(row.header)


def test_the_same_bytes_twice_are_one_row_and_success_failure_mode_09(reception: Reception) -> None:
    ds = ct_slice()
    for _ in range(2):
        with ScriptedPeer(reception.port) as peer:
            assert sent(peer.associate(), ds) == SUCCESS
            peer.release()
    assert len(reception.instances()) == len(reception.files()) == 1
    assert not reception.half_files()


def test_the_same_bytes_from_another_sender_are_the_same_instance(reception: Reception) -> None:
    ds = ct_slice()
    for calling in ("SCANNER", "WORKSTATION"):
        with ScriptedPeer(reception.port, calling=calling) as peer:
            assert sent(peer.associate(), ds) == SUCCESS
    assert len(reception.instances()) == len(reception.files()) == 1


@both_databases
def test_the_same_uid_with_other_bytes_is_kept_beside_failure_mode_09(reception: Reception) -> None:
    ds, other = ct_slice(sop_uid="1.2.3.1.1.1"), ct_slice(sop_uid="1.2.3.1.1.1")
    other.PatientName = "Muster^Erika Maria"
    with ScriptedPeer(reception.port) as peer:
        peer.associate()
        assert [sent(peer, ds), sent(peer, other)] == [SUCCESS, SUCCESS]
    rows = reception.instances()
    assert len(rows) == len(reception.files()) == 2
    assert [data_set_of(reception, row.path) for row in rows] == [encoded(ds), encoded(other)]


def test_dose_reports_label_maps_and_private_objects_are_kept_but_not_used_failure_mode_12(
    reception: Reception,
) -> None:
    classes = [peers.DOSE_REPORT, peers.LABEL_MAP, peers.PRIVATE_STORAGE, "1.2.840.10008.5.1.4.1.1.9999"]
    with ScriptedPeer(reception.port) as peer:
        peer.associate([CT_IMAGE, *classes])
        assert len(peer.accepted) == 5
        for sop_class in classes:
            ds = ct_slice(series_uid="1.2.3.1.2")
            ds.SOPClassUID = sop_class
            assert sent(peer, ds) == SUCCESS
        assert sent(peer, ct_slice()) == SUCCESS
        peer.release()
    rows = reception.instances()
    assert [row.sop_class_uid for row in rows] == [*classes, CT_IMAGE]
    assert [(row.status, row.reason) for row in rows] == [("not_used", "not_ct")] * 4 + [("used", "")]


@sqlite_only
def test_every_storage_class_of_the_standard_is_accepted(reception: Reception) -> None:
    for start in range(0, len(STORAGE_SOP_CLASSES), 100):  # an association has room for 128 contexts
        batch = STORAGE_SOP_CLASSES[start : start + 100]
        with ScriptedPeer(reception.port) as peer:
            peer.associate(batch)
            assert len(peer.accepted) == len(batch)
            peer.abort()


@sqlite_only
def test_services_other_than_storage_are_not_accepted(reception: Reception) -> None:
    find, commitment = "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.1.20.1"
    with ScriptedPeer(reception.port) as peer:
        peer.associate([find, commitment, CT_IMAGE])
        assert list(peer.accepted) == [5]


def test_multi_frame_and_empty_images_are_kept_with_their_reason(reception: Reception) -> None:
    enhanced, frames, empty = (ct_slice(series_uid=f"1.2.3.1.{n}") for n in (2, 3, 4))
    enhanced.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    frames.NumberOfFrames = 2
    del empty.PixelData
    with ScriptedPeer(reception.port) as peer:
        peer.associate([CT_IMAGE, enhanced.SOPClassUID])
        assert [sent(peer, ds) for ds in (enhanced, frames, empty)] == [SUCCESS] * 3
    assert [row.reason for row in reception.instances()] == ["multi_frame", "multi_frame", "no_pixels"]


@both_databases
@pytest.mark.parametrize(
    ("data_set", "what"),
    [
        (b"\x89PNG\r\n\x1a\n" * 64, "no DICOM at all"),
        (b"\x08\x00\x05\x00CS", "cut off in its first element"),
        (struct.pack("<HH2sHL", 8, 5, b"OB", 0, 0xFFFFFFF0) + b"x" * 100, "an element longer than the file"),
        (struct.pack("<HHL", 8, 0x1140, 0xFFFFFFFF) * 4000, "sequences in sequences"),
        (encoded(ct_slice())[:300], "cut off in the middle"),
    ],
)
def test_what_cannot_be_parsed_is_kept_and_costs_no_association_failure_mode_14(
    reception: Reception, data_set: bytes, what: str
) -> None:
    uid = generate_uid()
    with ScriptedPeer(reception.port) as peer:
        peer.associate()
        assert peer.store(CT_IMAGE, uid, data_set) == SUCCESS, what
        assert sent(peer, ct_slice()) == SUCCESS, what
        peer.release()
    broken, good = reception.instances()
    assert data_set_of(reception, broken.path) == data_set
    assert broken.status == "not_used", what
    assert broken.reason in ("unreadable", "no_pixels"), what
    assert good.status == "used"


@sqlite_only
def test_a_deflated_bomb_is_kept_and_does_not_fill_the_memory(reception: Reception) -> None:
    head = encoded(ct_slice())[:-2048] + struct.pack("<HH2sHL", 0x7FE0, 0x10, b"OW", 0, 0xF0000000)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = packer.compress(head) + b"".join(packer.compress(bytes(1 << 20)) for _ in range(256)) + packer.flush()
    ds_uid = generate_uid()
    with ScriptedPeer(reception.port) as peer:
        peer.associate(syntaxes=["1.2.840.10008.1.2.1.99"])
        assert peer.store(CT_IMAGE, ds_uid, bomb) == SUCCESS
    (row,) = reception.instances()
    assert row.sop_instance_uid == ds_uid
    assert data_set_of(reception, row.path) == bomb


@both_databases
@pytest.mark.parametrize(
    "hostile",
    [
        "../../../../tmp/escaped",
        "/etc/passwd",
        "..",
        "1.2.3/../../4",
        "1.2.3\x00.4",
        "%2e%2e%2f",
        "a" * 64,
        "1." * 80 + "1",
    ],
)
def test_hostile_uids_stay_within_the_spool(reception: Reception, tmp_path: Path, hostile: str) -> None:
    raw = encoded(ct_slice())
    raw_study = _with_uid(encoded(ct_slice(sop_uid="1.2.3.1.1.8")), 0x000D, hostile)
    raw_series = _with_uid(encoded(ct_slice(sop_uid="1.2.3.1.1.9")), 0x000E, hostile)
    with ScriptedPeer(reception.port) as peer:
        peer.associate()
        assert peer.store(CT_IMAGE, hostile, raw) == SUCCESS
        assert peer.store(CT_IMAGE, "1.2.3.1.1.8", raw_study) == SUCCESS
        assert peer.store(CT_IMAGE, "1.2.3.1.1.9", raw_series) == SUCCESS
        assert peer.store(CT_IMAGE, hostile, raw) == SUCCESS
        peer.release()
    rows = reception.instances()
    assert len(rows) == 3
    for row, data_set in zip(rows, (raw, raw_study, raw_series), strict=True):
        kept = reception.spool.root / row.path
        assert kept.resolve().is_relative_to(reception.spool.root)
        assert len(Path(row.path).parts) == 3
        assert data_set_of(reception, row.path) == data_set
        assert all(UID(part).is_valid for part in Path(row.path).parts[:2])
    usable = UID(hostile.replace("\x00", "")).is_valid  # what a NUL leaves
    assert [row.reason for row in rows[1:]] == ["" if usable else "invalid_uid"] * 2
    spooled = {reception.spool.root / row.path for row in rows}
    assert {path for path in reception.everything_below() if not path.suffix.startswith(".db")} == spooled


def _with_uid(raw: bytes, element: int, uid: str) -> bytes:
    """The data set with another UID in (0020,element), however long."""
    value = uid.encode() + b"\x00" * (len(uid) % 2)
    start = raw.index(struct.pack("<HH", 0x0020, element) + b"UI")
    length = struct.unpack("<H", raw[start + 6 : start + 8])[0]
    return raw[: start + 6] + struct.pack("<H", len(value)) + value + raw[start + 8 + length :]


@sqlite_only
def test_a_command_without_instance_uid_is_answered(reception: Reception) -> None:
    with ScriptedPeer(reception.port) as peer:
        peer.associate()
        assert peer.store(CT_IMAGE, "", encoded(ct_slice())) == SUCCESS
        peer.release()
    (row,) = reception.instances()
    assert UID(row.sop_instance_uid).is_valid


@sqlite_only
def test_images_whose_commands_name_no_instance_are_kept_by_what_their_data_sets_say(reception: Reception) -> None:
    slices = [ct_slice(number=number) for number in range(3)]
    with ScriptedPeer(reception.port) as peer:
        peer.associate()
        assert [peer.store(CT_IMAGE, "", encoded(one)) for one in slices] == [SUCCESS] * 3
        peer.release()
    rows = reception.instances()
    assert [row.sop_instance_uid for row in rows] == [str(one.SOPInstanceUID) for one in slices]
    assert {(row.status, row.reason) for row in rows} == {("used", "")}
    lost = [row.path for row in rows if Path(row.path) not in reception.files()]
    assert not lost


def test_an_instance_of_another_class_than_its_context_is_kept(reception: Reception) -> None:
    with ScriptedPeer(reception.port) as peer:
        peer.associate()
        data_set = encoded(ct_slice(sop_uid="1.2.3.1.1.1"))
        status = peer.store("1.2.840.10008.1.2.3.4", "1.2.3.1.1.1", data_set, context=CT_IMAGE)
        assert status == SUCCESS
        peer.release()
    (row,) = reception.instances()
    assert (row.sop_class_uid, row.status, row.reason) == ("1.2.840.10008.1.2.3.4", "not_used", "uid_mismatch")
    assert data_set_of(reception, row.path) == encoded(ct_slice(sop_uid="1.2.3.1.1.1"))


def test_images_whose_command_names_another_uid_than_their_data_set_are_told_and_found_by_both(
    reception: Reception, caplog: pytest.LogCaptureFixture
) -> None:
    with ScriptedPeer(reception.port) as peer:
        peer.associate()
        for number in (1, 2):
            data_set = encoded(ct_slice(sop_uid=f"1.2.3.1.1.{number}"))
            assert peer.store(CT_IMAGE, f"1.2.3.1.9.{number}", data_set) == SUCCESS
        peer.release()
    (told,) = [record for record in caplog.records if record.message == "data set is another than the command names"]
    assert (told.__dict__["sop_instance_uid"], told.__dict__["SOPInstanceUID"]) == ("1.2.3.1.9.1", "1.2.3.1.1.1")
    for uid in ("1.2.3.1.9.1", "1.2.3.1.1.1", "1.2.3.1.9.2", "1.2.3.1.1.2"):
        with reception.store.read() as session:
            (event,) = [event for event in events_of(session, uid) if event.name == "uid_mismatch"]
        named = {"sop_instance_uid": "1.2.3.1.9.1", "data_set_SOPInstanceUID": "1.2.3.1.1.1"}
        assert named.items() <= event.detail.items()
    with reception.store.read() as session:
        assert events_of(session, "1.2.3.1.1.3") == []


@sqlite_only
@pytest.mark.parametrize("uid", ["1.2." + "3" * 61, "1.2.abc"])
def test_an_image_whose_instance_uid_is_none_is_refused_for_that_told_and_found_by_what_was_sent(
    reception: Reception, caplog: pytest.LogCaptureFixture, uid: str
) -> None:
    data_set = encoded(ct_slice(sop_uid=uid))
    with ScriptedPeer(reception.port) as peer:
        assert peer.associate().store(CT_IMAGE, uid, data_set) == SUCCESS
        peer.release()
    (row,) = reception.instances()
    assert (row.status, row.reason, data_set_of(reception, row.path)) == ("not_used", "invalid_uid", data_set)
    (told,) = [record.__dict__ for record in caplog.records if record.message == "UID is no UID"]
    assert (told["keyword"], told["sent"], told["kept_under"]) == ("SOPInstanceUID", uid, row.sop_instance_uid)
    with reception.store.read() as session:
        assert events_of(session, uid)


def test_own_results_that_come_back_are_never_used(reception: Reception) -> None:
    by_equipment, by_database = ct_slice(), ct_slice(sop_uid="1.2.3.1.7.7")
    by_equipment.Manufacturer, by_equipment.ManufacturerModelName = MANUFACTURER, MODEL_NAME
    _remember_result(reception.store, "1.2.3.1.7.7")
    with ScriptedPeer(reception.port) as peer:
        peer.associate()
        assert [sent(peer, by_equipment), sent(peer, by_database)] == [SUCCESS, SUCCESS]
    assert [(row.status, row.reason) for row in reception.instances()] == [("not_used", "own_result")] * 2


def _remember_result(store: Store, sop_instance_uid: str) -> None:
    with store.write() as session:
        series = Series(study_uid="1.9", series_uid="1.9.1", status="chosen", first_instance_at=0, last_instance_at=0)
        session.add(series)
        session.flush()
        job = Job(
            study_uid="1.9",
            acquisition_key="a",
            protocol="p",
            series_id=series.id,
            generation=1,
            status="done",
            priority="stat",
            created_at=0,
            ready_at=0,
        )
        session.add(job)
        session.flush()
        session.add(
            Result(
                job_id=job.id,
                kind="sc",
                study_uid="1.9",
                series_uid="1.9.2",
                sop_instance_uid=sop_instance_uid,
                sop_class_uid=CT_IMAGE,
                path="x",
                digest="x",
                size_bytes=1,
                research=True,
                created_at=0,
            )
        )


@sqlite_only
def test_every_transfer_syntax_is_accepted_for_ct_failure_mode_13(reception: Reception) -> None:
    for syntax in TRANSFER_SYNTAXES:
        with ScriptedPeer(reception.port) as peer:
            peer.associate(syntaxes=[syntax])
            assert peer.accepted == {1: syntax}
            peer.abort()


@sqlite_only
def test_uncompressed_is_preferred_and_lossless_before_lossy(reception: Reception) -> None:
    baseline, lossless, explicit = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70", peers.EXPLICIT_LE
    for offered, taken in (([baseline, lossless, explicit], explicit), ([baseline, lossless], lossless)):
        with ScriptedPeer(reception.port) as peer:
            peer.associate(syntaxes=offered)
            assert peer.accepted == {1: taken}
            peer.abort()


@sqlite_only
@pytest.mark.real_data
def test_real_files_in_all_transfer_syntaxes_are_kept_bit_by_bit(reception: Reception, real_data: Path) -> None:
    folder = real_data / "awkward" / "transfer_syntaxes"
    files = [peers.file_parts(path) for path in sorted(folder.glob("*.dcm"))]
    wanted = [file for file in files if file.syntax in TRANSFER_SYNTAXES]
    assert len({file.syntax for file in wanted}) == 13
    _store_all(reception, wanted)
    rows = {row.digest: row for row in reception.instances()}
    for file in wanted:
        row = rows[sha256(file.data_set)]
        assert data_set_of(reception, row.path) == file.data_set
        assert row.transfer_syntax_uid == file.syntax
        assert row.header["TransferSyntaxUID"] == file.syntax
        named = {"CT Image Storage": "", "Enhanced CT Image Storage": "multi_frame"}
        capture = "Secondary Capture" in UID(file.sop_class).name
        assert row.reason == named.get(UID(file.sop_class).name, "secondary_capture" if capture else "not_ct")


@pytest.mark.real_data
def test_files_with_problems_from_the_field_are_kept_bit_by_bit(reception: Reception, real_data: Path) -> None:
    folders = [real_data / "awkward" / "field_problems", real_data / "awkward" / "pydicom" / "charset_files"]
    paths = [path for folder in folders for path in sorted(folder.glob("*.dcm"))]
    files = [file for file in map(_parts_or_none, paths) if file is not None and file.syntax in TRANSFER_SYNTAXES]
    assert len(files) > 20
    _store_all(reception, files)
    rows = {row.digest: row for row in reception.instances()}
    for file in files:
        assert data_set_of(reception, rows[sha256(file.data_set)].path) == file.data_set


def _parts_or_none(path: Path) -> peers.EncodedFile | None:
    try:
        return peers.file_parts(path)
    except AttributeError:
        return None  # no file meta information: nothing that could be sent


def _store_all(reception: Reception, files: list[peers.EncodedFile]) -> None:
    for file in files:
        with ScriptedPeer(reception.port) as peer:
            peer.associate([file.sop_class], [file.syntax])
            assert peer.store(file.sop_class, file.sop_instance, file.data_set) == SUCCESS
            peer.release()


@sqlite_only
@pytest.mark.tools
@pytest.mark.real_data
@pytest.mark.parametrize("sender", ["storescu", "dcmsend"])
def test_dcmtk_sends_a_real_series(reception: Reception, real_data: Path, sender: str) -> None:
    if shutil.which(sender) is None:
        pytest.skip(f"{sender} is not installed (dcmtk)")
    options = ["-xs"] if sender == "storescu" else []
    folder = real_data / "head_ct_ge"
    files = sorted(folder.glob("*.dcm"))
    call = [sender, *options, "-aec", "NODE", "127.0.0.1", str(reception.port), *map(str, files)]
    subprocess.run(call, check=True, timeout=60)
    (series,) = reception.series()
    rows = reception.instances()
    assert len(rows) == len(files) == 28
    assert {row.status for row in rows} == {"used"}
    assert {row.series_id for row in rows} == {series.id}
    assert reception.ended_association().outcome == "released"


@sqlite_only
@pytest.mark.tools
def test_verification_is_answered_and_leaves_no_row(reception: Reception) -> None:
    with ScriptedPeer(reception.port) as peer:
        assert peer.associate([peers.VERIFICATION]).echo() == SUCCESS
        peer.release()
    if shutil.which("echoscu") is not None:
        subprocess.run(["echoscu", "-aec", "NODE", "127.0.0.1", str(reception.port)], check=True, timeout=120)
    assert reception.associations() == []


@sqlite_only
def test_a_large_object_passes_without_filling_the_memory(reception: Reception) -> None:
    process = psutil.Process()
    part = bytes(1 << 20)
    head = encoded(ct_slice())[:-2048]
    pixels = struct.pack("<HH2sHL", 0x7FE0, 0x10, b"OW", 0, 200 << 20)
    with ScriptedPeer(reception.port) as peer:
        peer.associate()
        before, peak = process.memory_info().rss, 0
        peer.begin_store(CT_IMAGE, "1.2.3.1.1.1")
        peer.send_data(head[: -len(pixels)] + pixels, last=False)
        for number in range(200):
            peer.send_data(part, last=number == 199)
            peak = max(peak, process.memory_info().rss)
        assert peer.receive_status() == SUCCESS
    (row,) = reception.instances()
    assert row.size_bytes > 200 << 20
    assert peak - before < 60 << 20


@sqlite_only
def test_a_data_set_beyond_its_bound_is_refused_for_good_and_nothing_of_it_is_kept(
    store: Store, new_reception: Callable[..., Reception]
) -> None:
    reception = new_reception(store, max_instance_gb=0.001)
    with ScriptedPeer(reception.port) as peer:
        peer.associate()
        peer.begin_store(CT_IMAGE, "1.2.3.1.1.1")
        for number in range(3):
            peer.send_data(bytes(400_000), last=number == 2)
        assert peer.receive_status() == 0xC000
        assert not reception.half_files()
        assert sent(peer, ct_slice()) == SUCCESS
        peer.release()
    assert len(reception.instances()) == len(reception.files()) == 1


def test_a_deeply_nested_private_sequence_is_no_obstacle(reception: Reception) -> None:
    ds = ct_slice()
    item = Dataset()
    item.CodeValue = "1"
    ds.ProcedureCodeSequence = Sequence([item] * 50)
    with ScriptedPeer(reception.port) as peer:
        assert sent(peer.associate(), ds) == SUCCESS
    assert [row.status for row in reception.instances()] == ["used"]


@sqlite_only
def test_a_full_disk_is_told_as_out_of_resources_and_leaves_nothing_failure_mode_04(
    store: Store,
    new_reception: Callable[..., Reception],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("dicomnode.receive.alarm.QUIET_S", 0.0)
    reception = new_reception(store, min_free_gb=1e6)
    with ScriptedPeer(reception.port) as peer:
        peer.associate()
        assert sent(peer, ct_slice()) == OUT_OF_RESOURCES
        assert sent(peer, ct_slice()) == OUT_OF_RESOURCES
        reception.spool.min_free_bytes = 0
        assert sent(peer, ct_slice()) == SUCCESS
        peer.release()
    assert len(reception.instances()) == len(reception.files()) == 1
    wait_until(lambda: not reception.half_files())
    alarms = [(line.levelname, line.message) for line in caplog.records if getattr(line, "action", "") == "environment"]
    assert alarms == [("ERROR", "images are refused until this passes"), ("WARNING", "images are taken again")]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB where the node keeps its data."""
    folder = tmp_path / "data"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a file system here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@sqlite_only
def test_a_disk_that_runs_full_refuses_what_does_not_fit_and_takes_it_when_there_is_room_again(
    small_disk: Path, store: Store, new_reception: Callable[..., Reception]
) -> None:
    reception = new_reception(store, min_free_gb=0)
    images = [ct_slice(sop_uid=f"1.2.3.1.1.{number}") for number in range(40)]
    with ScriptedPeer(reception.port) as peer:
        peer.associate()
        statuses = [sent(peer, image) for image in images]
        assert set(statuses) == {SUCCESS, OUT_OF_RESOURCES}
        assert len(reception.instances()) == len(reception.files()) == statuses.count(SUCCESS)
        subprocess.run(["mount", "-o", "remount,size=2m", str(small_disk)], check=True)
        assert {sent(peer, image) for image in images} == {SUCCESS}
        peer.release()
    assert len(reception.instances()) == len(reception.files()) == 40
    assert not reception.half_files()
    reception.scp.stop()
