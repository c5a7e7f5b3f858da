"""Files that are wrong about their own encoding."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless

from dicomnode.dicom.headers import header_of
from dicomnode.dicom.received import at_pixels, read_leading, read_received
from dicomnode.images.pixels import stored_values
from dicomnode.receive.part10 import Origin, preamble_of
from tests.tools.series import CT_IMAGE, ct_series

SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]


def data_set(syntax: str = ExplicitVRLittleEndian) -> bytes:
    """A slice as it comes over the network, with a sequence of undefined length in front of what matters."""
    (ds,) = ct_series((0,), matrix=8, StudyDescription="Head", PatientComments="none", InstitutionName="House")
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "T-1", "SRT", "Head"
    item.is_undefined_length_sequence_item = True
    ds.ProcedureCodeSequence = [item]
    ds["ProcedureCodeSequence"].is_undefined_length = True
    if syntax == ExplicitVRBigEndian:
        ds.PixelData = stored_values(ds).astype(">i2").tobytes()
    ds.set_original_encoding(None, None)
    buffer = BytesIO()
    plain = Dataset({tag: ds[tag] for tag in ds.keys()})  # noqa: SIM118
    implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    dcmwrite(buffer, plain, implicit_vr=implicit, little_endian=little)
    return buffer.getvalue()


def with_vr(body: bytes, tag: tuple[int, int], vr: bytes, order: str = "<") -> bytes:
    """The data set with another VR at one element."""
    at = body.index(struct.pack(f"{order}HH", *tag))
    return body[: at + 4] + vr + body[at + 6 :]


def spooled(path: Path, body: bytes, syntax: str = ExplicitVRLittleEndian) -> Path:
    """A file as the spool keeps it: the negotiated syntax in front, the bytes as they came."""
    path.write_bytes(preamble_of(Origin(CT_IMAGE, "1.2.3", syntax, "CT1", "NODE")) + body)
    return path


def group_2(syntax: str, order: str = "<", implicit: bool = False) -> bytes:
    """File meta information within a data set."""
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    if implicit:
        return struct.pack("<HHL", 2, 0x10, len(uid)) + uid
    return struct.pack(f"{order}HH2sH", 2, 0x10, b"UI", len(uid)) + uid


@pytest.mark.parametrize("vr", [b"XX", b"--", b"\0\0", b"??", b"zz"])
@pytest.mark.parametrize("tag", [(0x0010, 0x4000), (0x0008, 0x1030), (0x0008, 0x0080), (0x0008, 0x0060)])
@pytest.mark.parametrize(("syntax", "order"), [(ExplicitVRLittleEndian, "<"), (ExplicitVRBigEndian, ">")])
def test_a_vr_that_does_not_exist_costs_nothing(
    tmp_path: Path, vr: bytes, tag: tuple[int, int], syntax: str, order: str
) -> None:
    whole = read_received(spooled(tmp_path / "whole", data_set(syntax), syntax))
    odd = read_received(spooled(tmp_path / "odd", with_vr(data_set(syntax), tag, vr, order), syntax))
    assert header_of(odd) == header_of(whole)
    assert odd[tag].value == whole[tag].value
    assert (stored_values(odd) == stored_values(whole)).all()


def test_a_private_element_with_a_vr_that_does_not_exist_is_passed_over(tmp_path: Path) -> None:
    body = data_set()
    at = body.index(struct.pack("<HH", 0x0010, 0x0010))
    odd = body[:at] + struct.pack("<HH2sH", 0x0009, 0x1001, b"Q7", 4) + b"abcd" + body[at:]
    assert header_of(read_received(spooled(tmp_path / "odd", odd))) == header_of(
        read_received(spooled(tmp_path / "whole", body))
    )


@pytest.mark.parametrize("negotiated", SYNTAXES)
@pytest.mark.parametrize("named", [*SYNTAXES, JPEG2000Lossless])
def test_the_negotiated_syntax_decides_whatever_group_0002_in_the_data_set_names(
    tmp_path: Path, negotiated: str, named: str
) -> None:
    body = data_set(negotiated)
    order, implicit = ">" if negotiated == ExplicitVRBigEndian else "<", negotiated == ImplicitVRLittleEndian
    odd = read_received(spooled(tmp_path / "odd", group_2(named, order, implicit) + body, negotiated))
    whole = read_received(spooled(tmp_path / "whole", body, negotiated))
    assert odd.file_meta.TransferSyntaxUID == negotiated
    assert header_of(odd) == header_of(whole)
    assert (stored_values(odd) == stored_values(whole)).all()


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_data_set_without_preamble_and_meta_is_read(tmp_path: Path, syntax: str) -> None:
    (tmp_path / "bare").write_bytes(data_set(syntax))
    bare = read_received(tmp_path / "bare")
    whole = read_received(spooled(tmp_path / "whole", data_set(syntax), syntax))
    assert bare.file_meta.TransferSyntaxUID == syntax
    assert (stored_values(bare) == stored_values(whole)).all()


def test_file_meta_without_preamble_is_read(tmp_path: Path) -> None:
    content = spooled(tmp_path / "whole", data_set()).read_bytes()
    (tmp_path / "bare").write_bytes(content[132:])
    assert header_of(read_received(tmp_path / "bare")) == header_of(read_received(tmp_path / "whole"))


@pytest.mark.parametrize("content", [b"", b"GIF89a" + bytes(400), b"plain text " * 90, bytes(600)])
def test_what_is_no_dicom_is_no_dicom(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other").write_bytes(content)
    with pytest.raises((InvalidDicomError, AttributeError)):
        _ = read_received(tmp_path / "other", at_pixels).SOPClassUID


def with_request(is_undefined: bool) -> bytes:
    """A slice with a sequence whose item holds several texts, as RequestAttributesSequence does."""
    (ds,) = ct_series((0,), matrix=8)
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "T-1", "SRT", "Head"
    item = Dataset()
    item.RequestedProcedureID, item.RequestedProcedureDescription = "P1", "CT head"
    item.RequestedProcedureCodeSequence, item.ScheduledProcedureStepID = [code], "S1"
    item.is_undefined_length_sequence_item = code.is_undefined_length_sequence_item = is_undefined
    ds.RequestAttributesSequence = [item]
    for one in (ds["RequestAttributesSequence"], item["RequestedProcedureCodeSequence"]):
        one.is_undefined_length = is_undefined
    ds.set_original_encoding(None, None)
    buffer = BytesIO()
    plain = Dataset({tag: ds[tag] for tag in ds.keys()})  # noqa: SIM118
    dcmwrite(buffer, plain, implicit_vr=False, little_endian=True)
    return buffer.getvalue()


@pytest.mark.parametrize("vr", [b"XX", b"--", b"\0\0"])
@pytest.mark.parametrize("tag", [(0x0032, 0x1060), (0x0040, 0x1001), (0x0008, 0x0100), (0x0008, 0x0104)])
@pytest.mark.parametrize("is_undefined", [False, True])
def test_a_vr_that_does_not_exist_within_a_sequence_costs_nothing(
    tmp_path: Path, vr: bytes, tag: tuple[int, int], is_undefined: bool
) -> None:
    whole = read_received(spooled(tmp_path / "whole", with_request(is_undefined)))
    odd = read_received(spooled(tmp_path / "odd", with_vr(with_request(is_undefined), tag, vr)))
    assert odd.RequestAttributesSequence == whole.RequestAttributesSequence
    assert (stored_values(odd) == stored_values(whole)).all()


def test_what_stands_in_front_of_the_place_that_cannot_be_read_is_read(tmp_path: Path) -> None:
    body = data_set()
    cut = body[: body.index(struct.pack("<HH", 0x0028, 0x0010))] + b"\xff\xff\xff"
    leading = read_leading(spooled(tmp_path / "cut", cut))
    assert leading.StudyInstanceUID == read_received(spooled(tmp_path / "whole", body)).StudyInstanceUID
    assert leading.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert "Rows" not in leading
    (tmp_path / "none").write_bytes(b"none")
    assert not read_leading(tmp_path / "none")
    assert not read_leading(tmp_path / "absent")
