from __future__ import annotations

import io
from pathlib import Path

import pydicom
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from dicomnode.dicom.charsets import carry, settle


def through_bytes(ds: Dataset) -> Dataset:
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, ds, implicit_vr=False, little_endian=True)
    buffer.seek(0)
    return pydicom.dcmread(buffer, force=True)


def read_as(charset: str | list[str], name: bytes) -> Dataset:
    """A dataset as it comes out of a file with this character set."""
    length = len(name) + len(name) % 2
    values = charset if isinstance(charset, list) else [charset]
    declared = "\\".join(values).encode()
    declared += b" " * (len(declared) % 2)
    head = b"\x08\x00\x05\x00CS" + len(declared).to_bytes(2, "little") + declared
    patient = b"\x10\x00\x10\x00PN" + length.to_bytes(2, "little") + name.ljust(length)
    return pydicom.dcmread(io.BytesIO(head + patient), force=True)


@pytest.mark.parametrize(
    ("charset", "name", "expected"),
    [
        ("ISO_IR 100", "Müller^Jörg".encode("latin-1"), "Müller^Jörg"),
        ("ISO_IR 144", "Люксембург".encode("iso8859-5"), "Люксембург"),
        ("ISO_IR 192", "王^小東".encode(), "王^小東"),
        ("GB18030", "王^小东".encode("gb18030"), "王^小东"),
        (["", "ISO 2022 IR 87"], b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "Yamada^Tarou=山田^太郎"),
        (["", "ISO 2022 IR 149"], b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7", "Hong^Gildong=洪^吉洞"),
    ],
)
def test_a_name_of_any_character_set_arrives_unchanged_failure_mode_08(
    charset: str | list[str], name: bytes, expected: str
) -> None:
    source, target = read_as(charset, name), Dataset()
    carry(source, target, ["PatientName", "PatientID"])
    result = through_bytes(target)
    assert result.SpecificCharacterSet == "ISO_IR 192"
    assert str(result.PatientName) == expected
    assert "PatientID" not in result


def test_an_ascii_name_leaves_the_character_set_alone() -> None:
    target = Dataset()
    carry(read_as("ISO_IR 144", b"Smith^John"), target, ["PatientName"])
    assert "SpecificCharacterSet" not in target
    target.SpecificCharacterSet = "ISO_IR 100"
    settle(target)
    assert target.SpecificCharacterSet == "ISO_IR 100"


def test_an_empty_element_stays_empty() -> None:
    source, target = Dataset(), Dataset()
    source.PatientName, source.PatientBirthDate = "", ""
    carry(source, target, ["PatientName", "PatientBirthDate"])
    assert target.PatientName == ""
    assert "PatientBirthDate" in target


def test_texts_within_sequences_are_carried_too() -> None:
    source, item = Dataset(), Dataset()
    item.CodeMeaning = "Schädel"
    source.SpecificCharacterSet = "ISO_IR 100"
    source.ProcedureCodeSequence = [item]
    target = Dataset()
    carry(source, target, ["ProcedureCodeSequence"])
    result = through_bytes(target)
    assert result.SpecificCharacterSet == "ISO_IR 192"
    assert result.ProcedureCodeSequence[0].CodeMeaning == "Schädel"
    assert target.ProcedureCodeSequence[0] is not item


GB = "王^小东".encode("gb18030")


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom warns of what it would put in the place of a letter
@pytest.mark.parametrize(
    ("charset", "name", "expected"),
    [
        ("", "Müller^Jörg".encode(), "Müller^Jörg"),
        ("", "王^小東".encode(), "王^小東"),
        ("ISO_IR 6", "Łukasz^Żak".encode(), "Łukasz^Żak"),
        ("ISO_IR 999", "Łukasz^Żak".encode(), "Łukasz^Żak"),
    ],
)
def test_undeclared_utf_8_is_read_as_what_it_is(charset: str, name: bytes, expected: str) -> None:
    target = Dataset()
    carry(read_as(charset, name), target, ["PatientName"])
    assert str(through_bytes(target).PatientName) == expected
    assert through_bytes(target).SpecificCharacterSet == "ISO_IR 192"


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom warns of what it would put in the place of a letter
@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 192", GB),
        ("ISO_IR 192", "Müller^Jörg".encode("latin-1")),
        ("GB18030", b"M\xff^J"),
        (["", "ISO 2022 IR 87"], b"M\xfcller^Eva"),
        ("ISO_IR 6", b"M\xfcller^Eva"),
        (["", "ISO 2022 IR 87"], b"Yamada=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce"),
        ("", GB),
        ("", "Müller^Jörg".encode("latin-1")),
        ("ISO_IR 999", GB),
    ],
)
def test_a_name_that_cannot_be_decoded_keeps_its_bytes_and_its_character_set_failure_mode_08(
    charset: str | list[str], name: bytes
) -> None:
    source, target = read_as(charset, name), Dataset()
    carry(source, target, ["PatientName"])
    settle(target)
    result = through_bytes(target)
    assert result.get_item("PatientName").value.strip() == name
    assert b"\xef\xbf\xbd" not in result.get_item("PatientName").value
    if charset in ("", "ISO_IR 6", "ISO_IR 999"):
        assert "SpecificCharacterSet" not in result
    else:
        assert result.SpecificCharacterSet == source.SpecificCharacterSet


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom warns of what it would put in the place of a letter
def test_names_that_can_be_decoded_stand_beside_one_that_cannot() -> None:
    source, target = read_as("ISO_IR 192", GB), Dataset()
    source.ReferringPhysicianName, source.StudyDescription = "Müller^Jörg", "Schädel"
    carry(source, target, ["PatientName", "ReferringPhysicianName", "StudyDescription"])
    result = through_bytes(target)
    assert result.get_item("PatientName").value.strip() == GB
    assert (str(result.ReferringPhysicianName), result.StudyDescription) == ("Müller^Jörg", "Schädel")


