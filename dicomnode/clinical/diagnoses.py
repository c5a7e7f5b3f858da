"""Which diagnoses, by ICD-10 and SNOMED CT, say yes to which variable.

An ICD-10 code counts with all that stand below it. A diagnosis that is not in the table says nothing, and that there is
none of them says nothing either: nobody lists what a patient does not have.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Scheme(StrEnum):
    """Where a code comes from."""

    ICD10 = "icd10"
    SNOMED = "snomed"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a code says.

    Attributes
    ----------
    variable : that is true of a patient who has it.
    stays : it counts after it is over, too: whoever had a stroke has had one.
    is_event : it may be what the patient came with: it counts where it began well before the scan.
    """

    variable: str
    stays: bool = False
    is_event: bool = False


_AF, _HYPERTENSION, _DIABETES = Diagnosis("atrial_fibrillation"), Diagnosis("hypertension"), Diagnosis("diabetes")
_CORONARY, _SMOKING = Diagnosis("coronary_disease", stays=True), Diagnosis("smoking")
_COGNITION, _ANTICOAGULANT = Diagnosis("cognitive_impairment"), Diagnosis("anticoagulant")
_TRAUMA, _TUMOUR, _ANEURYSM = Diagnosis("trauma"), Diagnosis("brain_tumour"), Diagnosis("aneurysm")
_STROKE, _STROKE_BEFORE = Diagnosis("prior_stroke", stays=True, is_event=True), Diagnosis("prior_stroke", stays=True)

ICD10: dict[str, Diagnosis] = {
    "I48": _AF,
    **dict.fromkeys(("I10", "I11", "I12", "I13", "I15"), _HYPERTENSION),
    **dict.fromkeys(("E10", "E11", "E12", "E13", "E14"), _DIABETES),
    **dict.fromkeys(("I20", "I21", "I22", "I24", "I25", "Z95.1", "Z95.5"), _CORONARY),
    **dict.fromkeys(("I61", "I63", "I64"), _STROKE),
    **dict.fromkeys(("I69.1", "I69.3", "I69.4", "Z86.73"), _STROKE_BEFORE),
    **dict.fromkeys(("F17", "Z72.0"), _SMOKING),
    **dict.fromkeys(("F00", "F01", "F02", "F03", "F06.7", "G30", "G31.84"), _COGNITION),
    **dict.fromkeys(("Z79.01", "Z92.1"), _ANTICOAGULANT),
    "Z79.02": Diagnosis("antiplatelet"),
    **dict.fromkeys(("S02.0", "S02.1", "S06"), _TRAUMA),
    **dict.fromkeys(("C71", "C79.3", "D33.0", "D33.1", "D33.2", "D43.0", "D43.1", "D43.2"), _TUMOUR),
    **dict.fromkeys(("I60", "I67.1", "Q28.2", "Q28.3"), _ANEURYSM),
}
"""Categories of ICD-10 as WHO and Germany have it; those with five characters beside I69 are of ICD-10-CM."""
SNOMED: dict[str, Diagnosis] = {
    **dict.fromkeys(("49436004", "282825002", "440059007", "440028005", "426749004"), _AF),
    **dict.fromkeys(("38341003", "59621000"), _HYPERTENSION),
    **dict.fromkeys(("73211009", "44054006", "46635009"), _DIABETES),
    **dict.fromkeys(("53741008", "414545008", "22298006", "399211009"), _CORONARY),
    **dict.fromkeys(("230690007", "422504002", "432504007"), _STROKE),
    "275526006": _STROKE_BEFORE,
    **dict.fromkeys(("77176002", "449868002"), _SMOKING),
    **dict.fromkeys(("52448006", "26929004", "386805003"), _COGNITION),
}
"""The concepts alone: what stands below them needs a terminology server."""


def diagnosis_of(scheme: Scheme, code: str) -> Diagnosis | None:
    """What a code says; None where it says nothing of any variable.

    >>> diagnosis_of(Scheme.ICD10, "I48.0").variable, diagnosis_of(Scheme.ICD10, "i480").variable
    ('atrial_fibrillation', 'atrial_fibrillation')
    >>> diagnosis_of(Scheme.ICD10, "I26.0") is None
    True
    """
    if scheme is Scheme.SNOMED:
        return SNOMED.get(code.strip())
    bare = _bare(code)
    return next((found for key, found in _BY_LENGTH if bare.startswith(key)), None)


def _bare(code: str) -> str:
    """Without point, blanks and the marks of ICD-10-GM (dagger, asterisk, exclamation mark, G, V, Z, A).

    >>> _bare("I63.9 G"), _bare("E11.90+")
    ('I639', 'E1190')
    """
    first = code.strip().upper().split(" ")[0]
    return first.replace(".", "").rstrip("+*!†-")


_BY_LENGTH = sorted(((_bare(key), found) for key, found in ICD10.items()), key=lambda item: -len(item[0]))
