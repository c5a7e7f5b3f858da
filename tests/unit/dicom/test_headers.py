from __future__ import annotations

import doctest
import json
from pathlib import Path

import pydicom
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from dicomnode.dicom import headers
from dicomnode.dicom.headers import SliceHeader, header_of, is_technical, slice_header_of
from tests.tools.series import ct_series


def raw(keyword: str, vr: str | None, value: bytes, *, is_little_endian: bool = True) -> Dataset:
    """A dataset as read from a file with this value: converted on first access."""
    tag = Tag(keyword)
    ds = Dataset()
    ds._dict[tag] = RawDataElement(tag, vr, len(value), value, 0, False, is_little_endian)
    return ds


def test_the_examples_in_the_docstrings_hold() -> None:
    result = doctest.testmod(headers)
    assert result.attempted
    assert result.failed == 0


def test_values_become_plain_python_of_their_kind() -> None:
    ds = ct_series((0,), SliceThickness="5.0", InstanceNumber="7", WindowCenter=["40", "80"])[0]
    header = header_of(ds)
    assert header["SliceThickness"] == 5.0
    assert header["InstanceNumber"] == 7
    assert header["WindowCenter"] == [40.0, 80.0]
    assert header["ImageType"] == ["ORIGINAL", "PRIMARY", "AXIAL"]
    assert header["StudyDate"] == "20260101"
    assert header["AccessionNumber"] == "A1"
    assert header["Rows"] == 32
    assert header["TransferSyntaxUID"] == "1.2.840.10008.1.2.1"
    assert {type(value) for value in header["WindowCenter"]} == {float}
    assert type(header["StudyInstanceUID"]) is str


def test_neither_the_patient_nor_bulk_nor_private_data_enter_the_header() -> None:
    ds = ct_series((0,))[0]
    ds.PatientAge, ds.PatientAddress, ds.OtherPatientIDs = "070Y", "1 Main Street", "T2"
    ds.InstitutionAddress, ds.PatientComments, ds.ImageComments = "1 Hospital Road", "Mr Test", "Mr Test again"
    ds.OperatorsName, ds.AdmissionID = "Operator^One", "adm-1"
    ds.add_new((0x0009, 0x0010), "LO", "VENDOR")
    ds.add_new((0x0009, 0x1001), "LO", "secret of the vendor")
    header = header_of(ds)
    text = json.dumps(header)
    for word in ("Test", "T1", "T2", "Main", "Hospital", "Operator", "adm-1", "vendor", "PixelData"):
        assert word not in text
    assert header["PatientAge"] == "070Y"


@pytest.mark.parametrize(
    ("ds", "expected"),
    [
        (raw("SliceThickness", "DS", b"five"), "five"),
        (raw("SliceThickness", "DS", b"5,0 "), "5,0"),
        (raw("SliceThickness", "DS", b"nan "), None),
        (raw("SliceThickness", "DS", b""), None),
        (raw("SliceThickness", "DS", b"2.5000000000000000001"), 2.5),
        (raw("AcquisitionNumber", "IS", b"1.0 "), 1),
        (raw("AcquisitionNumber", "IS", b"1.5 "), "1.5"),
        (raw("AccessionNumber", "SH", b"a much longer accession number than allowed"), None),
        (raw("StudyDescription", "LO", b"HEAD\x00 "), "HEAD"),
        (raw("StudyDescription", "LO", b""), ""),
        (raw("StudyDate", "DA", b"2026.01.01"), "2026.01.01"),
    ],
)
def test_a_broken_value_is_kept_as_text_or_left_empty(ds: Dataset, expected: object) -> None:
    ((keyword, value),) = header_of(ds).items()
    if keyword == "AccessionNumber":
        assert value == "a much longer accession number than allowed"
    else:
        assert value == expected
    json.dumps(value, allow_nan=False)


def test_a_value_that_cannot_be_read_is_left_out() -> None:
    assert header_of(raw("Rows", "US", b"\x01\x02\x03")) == {}


def test_a_forged_value_is_cut() -> None:
    ds = Dataset()
    ds.StudyDescription = "x" * 100_000
    ds.WindowCenter = ["40"] * 1000
    header = header_of(ds)
    assert header["StudyDescription"] == "x" * headers.MAX_TEXT
    assert "WindowCenter" not in header


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"AcquisitionDateTime": "20260102030405.5+0100"}, "2026-01-02T03:04:05.500000"),
        ({"AcquisitionDate": "20260102", "AcquisitionTime": "030405"}, "2026-01-02T03:04:05.000000"),
        ({"AcquisitionDate": "20260102", "AcquisitionTime": "0304"}, "2026-01-02T03:04:00.000000"),
        ({"AcquisitionDate": "2026.01.02", "AcquisitionTime": "03:04:05"}, "2026-01-02T03:04:05.000000"),
        (
            {"AcquisitionDateTime": "2026", "AcquisitionDate": "20260102", "AcquisitionTime": "03"},
            "2026-01-02T03:00:00.000000",
        ),
        ({"AcquisitionDate": "20260102"}, None),
        ({"AcquisitionTime": "030405"}, None),
        ({"AcquisitionDate": "20261302", "AcquisitionTime": "030405"}, None),
        ({"AcquisitionDate": "20161231", "AcquisitionTime": "235960"}, "2016-12-31T23:59:59.000000"),
    ],
)
def test_the_acquisition_moment_is_found_in_either_form(attributes: dict[str, str], expected: str | None) -> None:
    assert SliceHeader.of(attributes).acquired_at == expected


