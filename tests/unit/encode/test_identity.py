"""Patient and study attributes of real-life headers, as results carry them."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest
from highdicom._standard_utils import get_module_attribute_map
from pydicom import dcmread
from pydicom.config import disable_value_validation
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage

from dicomnode.dicom.uids import is_valid_uid
from dicomnode.encode.case import encode_case
from dicomnode.encode.context import context_of
from dicomnode.encode.identity import (
    PATIENT_KEYWORDS,
    STUDY_KEYWORDS,
    TYPE_2_KEYWORDS,
    identity_of,
    reference_datasets,
)
from dicomnode.kinds import KINDS
from dicomnode.records import Case
from tests.unit.encode.cases import EVEN, Patient, as_received, case_of, changed

NOW = datetime(2024, 1, 2, 11, 30, tzinfo=UTC)
ANIMALS_ONLY = {"Strain", "Genetic", "PatientBreed", "PatientSpecies", "BreedRegistration"}


def header(**attributes: object) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.StudyInstanceUID = CTImageStorage, "1.2.3.4", "1.2.3"
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


@pytest.mark.parametrize(
    "module", ["patient", "clinical-trial-subject", "general-study", "patient-study", "clinical-trial-study"]
)
def test_every_attribute_of_the_patient_and_study_modules_is_carried(module: str) -> None:
    listed = {*PATIENT_KEYWORDS, *STUDY_KEYWORDS}
    top_level = {a["keyword"] for a in get_module_attribute_map()[module] if not a["path"]}
    assert {keyword for keyword in top_level - listed if not any(map(keyword.startswith, ANIMALS_ONLY))} == set()


@pytest.mark.parametrize(
    ("name", "charset"),
    [
        ("Köhler^Jürgen", "ISO_IR 100"),
        ("Διονυσιος^Ελένη", "ISO_IR 126"),
        ("Щукина^Юлия", "ISO_IR 144"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", ["", "ISO 2022 IR 87"]),
        ("Hong^Gildong=洪^吉洞=홍^길동", ["", "ISO 2022 IR 149"]),
        ("Wang^XiaoDong=王^小东", "GB18030"),
        ("Buc^Jérôme", "ISO_IR 192"),
    ],
)
def test_a_name_in_any_character_set_is_carried_in_utf_8(name: str, charset: str | list[str], tmp_path: Path) -> None:
    case = case_of(EVEN, patient=Patient(name, charset))
    for result in encode_case(case, tmp_path, NOW):
        ds = dcmread(result.path)
        assert str(ds.PatientName) == name
        assert ds.SpecificCharacterSet == "ISO_IR 192"


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom warns of what it would put in the place of a letter
@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 192", "王^小东".encode("gb18030")),
        (None, "Müller^Eva".encode("latin-1")),
        (None, "Müller^Eva".encode()),
    ],
)
def test_no_result_holds_a_replacement_character_for_a_name(charset: str | None, name: bytes, tmp_path: Path) -> None:
    case = case_of(EVEN, patient=Patient("Test^Head", charset))
    tag = case.identity["PatientName"].tag
    case.identity[tag] = RawDataElement(tag, "PN", len(name), name, 0, False, True)
    for result in encode_case(case, tmp_path, NOW):
        content = result.path.read_bytes()
        assert "\N{REPLACEMENT CHARACTER}".encode() not in content
        assert name in content


@pytest.mark.parametrize(
    "vr", ["XX", pytest.param("--", marks=pytest.mark.full), pytest.param("\0\0", marks=pytest.mark.full)]
)
@pytest.mark.parametrize("keyword", ["PatientComments", "PatientWeight", "StudyDate", "AccessionNumber", "PatientName"])
def test_a_vr_that_does_not_exist_costs_its_value_alone(keyword: str, vr: str, tmp_path: Path) -> None:
    case = case_of(EVEN, patient=Patient(extra={"PatientComments": "none"}))
    tag = case.identity[keyword].tag
    case.identity[tag] = RawDataElement(tag, vr, 4, b"abcd", 0, False, True)
    for result in encode_case(case, tmp_path, NOW):
        ds = dcmread(result.path)
        assert not ds.get(keyword)
        assert (ds.PatientID, ds.StudyID) == ("ID-1", "77")


@pytest.mark.parametrize("offset", ["+9900", "-2500", "+0199", "abcde"])
def test_an_offset_that_is_none_is_not_followed(offset: str, tmp_path: Path) -> None:
    case = case_of(EVEN, patient=Patient(extra={"TimezoneOffsetFromUTC": offset}))
    assert dcmread(encode_case(case, tmp_path, NOW)[0].path).TimezoneOffsetFromUTC == "+0100"


def test_texts_within_sequences_are_decoded_too() -> None:
    ds = header(SpecificCharacterSet="ISO_IR 126", PatientName="Ελένη")
    item = Dataset()
    item.PatientID, item.TypeOfPatientID, item.IssuerOfPatientID = "ID-7", "TEXT", "Διονυσιος"
    ds.OtherPatientIDsSequence = [item]
    carried = identity_of(as_received(ds))
    assert carried.SpecificCharacterSet == "ISO_IR 192"
    buffer = BytesIO()
    carried.save_as(buffer, implicit_vr=True, little_endian=True)
    assert "Διονυσιος".encode() in buffer.getvalue()


def test_an_ascii_header_needs_no_character_set() -> None:
    assert "SpecificCharacterSet" not in identity_of(header(SpecificCharacterSet="ISO_IR 144", PatientName="Doe^J"))


def test_missing_type_2_attributes_are_written_empty() -> None:
    carried = identity_of(header())
    assert all(keyword in carried and not carried[keyword].value for keyword in TYPE_2_KEYWORDS)


def test_an_empty_optional_attribute_is_left_out() -> None:
    assert "StudyDescription" not in identity_of(header(StudyDescription="", PatientAge=None))


def test_an_identifier_that_breaks_a_length_rule_is_carried_whole_and_silently(tmp_path: Path) -> None:
    with disable_value_validation():
        patient = Patient(extra={"AccessionNumber": "A" * 24, "PatientID": "P" * 70})
        case = case_of(EVEN, patient=patient)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = encode_case(case, tmp_path, NOW)
    with disable_value_validation():
        ds = dcmread(results[0].path)
        assert (ds.AccessionNumber, ds.PatientID) == ("A" * 24, "P" * 70)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientSex", "U"),
        ("PatientBirthDate", "1950.01.01"),
        ("StudyTime", "half past ten"),
        ("StudyDate", "31/12/24"),
    ],
)
def test_an_unreadable_type_2_value_is_emptied(keyword: str, value: str) -> None:
    with disable_value_validation():
        carried = identity_of(header(**{keyword: value}))
    assert carried[keyword].value in (None, "")


@pytest.mark.parametrize(("keyword", "value"), [("PatientAge", "74"), ("PatientAge", "old")])
def test_an_unreadable_optional_value_is_left_out(keyword: str, value: str) -> None:
    with disable_value_validation():
        assert keyword not in identity_of(header(**{keyword: value}))


@pytest.mark.parametrize("uid", [None, "1.2..3"])
def test_an_incomplete_optional_sequence_of_the_source_is_left_out(uid: str | None, tmp_path: Path) -> None:
    with disable_value_validation():
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2.840.10008.3.1.2.3.1", uid
        case = case_of(EVEN, patient=Patient(extra={"ReferencedStudySequence": [item]}))
    for result in encode_case(case, tmp_path, NOW):
        assert "ReferencedStudySequence" not in dcmread(result.path)


def test_a_complete_sequence_of_the_source_is_carried(tmp_path: Path) -> None:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2.840.10008.3.1.2.3.1", "1.2.3"
    case = case_of(EVEN, patient=Patient(extra={"ReferencedStudySequence": [item]}))
    for result in encode_case(case, tmp_path, NOW):
        assert dcmread(result.path).ReferencedStudySequence[0].ReferencedSOPInstanceUID == "1.2.3"


def test_numbers_that_are_none_do_no_harm(tmp_path: Path) -> None:
    with disable_value_validation():
        case = case_of(EVEN)
        for source in case.sources:
            for keyword, value in (("PatientWeight", b"70kg"), ("SeriesNumber", b"two "), ("InstanceNumber", b"one ")):
                tag = source[keyword].tag
                source[tag] = RawDataElement(tag, source[tag].VR, len(value), value, 0, False, True)
    for result in encode_case(case, tmp_path, NOW):
        ds = dcmread(result.path)
        assert "PatientWeight" not in ds
        assert ds.SeriesNumber == KINDS[result.kind].series_number


def test_a_deidentified_source_without_a_method_says_so() -> None:
    carried = identity_of(header(PatientIdentityRemoved="YES", DeidentificationMethod=""))
    assert carried.DeidentificationMethod == "Not stated by the source"


def test_nothing_of_the_acquisition_is_carried(tmp_path: Path) -> None:
    for result in encode_case(case_of(EVEN), tmp_path, NOW):
        ds = dcmread(result.path)
        assert not {"KVP", "XRayTubeCurrent", "AcquisitionDate", "CTDIvol"} & {element.keyword for element in ds}


def test_a_reference_keeps_the_decimal_strings_of_its_slice() -> None:
    case = case_of(EVEN)
    references = reference_datasets(case, identity_of(case.identity))
    for reference, source in zip(references, case.sources, strict=True):
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
            assert [str(v) for v in reference[keyword].value] == [str(v) for v in source[keyword].value]


def test_a_source_without_frame_of_reference_gets_the_same_one_for_all_slices() -> None:
    case = case_of(EVEN)
    for source in case.sources:
        del source.FrameOfReferenceUID
    uids = {reference.FrameOfReferenceUID for reference in reference_datasets(case, identity_of(case.identity))}
    assert len(uids) == 1


@pytest.mark.parametrize("thickness", [None, "0"])
def test_a_slice_without_thickness_gets_its_share_of_the_stack(thickness: str | None) -> None:
    case = case_of(EVEN)
    for source in case.sources:
        source.SliceThickness = thickness
    assert {float(r.SliceThickness) for r in reference_datasets(case, identity_of(case.identity))} == {5.0}


def series_number(case: Case, number: object, kind: str = "seg") -> int:
    for source in case.sources:
        source.SeriesNumber = number
    return context_of(case).series_number(kind)


@pytest.mark.parametrize(("source", "expected"), [(4, 91004), (91002, 191002), (201, 91201), (None, 91000)])
def test_a_series_number_tells_kind_and_source_and_never_collides(source: int | None, expected: int) -> None:
    assert series_number(case_of(EVEN), source) == expected


def test_kinds_have_series_numbers_of_their_own() -> None:
    case = case_of(EVEN)
    assert len({series_number(case, 5, kind) for kind in KINDS}) == len(KINDS)


def test_times_are_those_of_the_node(tmp_path: Path) -> None:
    ds = dcmread(encode_case(case_of(EVEN), tmp_path, NOW)[0].path)
    assert (ds.TimezoneOffsetFromUTC, ds.ContentDate, ds.ContentTime) == ("+0100", "20240102", "123000")
    assert (ds.SeriesDate, ds.SeriesTime) == (ds.ContentDate, ds.ContentTime)


def test_an_offset_stated_by_the_source_is_kept_since_it_governs_the_study_time(tmp_path: Path) -> None:
    case = case_of(EVEN, patient=Patient(extra={"TimezoneOffsetFromUTC": "-0330"}))
    ds = dcmread(encode_case(case, tmp_path, NOW)[0].path)
    assert (ds.TimezoneOffsetFromUTC, ds.ContentTime) == ("-0330", "080000")


def test_the_newest_header_gives_the_identity(tmp_path: Path) -> None:
    case = case_of(EVEN)
    newest = case_of(EVEN, patient=Patient("Corrected^Name", extra={"AccessionNumber": "ACC-2"})).identity
    ds = dcmread(encode_case(changed(case, identity=newest), tmp_path, NOW)[0].path)
    assert (str(ds.PatientName), ds.AccessionNumber) == ("Corrected^Name", "ACC-2")


@pytest.mark.parametrize("keyword", ["OtherPatientIDsSequence", "ReferencedStudySequence", "ProcedureCodeSequence"])
@pytest.mark.parametrize("content", [b"ab", b"--", b"\xff\xfe--", b"\xfe\xff\x00\xe0\xff\xff\xff\x7f"])
def test_a_sequence_whose_bytes_are_none_costs_that_sequence_alone(keyword: str, content: bytes) -> None:
    header = case_of(EVEN).identity
    tag = Tag(keyword)
    header[tag] = RawDataElement(tag, "SQ", len(content), content, 0, False, True)
    identity = identity_of(header)
    assert not identity.get(keyword)
    assert (identity.PatientID, identity.StudyInstanceUID) == (header.PatientID, header.StudyInstanceUID)


@pytest.mark.parametrize("stated", [b"abc", b"1.2..3", b"1." + b"2" * 66, b"1.2\\1.3", b"\xff\xfe--"])
def test_a_frame_of_reference_that_is_no_uid_is_none(stated: bytes) -> None:
    case = case_of(EVEN)
    tag = Tag("FrameOfReferenceUID")
    for source in case.sources:
        source[tag] = RawDataElement(tag, "UI", len(stated), stated, 0, False, True)
    (uid,) = {reference.FrameOfReferenceUID for reference in reference_datasets(case, identity_of(case.identity))}
    assert is_valid_uid(uid)
