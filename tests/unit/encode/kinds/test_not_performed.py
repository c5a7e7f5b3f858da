"""Reports that nothing was done, read back from disk."""

from __future__ import annotations

import struct
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import EnhancedSRStorage

from dicomnode.encode.identity import identity_of
from dicomnode.encode.kinds.not_performed import NEEDED, encode_not_performed, reason_code
from dicomnode.encode.wording import Wording
from dicomnode.errors import EncodeError, Refusal
from dicomnode.language import Language
from dicomnode.records import NotPerformed
from tests.unit.encode.cases import EVEN, Patient, case_of
from tests.unit.encode.kinds.test_sr import items, text

NOW = datetime(2024, 1, 2, 11, 30, tzinfo=UTC)


def not_performed(patient: Patient | None = None) -> NotPerformed:
    case = case_of(EVEN, patient=patient)
    return NotPerformed(
        sources=case.sources,
        identity=case.identity,
        refusal=Refusal.MISSING_SLICES,
        detail="a gap of 14 mm",
        protocol="head-ct",
    )


def encoded(refused: NotPerformed, folder: Path) -> Dataset:
    return dcmread(encode_not_performed(refused, folder, NOW).path)


def test_it_says_coded_why_and_what_would_be_needed(tmp_path: Path) -> None:
    ds = encoded(not_performed(), tmp_path)
    assert ds.SOPClassUID == EnhancedSRStorage
    reason = items(ds, "NOTPERFORMED")[0].ConceptCodeSequence[0]
    assert (reason.CodeValue, reason.CodingSchemeDesignator) == ("MISSING_SLICES", "99DCMNODE")
    written = text(ds, "121071").split("\r\n")
    assert " ".join(written) == f"Not performed: {Refusal.MISSING_SLICES.sentence()} a gap of 14 mm"
    assert max(map(len, written)) <= 88
    assert text(ds, "NEEDED") == "Send the series again, complete and as the scanner made it."
    assert text(ds, "121065") == "Series 2, 12 images received, protocol head-ct."
    assert "nothing is excluded" in text(ds, "121073")


def test_it_stands_in_the_study_with_the_images_as_evidence(tmp_path: Path) -> None:
    refused = not_performed(Patient("Yamada^Tarou=山田^太郎=やまだ^たろう", ["", "ISO 2022 IR 87"]))
    ds = encoded(refused, tmp_path)
    assert ds.StudyInstanceUID == refused.identity.StudyInstanceUID
    assert str(ds.PatientName) == "Yamada^Tarou=山田^太郎=やまだ^たろう"
    assert ds.SeriesDescription == "AI not performed (research)"
    assert ds.SeriesNumber == 99002
    listed = [
        ref.ReferencedSOPInstanceUID
        for study in ds.get("PertinentOtherEvidenceSequence", ds.get("CurrentRequestedProcedureEvidenceSequence"))
        for series in study.ReferencedSeriesSequence
        for ref in series.ReferencedSOPSequence
    ]
    assert sorted(listed) == sorted(source.SOPInstanceUID for source in refused.sources)
    assert ds.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == "99DCMNODE"
    assert "none was run" in ds.ContributingEquipmentSequence[0].ContributionDescription


@pytest.mark.parametrize("refusal", list(Refusal))
def test_every_refusal_has_a_code_of_its_own_and_says_what_is_needed(refusal: Refusal) -> None:
    code = reason_code(refusal)
    assert [reason_code(other).value for other in Refusal].count(code.value) == 1
    assert len(code.value) <= 16
    assert 0 < len(code.meaning) <= 64
    assert Wording().say(NEEDED[refusal]).endswith(".")


def test_the_same_refusal_is_the_same_instance_and_another_reason_is_another(tmp_path: Path) -> None:
    refused = not_performed()
    first = encode_not_performed(refused, tmp_path / "first", NOW)
    again = encode_not_performed(not_performed(), tmp_path / "again", NOW)
    other = encode_not_performed(replace(refused, refusal=Refusal.NOT_A_HEAD), tmp_path / "other", NOW)
    assert first.sop_instance_uid == again.sop_instance_uid != other.sop_instance_uid
    assert first.sha256 == again.sha256
    assert (first.kind, first.research) == ("not_performed", True)


def test_a_refusal_for_cleared_models_is_not_marked_as_research(tmp_path: Path) -> None:
    ds = encoded(replace(not_performed(), research=False), tmp_path)
    assert "ContentQualification" not in ds
    assert "research" not in ds.SeriesDescription


def nested(depth: int) -> bytes:
    """Other patient IDs within other patient IDs, each of defined length."""
    value = b""
    for _ in range(depth):
        item = struct.pack("<HHL", 0xFFFE, 0xE000, len(value)) + value
        value = struct.pack("<HH2sHL", 0x0010, 0x1002, b"SQ", 0, len(item)) + item
    return value[12:]


def test_a_value_that_breaks_the_encoding_of_results_does_not_break_the_report_about_it(tmp_path: Path) -> None:
    refused = not_performed(Patient("Doe^Eva"))
    header, value = refused.identity, nested(2000)
    tag = Tag("OtherPatientIDsSequence")
    header[tag] = RawDataElement(tag, "SQ", len(value), value, 0, False, True)
    with pytest.raises(RecursionError):
        identity_of(header)
    header[tag] = RawDataElement(tag, "SQ", len(value), value, 0, False, True)
    ds = encoded(refused, tmp_path)
    assert (str(ds.PatientName), ds.PatientID, ds.AccessionNumber) == ("Doe^Eva", "ID-1", "ACC-1")
    assert ds.StudyInstanceUID == header.StudyInstanceUID
    assert text(ds, "NEEDED") == "Send the series again, complete and as the scanner made it."


@pytest.mark.parametrize("vr", ["XX", "--"])
def test_a_vr_that_does_not_exist_leaves_the_report_writable(vr: str, tmp_path: Path) -> None:
    refused = not_performed(Patient(extra={"PatientComments": "none"}))
    tag = Tag("PatientComments")
    refused.identity[tag] = RawDataElement(tag, vr, 4, b"none", 0, False, True)
    ds = encoded(refused, tmp_path)
    assert (ds.PatientID, "PatientComments" in ds) == ("ID-1", False)


def test_images_without_the_uids_of_a_reference_are_an_encode_error_without_a_patients_value(tmp_path: Path) -> None:
    refused = not_performed(Patient("Secret^Name"))
    header = refused.identity
    del header.StudyInstanceUID
    with pytest.raises(EncodeError) as caught:
        encode_not_performed(refused, tmp_path, NOW)
    assert "Secret" not in str(caught.value)
    with pytest.raises(EncodeError, match="without images"):
        encode_not_performed(replace(refused, sources=()), tmp_path, NOW)
    assert list(tmp_path.iterdir()) == []


def test_a_report_in_german_is_another_instance_and_says_the_same(tmp_path: Path) -> None:
    english = encode_not_performed(not_performed(), tmp_path, NOW)
    german = encode_not_performed(replace(not_performed(), language=Language.GERMAN), tmp_path, NOW)
    assert german.sop_instance_uid != english.sop_instance_uid
    ds = dcmread(german.path)
    assert ds.SeriesDescription == "KI nicht durchgeführt (Forschung)"
    assert (
        text(ds, "NEEDED") == "Die Serie bitte noch einmal senden, vollständig und so, wie der Scanner sie erzeugt hat."
    )
    assert items(ds, "NOTPERFORMED")[0].ConceptCodeSequence[0].CodeMeaning == "Missing slices"
