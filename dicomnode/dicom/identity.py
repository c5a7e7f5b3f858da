"""Whose study it is: the identity in a result, compared with what an archive says of the same study.

The rule, and why, stands in ``docs/decisions/011-results-follow-the-archive.md``. In short: what the archive says is
used, unless it may be another person. Four facts tie a study to a person: patient ID, name, birth date, sex. One of
them may contradict; two, or none that agrees, and somebody has to look.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName

from dicomnode.dicom.charsets import settle
from dicomnode.dicom.person_names import has_lost_letters, is_mangled, same_name, same_person

PERSON_KEYWORDS = ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientSex")
KEYWORDS = (*PERSON_KEYWORDS, "AccessionNumber")
"""What is asked for, compared and taken over (PS3.4 C.6.2.1: keys of the study level in the Study Root model)."""

Identity = Mapping[str, str]
"""Keyword -> value as text, without padding. A keyword that is not there: nothing was said about it."""

_DEPENDENT = {
    "PatientID": ("IssuerOfPatientIDQualifiersSequence", "TypeOfPatientID"),
    "PatientBirthDate": (
        "PatientBirthTime",
        "PatientBirthDateInAlternativeCalendar",
        "PatientAlternativeCalendar",
        "PatientAge",
    ),
    "AccessionNumber": ("IssuerOfAccessionNumberSequence",),
}
"""Optional attributes that say more of one that is replaced, hence are no longer true."""
_NO_DATE = frozenset({"", "00000000", "19000101", "99991231"})
_SEXES = frozenset({"M", "F"})
MAX_CORRECTIONS = 8
"""Of one patient's identity within a series; each image could bring another."""


