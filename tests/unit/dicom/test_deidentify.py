"""The Basic Profile on data sets made by hand: what goes, what stays, what stands in its place."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from dicomnode.dicom.deidentify.leftovers import names_in, still_named
from dicomnode.dicom.deidentify.profile import Deidentifier
from dicomnode.dicom.deidentify.pseudonyms import DAYS_LEAST, DAYS_MOST, Pseudonyms, moved
from dicomnode.dicom.deidentify.table import Action, action_of, how_many
from dicomnode.encode.standard import requirements
from tests.tools.series import CT_IMAGE, ct_series

KEY = Pseudonyms(b"a key of a test")


def known_patient() -> Dataset:
    """A slice that names its patient, the hospital and the device in many places."""
    (ds,) = ct_series([0.0], matrix=8, PatientName="Müller^Änne", PatientID="4711-0815", PatientBirthDate="19400229")
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.InstitutionName, ds.StationName, ds.DeviceSerialNumber = "Charlottenheim", "CTROOM7", "SN-998877"
    ds.StudyDescription, ds.ImageComments = "Head of Änne", "called by Dr Who"
    ds.PatientAge, ds.PatientSex, ds.PatientComments = "085Y", "F", "lives alone"
    ds.AcquisitionDate, ds.AcquisitionTime, ds.ContentDate = "20260301", "101500", "20260301"
    ds.IrradiationEventUID = ["1.2.3.4", "1.2.3.5"]
    request = Dataset()
    request.RequestedProcedureID, request.AccessionNumber = "RP-1234567", "ACC-1234567"
    ds.RequestAttributesSequence = Sequence([request])
    source = Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = CT_IMAGE, "1.2.3.99"
    ds.SourceImageSequence = Sequence([source])
    ds.private_block(0x0009, "VENDOR", create=True).add_new(1, "LO", "Änne again")
    ds.add_new(0x60003000, "OW", b"\1\0")
    ds.add_new(0x60000010, "US", 8)
    return ds


def cleaned(days: int | None = None) -> tuple[Dataset, Dataset]:
    """A slice before and after."""
    before, after = known_patient(), known_patient()
    Deidentifier(KEY, "P-1", days).clean(after, requirements(CT_IMAGE))
    return before, after


def test_the_table_is_that_of_the_standard() -> None:
    assert how_many() > 500
    listed = {"PatientName": "Z", "PatientID": "Z/D", "StudyInstanceUID": "U", "StationName": "X/Z/D", "Rows": "K"}
    assert {keyword: action_of(Tag(keyword)).value for keyword in listed} == listed
    assert action_of(Tag(0x00090010)) is action_of(Tag(0x50003000)) is action_of(Tag(0x60040010)) is Action.REMOVE


def test_nothing_that_named_the_patient_is_left_anywhere() -> None:
    before, after = cleaned()
    names = names_in(before)
    assert {"müller", "änne", "4711-0815", "19400229", "charlottenheim", "ctroom7", "sn-998877", "rp-1234567"} <= names
    assert still_named(before, names) != ""
    assert still_named(after, names) == ""
    for keyword in ("StudyDescription", "ImageComments", "PatientComments", "PatientAge", "RequestAttributesSequence"):
        assert keyword not in after
    assert (after.PatientName, after.PatientID, after.PatientBirthDate, after.PatientSex) == ("P-1", "P-1", "", "")
    assert [element for element in after if element.tag.is_private or element.tag.group == 0x6000] == []


def test_what_the_image_is_made_of_stays_to_the_bit() -> None:
    before, after = cleaned()
    for keyword in ("PixelData", "ImagePositionPatient", "PixelSpacing", "Rows", "RescaleIntercept", "SOPClassUID"):
        assert after[keyword].value == before[keyword].value


def test_uids_are_replaced_at_every_depth_and_the_same_one_always_by_the_same() -> None:
    before, after = cleaned()
    assert after.StudyInstanceUID == KEY.uid(before.StudyInstanceUID) != before.StudyInstanceUID
    assert after.IrradiationEventUID == [KEY.uid("1.2.3.4"), KEY.uid("1.2.3.5")]
    (source,) = after.SourceImageSequence
    assert (source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID) == (CT_IMAGE, KEY.uid("1.2.3.99"))
    assert Pseudonyms(b"another key").uid("1.2.3.4") != KEY.uid("1.2.3.4")


def test_without_the_option_no_date_is_left() -> None:
    _, after = cleaned()
    assert (after.StudyDate, after.StudyTime, after.ContentDate) == ("", "", "")
    assert "AcquisitionDate" not in after
    assert after.LongitudinalTemporalInformationModified == "REMOVED"


def test_with_the_option_all_dates_move_together_and_that_of_birth_goes() -> None:
    _, after = cleaned(days=-400)
    assert (after.StudyDate, after.AcquisitionDate, after.ContentDate) == ("20241127", "20250125", "20250125")
    assert (after.StudyTime, after.AcquisitionTime, after.PatientBirthDate) == ("100000", "101500", "")
    assert after.LongitudinalTemporalInformationModified == "MODIFIED"
    assert [item.CodeValue for item in after.DeidentificationMethodCodeSequence] == ["113100", "113107"]


def test_the_object_says_how_it_was_cleaned_and_that_it_shows_a_face() -> None:
    _, after = cleaned()
    assert (after.PatientIdentityRemoved, after.RecognizableVisualFeatures) == ("YES", "YES")
    assert "Basic Application Level Confidentiality Profile" in after.DeidentificationMethod[0]
    (code,) = after.DeidentificationMethodCodeSequence
    assert (code.CodeValue, code.CodingSchemeDesignator) == ("113100", "DCM")


def test_a_name_in_an_attribute_that_the_profile_keeps_is_seen() -> None:
    before, after = cleaned()
    after.ConvolutionKernel = ["H30s", "Müller special"]
    assert still_named(after, names_in(before)) == "ConvolutionKernel"


def test_a_patient_may_be_called_as_a_part_of_the_body_is() -> None:
    _, after = cleaned()
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "69536005", "SCT", "Head"
    after.AnatomicRegionSequence, after.BodyPartExamined = Sequence([code]), "HEAD"
    after.ConvolutionKernel = "overheads"
    assert still_named(after, {"head"}) == ""
    code.CodingSchemeDesignator = "99LOCAL"
    assert still_named(after, {"head"}) == "CodeMeaning"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("20260301", "20260228"), ("20260301101500.25+0100", "20260228101500.25+0100"), ("2026", ""), ("", "")],
)
def test_a_date_moves_and_what_is_none_goes(value: str, expected: str) -> None:
    assert moved(value, -1) == expected


def test_the_days_of_a_patient_are_always_the_same_and_at_least_a_year() -> None:
    drawn = {KEY.days(f"patient {number}", "") for number in range(200)}
    assert KEY.days("patient 7", "") == KEY.days("patient 7", "")
    assert len(drawn) > 150
    assert all(-DAYS_MOST < days <= -DAYS_LEAST for days in drawn)
