"""Whose study it is: what counts as a difference, what is taken over, and what may be another person."""

from __future__ import annotations

import doctest
import re
from collections.abc import Mapping
from typing import Any

import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import SecondaryCaptureImageStorage

from dicomnode.config.sections import PROVISIONAL_NAMES
from dicomnode.dicom import person_names
from dicomnode.dicom.identity import (
    MAX_CORRECTIONS,
    Agreement,
    Judgement,
    identity_in,
    judge,
    take,
    why_several_persons,
)
from dicomnode.dicom.person_names import same_name, same_person
from tests.unit.encode.cases import as_received

PROVISIONAL = re.compile(PROVISIONAL_NAMES)
OWN = {
    "PatientID": "4711",
    "IssuerOfPatientID": "HOSPITAL",
    "PatientName": "Muster^Erika",
    "PatientBirthDate": "19500102",
    "PatientSex": "F",
    "AccessionNumber": "A1",
}


def judged(theirs: Mapping[str, str], own: Mapping[str, str] = OWN, **more: Any) -> Judgement:
    return judge(own, [theirs], PROVISIONAL, **more)


def with_(**changes: str) -> dict[str, str]:
    return {**OWN, **changes}


def test_the_examples_hold() -> None:
    result = doctest.testmod(person_names)
    assert (result.failed, result.attempted > 3) == (0, True)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Muster^Erika", "MUSTER^ERIKA^^^"),
        ("Muster^Erika", " Muster ^ Erika "),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "YAMADA^TAROU"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "=山田^太郎"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "山田^太郎"),
        ("ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎", "ヤマダ^タロウ=山田^太郎"),
        ("", ""),
    ],
)
def test_a_name_written_otherwise_is_the_same_name(one: str, other: str) -> None:
    assert same_name(one, other)
    assert same_name(other, one)


@pytest.mark.parametrize(
    ("one", "other", "person"),
    [
        ("Muster^Erika", "Muster^Erika^Maria", True),
        ("Müller^Eva", "Mueller^Eva", True),
        ("García^José", "GARCIA^JOSE", True),
        ("Muster^Erika", "Muster", True),
        ("Yamada^Tarou=山田^太郎", "Yamada^Tarou=山田^太朗", True),
        ("Muster^Erika", "Muster^Eva", False),
        ("Muster^Erika", "Meier^Erika", False),
        ("Yamada^Tarou=山田^太郎", "Yamada^Jirou=山田^次郎", False),
        ("山田^太郎", "鈴木^一郎", False),
    ],
)
def test_another_name_may_be_that_of_the_same_person(one: str, other: str, person: bool) -> None:
    assert not same_name(one, other)
    assert same_person(one, other) is same_person(other, one) is person


def test_an_archive_without_the_study_changes_nothing() -> None:
    assert judge(OWN, [], PROVISIONAL) == Judgement(Agreement.ABSENT)


@pytest.mark.parametrize(
    "theirs",
    [
        OWN,
        with_(PatientName="MUSTER^ERIKA^^"),
        with_(PatientBirthDate="1950.01.02"),
        with_(PatientBirthDate="", PatientSex="", IssuerOfPatientID="", AccessionNumber=""),
        with_(PatientBirthDate="19000101", PatientSex="?"),
        {"PatientID": "4711"},
        {},
        dict.fromkeys(OWN, ""),
    ],
)
def test_what_says_the_same_or_nothing_is_no_difference(theirs: dict[str, str]) -> None:
    assert judged(theirs) == Judgement(Agreement.SAME)


