"""What the header of the images tells of the patient: who, age and sex (DICOM PS3.3 C.7.1.1, C.7.2.2)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from pydicom.dataset import Dataset

from dicomnode.dicom.identity import identity_in, stated_date
from dicomnode.dicom.values import text_of
from dicomnode.records import ContextSource, ContextValue, Patient, PatientContext

DAYS_PER_YEAR = 365.2425
_UNITS_PER_YEAR = {"Y": 1.0, "M": 12.0, "W": DAYS_PER_YEAR / 7.0, "D": DAYS_PER_YEAR}
_SEXES = {"M": "male", "F": "female", "O": "other"}
MOST_YEARS = 130.0


def context_of_header(header: Dataset) -> PatientContext:
    """``age`` in years (UCUM ``a``) and ``sex`` (``male``, ``female``, ``other``); what cannot be read is left out."""
    return PatientContext(values=tuple(_values(header)))


def _values(header: Dataset) -> Iterator[ContextValue]:
    study = _date_of(text_of(header, "StudyDate"))
    observed_at = "" if study is None else study.isoformat()
    age = age_years(header)
    if age is not None:
        yield ContextValue(name="age", value=age, unit="a", source=ContextSource.HEADER, observed_at=observed_at)
    sex = _SEXES.get(text_of(header, "PatientSex"))
    if sex is not None:
        yield ContextValue(name="sex", value=sex, source=ContextSource.HEADER, observed_at=observed_at)


def patient_of(header: Dataset) -> Patient:
    """Whose scan it is: ID, issuer, birth date and sex as the header states them; what it does not state is empty."""
    stated = {keyword: storable(value) for keyword, value in identity_in(header).items()}
    return Patient(
        patient_id=stated.get("PatientID", ""),
        issuer=stated.get("IssuerOfPatientID", ""),
        birth_date=_birth_date(stated.get("PatientBirthDate", "")),
        sex=sex if (sex := stated.get("PatientSex", "")) in _SEXES else "",
    )


def storable(text: str) -> str:
    """Text that any database takes: without NUL and without lone surrogates."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _birth_date(text: str) -> str:
    digits = stated_date(text)
    return digits if _date_of(digits) is not None else ""


def age_years(header: Dataset) -> float | None:
    """PatientAge; where there is none, from PatientBirthDate and StudyDate. None where neither can be read.

    Returns
    -------
    Whole years from one year on; a fraction below.
    """
    stated = _stated_years(text_of(header, "PatientAge"))
    years = stated if stated is not None else _lived_years(header)
    if years is None or not 0.0 <= years <= MOST_YEARS:
        return None
    return float(int(years)) if years >= 1.0 else round(years, 2)


def _stated_years(text: str) -> float | None:
    """An AS value such as ``063Y`` or ``018M`` (DICOM PS3.5 6.2)."""
    number, unit = text[:-1], text[-1:].upper()
    if not (number.isascii() and number.isdigit()) or unit not in _UNITS_PER_YEAR:
        return None
    return int(number) / _UNITS_PER_YEAR[unit]


def _lived_years(header: Dataset) -> float | None:
    born, scanned = _date_of(text_of(header, "PatientBirthDate")), _date_of(text_of(header, "StudyDate"))
    if born is None or scanned is None:
        return None
    whole = scanned.year - born.year - ((scanned.month, scanned.day) < (born.month, born.day))
    return float(whole) if whole >= 1 else (scanned - born).days / DAYS_PER_YEAR


def _date_of(text: str) -> date | None:
    """A DA value such as ``20261128``; None where it is none."""
    if len(text) != 8 or not (text.isascii() and text.isdigit()):
        return None
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None