def test_another_text_that_cannot_be_decoded_is_left_out() -> None:
    source, target = read_as("ISO_IR 192", b"Doe^J"), Dataset()
    tag = 0x00081030
    source[tag] = RawDataElement(Tag(tag), "LO", len(GB), GB, 0, False, True)
    carry(source, target, ["PatientName", "StudyDescription"])
    assert "StudyDescription" not in target
    assert target.PatientName == "Doe^J"


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom warns of what it would put in the place of a letter
def test_a_name_within_a_sequence_keeps_its_bytes_too() -> None:
    source, item, target = read_as("ISO_IR 192", b"Doe^J"), Dataset(), Dataset()
    item[0x00100010] = RawDataElement(Tag(0x00100010), "PN", len(GB), GB, 0, False, True)
    source.ReferencedPatientSequence = [item]
    carry(source, target, ["PatientName", "ReferencedPatientSequence"])
    result = through_bytes(target)
    assert result.ReferencedPatientSequence[0].get_item("PatientName").value.strip() == GB


def test_an_element_of_an_item_that_cannot_be_read_costs_that_element_alone() -> None:
    source, item, target = Dataset(), Dataset(), Dataset()
    item.CodeMeaning = "Head"
    item[0x00080100] = RawDataElement(Tag(0x00080100), "XX", 4, b"T-D1", 0, False, True)
    source.ProcedureCodeSequence = [item]
    carry(source, target, ["ProcedureCodeSequence"])
    assert [element.keyword for element in target.ProcedureCodeSequence[0]] == ["CodeMeaning"]


@pytest.mark.real_data
def test_real_names_in_ten_character_sets_arrive_unchanged(real_data: Path) -> None:
    files = sorted((real_data / "awkward" / "pydicom" / "charset_files").glob("*.dcm"))
    carried = 0
    for path in files:
        source, target = pydicom.dcmread(path), Dataset()
        carry(source, target, ["PatientName", "RequestedProcedureCodeSequence"])
        result = through_bytes(target)
        assert result.SpecificCharacterSet == "ISO_IR 192", path.name
        for keyword in ("PatientName", "RequestedProcedureCodeSequence"):
            if keyword in source:
                carried += 1
                assert str(texts(source)) == str(texts(result)), path.name
    assert carried > 15


def texts(ds: Dataset) -> list[str]:
    names = [str(ds.PatientName)] if "PatientName" in ds else []
    return names + [str(item.PatientName) for item in ds.get("RequestedProcedureCodeSequence", [])]