@pytest.mark.parametrize(
    "changes",
    [
        {"PatientID": "0815"},
        {"PatientID": "004711"},
        {"PatientName": "Meier^Erika"},
        {"PatientName": "Muster^Erika^Maria"},
        {"PatientBirthDate": "19510102"},
        {"PatientSex": "M"},
        {"AccessionNumber": "A2"},
        {"IssuerOfPatientID": "NETWORK"},
        {"PatientID": "0815", "AccessionNumber": "A2"},
        {"PatientID": "E-1", "IssuerOfPatientID": "NETWORK"},
        {"PatientID": "0815", "PatientName": "MUSTER^ERIKA^MARIA"},
        {"PatientID": "004711", "PatientName": "Meier^Erika"},
    ],
)
def test_one_correction_is_taken_over_and_named(changes: dict[str, str]) -> None:
    judgement = judged(with_(**changes))
    assert judgement.agreement is Agreement.ADOPTED
    assert set(judgement.keywords) == set(changes)
    assert judgement.taken == changes


@pytest.mark.parametrize(
    "changes",
    [
        {"PatientID": "0815", "PatientName": "Meier^Hans", "PatientBirthDate": "19800505"},
        {"PatientID": "0815", "PatientName": "Muster^Eva"},  # a twin
        {"PatientID": "0815", "PatientBirthDate": "19200102"},  # mother and daughter of one name
        {"PatientName": "Meier^Hans", "PatientBirthDate": "19800505"},  # a number used twice
        {"PatientName": "Muster^Erik", "PatientSex": "M"},
        {"IssuerOfPatientID": "OTHER", "PatientName": "Meier^Hans"},
        {"PatientID": "0815", "PatientName": "", "PatientBirthDate": "19800505", "PatientSex": "M"},
    ],
)
def test_what_may_be_another_person_is_a_conflict(changes: dict[str, str]) -> None:
    judgement = judged(with_(**changes))
    assert judgement.agreement is Agreement.CONFLICT
    assert judgement.reason
    assert judgement.taken == {}
    said = judgement.reason + " ".join(judgement.keywords)
    assert not any(value in said for value in (*OWN.values(), *changes.values()) if len(value) > 1)


def test_a_number_alone_against_another_number_shows_nothing() -> None:
    own = {"PatientID": "4711", "PatientName": "Muster^Erika", "PatientBirthDate": ""}
    judgement = judged({"PatientID": "0815", "PatientName": "Muster", "PatientBirthDate": "19500102"}, own)
    assert judgement.agreement is Agreement.ADOPTED
    nothing_agrees = {"PatientID": "0815", "PatientName": "??", "PatientBirthDate": "19500102"}
    assert judged(nothing_agrees, own).agreement is Agreement.CONFLICT


@pytest.mark.parametrize(
    "name", ["Unknown^Male", "UNBEKANNT^NOTFALL 3", "Trauma12^X", "Doe^Jane", "N.N.", "NN", "不明"]
)
def test_a_patient_who_was_not_identified_contradicts_nobody(name: str) -> None:
    provisional = {"PatientID": "TMP1", "PatientName": name, "PatientBirthDate": "19900101", "PatientSex": "F"}
    there = judged(OWN, provisional)
    assert (there.agreement, there.taken["PatientName"]) == (Agreement.ADOPTED, "Muster^Erika")
    # The archive is the one that does not know yet: the result follows its study, and is merged with it later.
    here = judged(provisional)
    assert (here.agreement, here.taken["PatientID"]) == (Agreement.ADOPTED, "TMP1")
    assert here.taken["IssuerOfPatientID"] == ""
    other_sex = judged(with_(PatientSex="M"), provisional)
    assert other_sex.agreement is Agreement.CONFLICT


def test_images_without_a_name_contradict_nobody_but_an_archive_without_one_may() -> None:
    nameless = {"PatientID": "TMP1", "PatientName": "^", "PatientBirthDate": "19900101", "PatientSex": "F"}
    assert judged(OWN, nameless).agreement is Agreement.ADOPTED
    assert judged(nameless).agreement is Agreement.CONFLICT


@pytest.mark.parametrize("name", ["Traumann^Erika", "Doe^Henrietta", "Nna^Ada", "Knownun^X"])
def test_a_name_that_only_looks_provisional_is_a_name(name: str) -> None:
    own = with_(PatientName=name)
    assert judged(with_(PatientID="0815", PatientBirthDate="19800505"), own).agreement is Agreement.CONFLICT


