"""A name that stands in the spool stands for a whole file."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from dicomnode.dicom.ct_slices import reason_not_used
from dicomnode.dicom.headers import text_of
from dicomnode.dicom.uids import usable_uid
from dicomnode.errors import ReceiveError, Refusal
from dicomnode.receive.part10 import Origin, data_offset_of, origin_of, preamble_of
from dicomnode.receive.reading import Reading, read
from dicomnode.receive.spool import INCOMING, Spool, relative_path

CT_IMAGE, EXPLICIT_LE = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"
ORIGIN = Origin(CT_IMAGE, "1.2.3", EXPLICIT_LE, "SCANNER", "NODE")
UIDS = {"study_uid": "1.1", "series_uid": "1.1.2", "sop_instance_uid": "1.2.3"}


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    spool = Spool(tmp_path / "spool", owner="receiver-1")
    spool.prepare()
    return spool


def half_files(spool: Spool) -> list[Path]:
    return [path for path in (spool.root / INCOMING).rglob("*") if path.is_file()]


def test_the_digest_is_that_of_the_data_set_without_its_file_meta(spool: Spool) -> None:
    data = os.urandom(100_000)
    digests = set()
    for calling_ae in ("SCANNER", "ANOTHER"):
        incoming = spool.open(preamble_of(Origin(CT_IMAGE, "1.2.3", EXPLICIT_LE, calling_ae)))
        for start in range(0, len(data), 7_000):
            incoming.write(data[start : start + 7_000])
        digests.add(incoming.digest)
        incoming.discard()
    assert digests == {hashlib.sha256(data).hexdigest()}


def test_a_committed_file_stands_under_its_uids_and_digest(spool: Spool) -> None:
    incoming = spool.open(b"preamble")
    incoming.write(b"data set")
    path = spool.commit(incoming, **UIDS)
    assert path == Path("1.1", "1.1.2", f"1.2.3.{hashlib.sha256(b'data set').hexdigest()[:16]}.dcm")
    assert (spool.root / path).read_bytes() == b"preambledata set"
    assert list(spool.files()) == [path]
    assert not half_files(spool)


def test_the_same_bytes_again_leave_the_first_file_untouched(spool: Spool) -> None:
    inodes = set()
    for preamble in (b"first", b"second"):
        incoming = spool.open(preamble)
        incoming.write(b"data set")
        inodes.add((spool.root / spool.commit(incoming, **UIDS)).stat().st_ino)
    assert len(inodes) == 1
    assert not half_files(spool)


@pytest.mark.parametrize("which", ["study_uid", "series_uid", "sop_instance_uid"])
@pytest.mark.parametrize("uid", ["..", "../1", "/1", "1/2", "", "1.2\x00", "a", "1" * 65, ".", "1..2", "\uff11.\uff12"])
def test_what_is_no_uid_becomes_no_path(spool: Spool, which: str, uid: str) -> None:
    incoming = spool.open(b"")
    incoming.write(b"x")
    with pytest.raises(ValueError, match="not a UID"):
        spool.commit(incoming, **{**UIDS, which: uid})
    incoming.discard()
    assert list(spool.files()) == []
    with pytest.raises(ValueError, match="not a UID"):
        relative_path(**{**UIDS, which: uid}, digest="0" * 64)


def test_the_disk_reserve_is_asked_before_the_first_byte_failure_mode_04(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", min_free_bytes=1 << 60)
    spool.prepare()
    with pytest.raises(ReceiveError) as refused:
        spool.open(b"")
    assert refused.value.status == 0xA700
    assert not half_files(spool)


def test_the_disk_reserve_is_asked_again_while_a_large_object_arrives(spool: Spool) -> None:
    incoming = spool.open(b"")
    incoming.write(bytes(60 << 20))
    spool.min_free_bytes = 1 << 60
    with pytest.raises(ReceiveError) as refused:
        incoming.write(bytes(5 << 20))
    assert refused.value.status == 0xA700
    incoming.discard()
    assert not half_files(spool)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_out_of_resources(spool: Spool) -> None:
    incoming = spool.open(b"")
    incoming._file.close()
    incoming._file = open("/dev/full", "wb")  # noqa: SIM115 (closed by discard)
    incoming.write(b"x" * 100)
    with pytest.raises(ReceiveError) as refused:
        spool.commit(incoming, **UIDS)
    assert refused.value.status == 0xA700
    assert list(spool.files()) == []
    assert not half_files(spool)


def test_a_folder_that_retention_removes_meanwhile_is_made_again(spool: Spool) -> None:
    stop = threading.Event()

    def remove_empty_folders() -> None:
        while not stop.wait(0.0005):
            for folder in (spool.root / "1.1" / "1.1.2", spool.root / "1.1"):
                try:
                    folder.rmdir()
                except OSError:
                    continue

    remover = threading.Thread(target=remove_empty_folders)
    remover.start()
    kept = []
    try:
        for number in range(50):
            incoming = spool.open(b"")
            incoming.write(str(number).encode())
            path = spool.root / spool.commit(incoming, **UIDS)
            kept.append(path.read_bytes())
            path.unlink()
    finally:
        stop.set()
        remover.join()
    assert kept == [str(number).encode() for number in range(50)]


def test_a_folder_that_is_removed_as_fast_as_it_is_made_is_made_again(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty times in a row somebody is faster, as on a machine that has no time for this thread."""
    rename, left = Path.rename, [30]

    def late(self: Path, target: Path) -> Path:
        if left[0]:
            left[0] -= 1
            Path(target).parent.rmdir()
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", late)
    incoming = spool.open(b"")
    incoming.write(b"data set")
    assert (spool.root / spool.commit(incoming, **UIDS)).read_bytes() == b"data set"


