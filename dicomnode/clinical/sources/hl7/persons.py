"""What PID itself tells: age and sex, for images whose header does not."""

from __future__ import annotations

from datetime import datetime

from dicomnode.clinical.sources.header import MOST_YEARS
from dicomnode.clinical.sources.hl7.statements import Standing
from dicomnode.clinical.sources.hl7.telling import Telling
from dicomnode.clinical.variables import VARIABLES
from dicomnode.dicom.identity import stated_date
from dicomnode.records import ContextSource, Observation

_SEXES = {"M": "male", "F": "female", "O": "other"}


def read_person(telling: Telling) -> None:
    """Take age and sex where the message states birth date and sex; a later message replaces them."""
    stated: dict[str, float | str | None] = {"age": _years(telling), "sex": _SEXES.get(telling.patient.sex)}
    for name, value in stated.items():
        if value is None:
            continue
        observation = Observation(
            patient=telling.patient,
            name=name,
            value=value,
            unit=VARIABLES[name].unit,
            source=ContextSource.HL7,
            provenance=telling.where("PID", "1"),
        )
        telling.say(telling.key("person", name), Standing.FINAL, observation)


def _years(telling: Telling) -> float | None:
    """Whole years when the message was written."""
    digits = stated_date(telling.patient.birth_date)
    if not digits:
        return None
    born, today = datetime.strptime(digits, "%Y%m%d"), datetime.fromtimestamp(telling.told_at, telling.zone)
    years = today.year - born.year - ((today.month, today.day) < (born.month, born.day))
    return float(years) if 1 <= years <= MOST_YEARS else None