def test_a_study_under_two_patients_is_a_conflict_whoever_they_are() -> None:
    judgement = judge(OWN, [OWN, with_(PatientID="0815")], PROVISIONAL, trusted=True)
    assert (judgement.agreement, judgement.keywords) == (Agreement.CONFLICT, ("PatientID",))
    assert "under 2 patients" in judgement.reason


def test_one_patient_with_two_orders_for_a_study_keeps_the_own_accession_number() -> None:
    assert judge(OWN, [with_(AccessionNumber="B"), with_(AccessionNumber="C")], PROVISIONAL) == Judgement(
        Agreement.SAME
    )


def test_somebody_who_has_looked_overrules_the_doubt() -> None:
    other = with_(PatientID="0815", PatientName="Meier^Hans", PatientBirthDate="19800505")
    judgement = judged(other, trusted=True)
    assert (judgement.agreement, judgement.taken["PatientName"]) == (Agreement.ADOPTED, "Meier^Hans")


def test_an_archive_that_files_under_another_name_without_a_patient_id_gets_none() -> None:
    judgement = judged(with_(PatientID="", PatientName="Unknown"))
    assert judgement.agreement is Agreement.ADOPTED
    assert judgement.taken == {"PatientID": "", "PatientName": "Unknown"}


@pytest.mark.parametrize("changes", [{}, {"AccessionNumber": "A2"}, {"PatientBirthDate": "19510102"}])
def test_an_empty_patient_id_beside_the_same_name_says_nothing(changes: dict[str, str]) -> None:
    assert "PatientID" not in judged(with_(PatientID="", **changes)).taken