def test_a_file_that_stands_where_a_folder_should_is_refused_at_once(spool: Spool) -> None:
    (spool.root / "1.1").write_bytes(b"")
    incoming = spool.open(b"")
    with pytest.raises(ReceiveError):
        spool.commit(incoming, **UIDS)
    assert not half_files(spool)


def test_only_this_user_may_look_into_the_spool(spool: Spool) -> None:
    assert spool.root.stat().st_mode & 0o777 == 0o700


def test_origin_survives_the_way_through_the_file(spool: Spool) -> None:
    incoming = spool.open(preamble_of(ORIGIN))
    incoming.write(b"data set")
    path = spool.root / spool.commit(incoming, **UIDS)
    assert origin_of(path) == ORIGIN
    assert path.read_bytes()[data_offset_of(path) :] == b"data set"


def test_a_file_that_begins_otherwise_has_no_data_offset(tmp_path: Path) -> None:
    (tmp_path / "x.dcm").write_bytes(bytes(200))
    with pytest.raises(ValueError, match="not a file of the spool"):
        data_offset_of(tmp_path / "x.dcm")


def written(spool: Spool, ds: Dataset, pixels: bytes | None = None) -> Path:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    if pixels is not None:
        ds.add_new("PixelData", "OW", pixels)
    write_dataset(buffer, ds)
    incoming = spool.open(preamble_of(ORIGIN))
    incoming.write(buffer.getvalue())
    return spool.root / spool.commit(incoming, **UIDS)


def ct_header() -> Dataset:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = CT_IMAGE, "1.2.3"
    ds.Modality = "CT"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.1", "1.1.2"
    return ds


def test_reading_stops_at_the_pixels_and_tells_that_there_are_some(spool: Spool) -> None:
    path = written(spool, ct_header(), bytes(1000))
    reading = read(path)
    assert reading.has_pixels
    assert text_of(reading.header, "SeriesInstanceUID") == "1.1.2"
    assert reason_not_used(reading.header, has_pixels=reading.has_pixels) is None
    assert dcmread(path).PixelData == bytes(1000)


def test_an_image_without_pixels_is_not_used(spool: Spool) -> None:
    reading = read(written(spool, ct_header()))
    assert reason_not_used(reading.header, has_pixels=reading.has_pixels) is Refusal.NO_PIXELS


def test_a_file_that_is_no_dicom_reads_as_empty_and_one_that_is_not_there_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "x.dcm").write_bytes(b"MZ" * 1000)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.dcm")
    assert read(tmp_path / "x.dcm") == Reading(refusal=Refusal.UNREADABLE)
    assert reason_not_used({}) is Refusal.UNREADABLE


def test_unusable_uids_are_replaced_by_the_same_uid_each_time() -> None:
    assert usable_uid("1.2.3", "study") == "1.2.3"
    assert usable_uid("../x", "study") == usable_uid("../x", "study") != usable_uid("../x", "series")
    assert usable_uid("../x") != usable_uid("../y")
    assert usable_uid("").startswith("2.25.")