class Agreement(StrEnum):
    """Whether an archive and a result agree whose study it is."""

    ABSENT = "absent"
    SAME = "same"
    ADOPTED = "adopted"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What follows for the results of a study.

    Attributes
    ----------
    keywords : that differ, in the order of ``KEYWORDS``; never their values.
    reason : of a conflict, without values.
    taken : keyword -> value that results are to carry in place of their own; an empty one: the attribute is emptied.
    """

    agreement: Agreement
    keywords: tuple[str, ...] = ()
    reason: str = ""
    taken: Identity = field(default_factory=dict)


def identity_in(ds: Dataset) -> dict[str, str]:
    """The identity that a data set carries, decoded by its own character set; nothing is validated, nothing warned of.

    Text that is not ASCII although no character set is declared is read as UTF-8 where it is that; else it is left out,
    since it cannot be known what it says.
    """
    charset = ds.get("SpecificCharacterSet")
    found = {}
    for keyword in KEYWORDS:
        if keyword not in ds:
            continue
        value = ds.get_item(keyword).value
        text = _text_of(value, keyword, charset) if isinstance(value, bytes) else str(value or "")
        if text is not None:
            found[keyword] = text.strip(" \0")
    return found


def _text_of(value: bytes, keyword: str, charset: str | Sequence[str] | None) -> str | None:
    if not charset:
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return None
    encodings = convert_encodings(charset if isinstance(charset, str) else list(charset))
    if dictionary_VR(keyword) == "PN":
        return str(PersonName(value, encodings, validation_mode=IGNORE))
    return decode_bytes(value, encodings, {0x5C})


def judge(
    own: Identity, answers: Sequence[Identity], provisional: re.Pattern[str], *, trusted: bool = False
) -> Judgement:
    """Compare what a result says with what an archive answered about its study.

    Parameters
    ----------
    own : as :func:`identity_in` reads it from the result.
    answers : one for each study that the archive has under the StudyInstanceUID.
    provisional : found in the names of patients who were not identified yet; such an identity contradicts nobody's.
    trusted : a person has looked and says that the archive is right.
    """
    own, persons = _said(own), _distinct(map(_said, answers))
    if not persons:
        return Judgement(Agreement.ABSENT)
    if len(persons) > 1:
        differing = [keyword for keyword in PERSON_KEYWORDS if len({person.get(keyword, "") for person in persons}) > 1]
        reason = f"the destination has this study under {len(persons)} patients"
        return Judgement(Agreement.CONFLICT, tuple(differing), reason)
    theirs = persons[0]
    taken = _taken(own, theirs)
    keywords = tuple(keyword for keyword in KEYWORDS if keyword in taken)
    if not keywords:
        return Judgement(Agreement.SAME)
    reason = "" if trusted else _doubt(own, theirs, provisional)
    if reason:
        return Judgement(Agreement.CONFLICT, keywords, reason)
    return Judgement(Agreement.ADOPTED, keywords, taken=taken)


def why_several_persons(identities: Iterable[Identity], provisional: re.Pattern[str]) -> str:
    """Why images that came as one series may be of several persons, without values; empty where nothing says so.

    The rule is that of :func:`judge`: a name that was corrected while the images came is no second person.
    """
    persons: list[dict[str, str]] = []
    for identity in map(_said, identities):
        if any(_same_record(person, identity) for person in persons):
            continue
        doubts = (_doubt(person, identity, provisional) for person in persons)
        if reason := next(filter(None, doubts), ""):
            return reason
        persons.append(identity)
        if len(persons) > MAX_CORRECTIONS:
            return f"more than {MAX_CORRECTIONS} identities"
    return ""


def _said(identity: Identity) -> dict[str, str]:
    """The identity without a name that has no letters: some systems answer with the carets alone."""
    name = identity.get("PatientName", "")
    return {**identity, "PatientName": name if any(map(str.isalnum, name)) or has_lost_letters(name) else ""}


def _distinct(answers: Iterable[Identity]) -> list[dict[str, str]]:
    """One identity for each patient among the answers; an accession number only where they agree on it."""
    persons: list[dict[str, str]] = []
    for answer in answers:
        known = next((person for person in persons if _same_record(person, answer)), None)
        if known is None:
            persons.append(dict(answer))
        elif known.get("AccessionNumber") != answer.get("AccessionNumber"):
            known.pop("AccessionNumber", None)
    return persons


def _same_record(one: Identity, other: Identity) -> bool:
    return not any(_differs(keyword, one.get(keyword, ""), other.get(keyword, "")) for keyword in PERSON_KEYWORDS)


def _differs(keyword: str, own: str, theirs: str) -> bool:
    if keyword == "PatientName":
        return not same_name(own, theirs)
    if keyword == "PatientBirthDate":
        return stated_date(own) != stated_date(theirs)
    return own != theirs


def _taken(own: Identity, theirs: Identity) -> dict[str, str]:
    """What the archive says otherwise.

    Silence overrules nothing, save for a patient ID under another name: who files a study under "Unknown" has no number
    for it. An issuer goes with its ID.
    """
    taken = {}
    for keyword in KEYWORDS:
        value = _usable(keyword, own.get(keyword, ""), theirs.get(keyword, ""))
        if value and _differs(keyword, own.get(keyword, ""), value):
            taken[keyword] = value
    if "PatientName" in taken and own.get("PatientID") and theirs.get("PatientID") == "":
        taken["PatientID"] = ""
    if "PatientID" in taken and own.get("IssuerOfPatientID") and not theirs.get("IssuerOfPatientID"):
        taken["IssuerOfPatientID"] = ""
    return taken


def _usable(keyword: str, own: str, value: str) -> str:
    """The value as a result may carry it; nothing where it says nothing, or not what was meant."""
    if keyword == "PatientName":
        return "" if has_lost_letters(value) or is_mangled(own, value) else value
    if keyword == "PatientBirthDate":
        return stated_date(value) if len(stated_date(value)) == len("YYYYMMDD") else ""
    if keyword == "PatientSex":
        return value if value in (*_SEXES, "O") else ""
    return value


def _doubt(own: Identity, theirs: Identity, provisional: re.Pattern[str]) -> str:
    """The reason why it may be another person; empty where it is taken to be the same."""
    against = [keyword for keyword in PERSON_KEYWORDS if _contradicts(keyword, own, theirs)]
    # An archive that answers without a name may have lost it on the way: only the images can lack one.
    if not own.get("PatientName") or any(_is_provisional(identity, provisional) for identity in (own, theirs)):
        return "the sexes contradict each other" if "PatientSex" in against else ""
    if len(against) > 1:
        return f"it may be another person: {' and '.join(against)} contradict"
    agreeing = [key for key in ("PatientID", "PatientName", "PatientBirthDate") if _agrees(key, own, theirs)]
    if not agreeing and set(_taken(own, theirs)) & set(PERSON_KEYWORDS):
        return "nothing shows that it is the same person: neither patient ID nor name nor birth date agree"
    return ""


def _is_provisional(identity: Identity, provisional: re.Pattern[str]) -> bool:
    name = identity.get("PatientName", "").replace("^", " ").replace("=", " ").strip()
    return provisional.search(name) is not None


def _known(keyword: str, one: Identity, other: Identity) -> tuple[str, str] | None:
    """A pair of values where both say something."""
    pair = one.get(keyword, ""), other.get(keyword, "")
    if keyword == "PatientBirthDate":
        pair = stated_date(pair[0]), stated_date(pair[1])
    if keyword == "PatientSex" and not set(pair) <= _SEXES:
        return None
    if keyword == "PatientName" and (is_mangled(*pair) or is_mangled(*reversed(pair))):
        return None
    return pair if all(pair) else None


def _contradicts(keyword: str, own: Identity, theirs: Identity) -> bool:
    pair = _known(keyword, own, theirs)
    if pair is None:
        return False
    if keyword == "IssuerOfPatientID":
        # Another number by another issuer is one contradiction, the same number by another issuer is one too.
        return pair[0].casefold() != pair[1].casefold() and not _contradicts("PatientID", own, theirs)
    if keyword == "PatientName":
        return not same_person(*pair)
    return _plain(pair[0]) != _plain(pair[1])


def _agrees(keyword: str, own: Identity, theirs: Identity) -> bool:
    return _known(keyword, own, theirs) is not None and not _contradicts(keyword, own, theirs)


def _plain(value: str) -> str:
    """An ID or a date as it is compared: case and leading zeros tell nobody apart."""
    return value.casefold().lstrip("0")


def stated_date(value: str) -> str:
    """The digits of a date, ``YYYYMMDD``; empty where it is a placeholder."""
    digits = re.sub(r"\D", "", value)[:8]
    return "" if digits in _NO_DATE else digits


def take(ds: Dataset, taken: Identity, *, by: str, at: str) -> None:
    """Put an archive's identity into a result, in place, and say so in it (PS3.3 C.12.1.1.9, Original Attributes).

    Everything else stays, the SOP Instance UID too; texts that are not ASCII make the character set UTF-8.

    Parameters
    ----------
    taken : as in :class:`Judgement`.
    by : the system that modifies, such as this node's AE title.
    at : when, as DT with its offset from UTC.
    """
    replaced = Dataset()
    for keyword, value in taken.items():
        for gone in (keyword, *_DEPENDENT.get(keyword, ())):
            if gone in ds:
                replaced[gone] = ds[gone]
                del ds[gone]
        if value or keyword != "IssuerOfPatientID":
            ds[keyword] = DataElement(keyword, dictionary_VR(keyword), value, validation_mode=IGNORE)
    if replaced:
        former = list(ds.get("OriginalAttributesSequence", ()))
        ds.OriginalAttributesSequence = [*former, _original(replaced, by, at)]
    settle(ds)


def _original(replaced: Dataset, by: str, at: str) -> Dataset:
    item = Dataset()
    item.SourceOfPreviousValues = ""
    item.AttributeModificationDateTime = at
    item.ModifyingSystem = by
    item.ReasonForTheAttributeModification = "COERCE"
    item.ModifiedAttributesSequence = [replaced]
    return item