@pytest.mark.parametrize(
    ("own", "theirs"),
    [
        # as a real PACS answers in another default encoding: letters replaced, or simply left out
        ("Yamada^Tarou=山田^太郎", "Yamada^Tarou=??^??"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada^Tarou=^=^"),
        ("Διονυσιος^Ελένη", "??????????^?????"),
        ("Διονυσιος^Ελένη", "^"),
        ("Διονυσιος^Ελένη", "Διονυσιο^Ελνη"),
        ("Müller^Eva", "M\ufffdller^Eva"),
        ("Müller^Jörg", "Mller^Jrg"),
        ("山田^太郎", "山田^?"),
    ],
)
def test_what_a_poorer_character_set_left_of_a_name_says_nothing(own: str, theirs: str) -> None:
    assert judged(with_(PatientName=theirs), with_(PatientName=own)) == Judgement(Agreement.SAME)
    merged = judged(with_(PatientName=theirs, PatientID="0815"), with_(PatientName=own))
    assert merged.taken == {"PatientID": "0815"}  # the birth date agrees
    nobody = with_(PatientName=theirs, PatientID="0815", PatientBirthDate="19800505")
    assert judged(nobody, with_(PatientName=own)).agreement is Agreement.CONFLICT
    if same_name(own, theirs):
        return
    # The other way round the archive knows better.
    better = judged(with_(PatientName=own), with_(PatientName=theirs))
    assert better.taken == {"PatientName": own}


def test_a_name_that_a_poorer_character_set_would_not_leave_is_another() -> None:
    other = judged(with_(PatientName="Miller^Jrg", PatientID="0815"), with_(PatientName="Müller^Jörg"))
    assert other.agreement is Agreement.CONFLICT


def answer(name: str, charset: str | list[str], **more: str) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    ds.SpecificCharacterSet, ds.PatientName = charset, name
    for keyword, value in more.items():
        setattr(ds, keyword, value)
    return as_received(ds)


@pytest.mark.parametrize(
    ("name", "charset"),
    [
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", ["", "ISO 2022 IR 87"]),
        ("ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=ﾔﾏﾀﾞ^ﾀﾛｳ", ["ISO 2022 IR 13", "ISO 2022 IR 87"]),
        ("Yamada^Tarou=山田^太郎", "ISO_IR 192"),
        ("Wang^XiaoDong=王^小东", "GB18030"),
        ("Müller^Jörg", "ISO_IR 100"),
        ("Διονυσιος^Ελένη", "ISO_IR 126"),
    ],
)
def test_a_name_is_read_by_the_character_set_it_comes_in(name: str, charset: str | list[str]) -> None:
    assert identity_in(answer(name, charset, PatientID=" 4711 ")) == {"PatientName": name, "PatientID": "4711"}


def test_text_without_a_declared_character_set_is_utf_8_or_unreadable() -> None:
    for encoding, read in (("utf-8", {"PatientName": "山田^太郎"}), ("shift_jis", {})):
        ds = Dataset()
        ds[0x00100010] = RawDataElement(Tag(0x00100010), "PN", 0, "山田^太郎".encode(encoding), 0, False, True)
        assert identity_in(ds) == read


def test_a_result_takes_another_identity_and_keeps_its_own_in_original_attributes() -> None:
    ds = answer("Unknown^Male", "ISO_IR 100", PatientID="TMP1", PatientBirthDate="")
    ds.IssuerOfPatientID, ds.TypeOfPatientID, ds.PatientAge = "EMERGENCY", "TEXT", "030Y"
    taken = {"PatientID": "4711", "IssuerOfPatientID": "", "PatientName": "Yamada^Tarou=山田^太郎"}
    take(ds, {**taken, "PatientBirthDate": "19500102"}, by="NODE", at="20240102113000+0000")
    read = as_received(ds)
    assert (read.PatientID, str(read.PatientName), read.PatientBirthDate) == ("4711", taken["PatientName"], "19500102")
    assert (read.SOPInstanceUID, read.SpecificCharacterSet) == ("1.2.3", "ISO_IR 192")
    assert not {"IssuerOfPatientID", "TypeOfPatientID", "PatientAge"} & {element.keyword for element in read}
    (item,) = read.OriginalAttributesSequence
    assert (item.ModifyingSystem, item.ReasonForTheAttributeModification) == ("NODE", "COERCE")
    (before,) = item.ModifiedAttributesSequence
    assert (before.PatientID, before.PatientName, before.IssuerOfPatientID) == ("TMP1", "Unknown^Male", "EMERGENCY")


EMERGENCY = {"PatientID": "TMP-12", "PatientName": "Unknown^Female", "PatientBirthDate": "", "PatientSex": "F"}


@pytest.mark.parametrize(
    "images",
    [
        [OWN, OWN],
        [OWN, with_(PatientName="MUSTER^ERIKA")],
        [OWN, with_(PatientName="Muster-Neu^Erika")],
        [OWN, with_(PatientID="4712")],
        [EMERGENCY, OWN],
        [OWN, EMERGENCY, OWN],
        [{}, OWN],
    ],
)
def test_images_of_one_series_may_correct_each_other(images: list[dict[str, str]]) -> None:
    assert why_several_persons(images, PROVISIONAL) == ""


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        ([OWN, with_(PatientID="815", PatientName="Suzuki^Ichirou")], "PatientID and PatientName contradict"),
        ([EMERGENCY, OWN, with_(PatientID="815", PatientBirthDate="19800505")], "PatientBirthDate contradict"),
        ([EMERGENCY, with_(PatientSex="M")], "the sexes contradict"),
        ([with_(PatientID=f"4711.{n}") for n in range(MAX_CORRECTIONS + 2)], "identities"),
    ],
)
def test_images_of_one_series_are_not_of_two_persons(images: list[dict[str, str]], reason: str) -> None:
    for order in (images, images[::-1]):
        said = why_several_persons(order, PROVISIONAL)
        assert reason in said
        assert not any(value in said for image in images for value in image.values() if len(value) > 2)