def test_the_typed_view_of_an_empty_header_is_empty_and_does_not_fail() -> None:
    view = SliceHeader.of({})
    assert view.position_mm is None
    assert view.rescale is None
    assert view.image_type == ()
    assert view.samples_per_pixel == 1
    assert SliceHeader.of({"ImagePositionPatient": [1.0, "a", 2.0], "Rows": "many"}).position_mm is None


def test_the_typed_view_reads_what_the_slice_says() -> None:
    ds = ct_series((12.5,), ConvolutionKernel=["Hr38h", "3"], AcquisitionNumber=4, SliceThickness=5)[0]
    view = SliceHeader.of(header_of(ds))
    assert view == slice_header_of(ds)
    assert view.position_mm == (-112.0, -112.0, 12.5)
    assert view.orientation == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    assert view.pixel_spacing_mm == (7.0, 7.0)
    assert view.rescale == (1.0, -1024.0)
    assert view.kernel == "Hr38h\\3"
    assert view.acquisition_number == 4


def test_a_keyword_is_technical_when_a_header_can_hold_it() -> None:
    assert is_technical("SliceThickness")
    assert is_technical("PixelPaddingValue")
    assert not is_technical("PatientID")
    assert not is_technical("ReferringPhysicianName")
    assert not is_technical("RequestAttributesSequence")
    assert not is_technical("NoSuchKeyword")


def real_files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and pydicom.misc.is_dicom(path)]


@pytest.mark.real_data
@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom warns of the damage that these files were chosen for
def test_every_real_file_gives_a_header_without_its_patient(real_data: Path) -> None:
    read = 0
    for path in real_files(real_data / "awkward") + real_files(real_data / "philips_plastic_head"):
        try:
            ds = pydicom.dcmread(path, stop_before_pixels=True)
        except OSError:
            continue
        text = json.dumps(header_of(ds), allow_nan=False)
        assert "PatientName" not in text
        assert "PatientID" not in text
        assert SliceHeader.of(header_of(ds)) == slice_header_of(ds)
        read += 1
    assert read > 100


def without_the_short_way(ds: Dataset, patch: pytest.MonkeyPatch) -> dict[str, object]:
    """The header as pydicom alone reads it; values are converted where they lie, so the short way goes first."""
    with patch.context() as context:
        context.setattr(headers, "as_written", lambda vr, value, **_: [])
        return header_of(ds)


KEYWORDS = {"CS": "ImageType", "DS": "PixelSpacing", "IS": "InstanceNumber", "LO": "StudyDescription"}
KEYWORDS |= {
    "UI": "StudyInstanceUID",
    "DA": "StudyDate",
    "TM": "StudyTime",
    "SH": "AccessionNumber",
    "AS": "PatientAge",
}
PARTS = (
    b"",
    b" ",
    b"A",
    b"1",
    b" 1 ",
    b"+1",
    b"-0",
    b"01",
    b"1.5",
    b".5",
    b"1.",
    b"1e3",
    b"1E+99",
    b"1,5",
    b"nan",
    b"NaN",
)
PARTS += (
    b"12345678901234567",
    b"9999999999",
    b"\xe4",
    b"a b",
    b"a ~",
    b"\x1b$B",
    b"x\0",
    b"\0",
    b"20260101",
    b"1.2.840",
)
VALUES = [*PARTS, *(one + b"\\" + two for one in PARTS for two in PARTS), b"1\\2\\3 ", b"A" * 2000, b"1\\" * 70]


@pytest.mark.parametrize("vr", sorted(KEYWORDS))
@pytest.mark.parametrize("stated", [True, False], ids=["explicit", "implicit"])
def test_values_as_the_standard_writes_them_are_read_as_pydicom_reads_them(
    vr: str, stated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = 0
    for value in VALUES:
        pair = [raw(KEYWORDS[vr], vr if stated else None, value) for _ in range(2)]
        header = header_of(pair[0])
        assert repr(header) == repr(without_the_short_way(pair[1], monkeypatch)), value
        short += bool(headers.as_written(vr, value))
    assert short > 10


NUMBERS = [
    b"",
    *(bytes([first, 1, 0, 255] * 2)[:length] for first in (0, 127, 128, 255) for length in (1, 2, 3, 4, 6, 8)),
    bytes(16),
    b"\xff" * 8,
    b"\x00\x00\x80\x7f" * 2,
    b"\x01\x00" * 90,
]


@pytest.mark.parametrize("vr", ["US", "SS", "UL", "SL", "UV", "SV", "FL", "FD"])
@pytest.mark.parametrize("is_little_endian", [True, False], ids=["little", "big"])
def test_binary_numbers_are_read_as_pydicom_reads_them(
    vr: str, is_little_endian: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = 0
    for value in NUMBERS:
        pair = [raw(f"Selector{vr}Value", vr, value, is_little_endian=is_little_endian) for _ in range(2)]
        assert repr(header_of(pair[0])) == repr(without_the_short_way(pair[1], monkeypatch)), value
        short += bool(headers.as_written(vr, value))
    assert short > 5


@pytest.mark.real_data
@pytest.mark.filterwarnings("ignore::UserWarning")  # as above
def test_every_real_file_gives_the_same_header_as_pydicom_alone(
    real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [path for folder in ("awkward", "head_ct_ge", "round_trip") for path in real_files(real_data / folder)]
    read = 0
    for path in paths:
        try:
            twice = [pydicom.dcmread(path, stop_before_pixels=True) for _ in range(2)]
        except OSError:
            continue
        assert header_of(twice[0]) == without_the_short_way(twice[1], monkeypatch), path
        read += 1
    assert read > 100
