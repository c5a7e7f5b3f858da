"""The coded variables of a patient that the node knows: names, units, plausible ranges, LOINC codes.

LOINC codes are those of the total or of the analyte as laboratories and monitors send them: about a dozen of the rarer
ones were looked up in public profiles, the common ones, such as blood pressure, are general knowledge. A variable
without one has no code that was known. A code that fixes the unit further, such as FEU of a D-dimer, says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from dicomnode.clinical.units import DDU, FEU, Conversion, Units, d_dimer_units, per_mole, units

GLUCOSE_G_PER_MOL, CREATININE_G_PER_MOL, CHOLESTEROL_G_PER_MOL = 180.156, 113.12, 386.65


class Nature(StrEnum):
    """What the value of a variable is."""

    NUMBER = "number"
    YES_NO = "yes or no"
    WORD = "word"
    MOMENT = "date and time"


class Location(StrEnum):
    """Where a bleed lies, as the published scores tell it apart."""

    LOBAR = "lobar"
    BASAL_GANGLIA = "basal_ganglia"
    THALAMUS = "thalamus"
    DEEP = "deep"
    BRAINSTEM = "brainstem"
    CEREBELLUM = "cerebellum"
    INFRATENTORIAL = "infratentorial"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """What the node knows of a variable.

    Attributes
    ----------
    label : what the radiologist reads.
    nature : of its values.
    unit : UCUM code that values are stored in; empty where there is none.
    plausible : (lowest, highest) of a number, in ``unit``, both inclusive.
    units : of those that are converted; ``is_bare``: a number may come without any.
    loinc : code -> what the code adds to the unit.
    words : that it may be.
    lasts : True where it stays as it is for days, so that its age does not matter.
    lasts_h : hours for which a treatment counts, where that is longer than the window of the configuration.
    is_earlier : True where it is about an earlier scan: what was observed at the scan at hand, or later, is not that.
    """

    label: str
    nature: Nature = Nature.NUMBER
    unit: str = ""
    plausible: tuple[float, float] = (0.0, 0.0)
    units: Units = field(default_factory=dict)
    is_bare: bool = False
    loinc: Mapping[str, str] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    lasts: bool = False
    lasts_h: float = 0.0
    is_earlier: bool = False


def _score(label: str, low: float, high: float, *loinc: str, lasts: bool = False) -> Variable:
    return Variable(
        label=label,
        unit="{score}",
        plausible=(low, high),
        units=units("{score}", "1", "points", "point", "{points}"),
        is_bare=True,
        loinc=dict.fromkeys(loinc, ""),
        lasts=lasts,
    )


def _measured(
    label: str, unit: str, low: float, high: float, table: Units, *loinc: str, lasts: bool = False
) -> Variable:
    return Variable(
        label=label, unit=unit, plausible=(low, high), units=table, loinc=dict.fromkeys(loinc, ""), lasts=lasts
    )


def _history(label: str) -> Variable:
    return Variable(label=label, nature=Nature.YES_NO, lasts=True)


def _sign(label: str) -> Variable:
    return Variable(label=label, nature=Nature.YES_NO)


def _cells(label: str, low: float, high: float, *loinc: str) -> Variable:
    own = ("10*9/L", "G/L", "10*3/uL", "K/uL", "10*3/mm3", "Gpt/L", "/nL")
    other = (("/uL", 0.001), ("/mm3", 0.001), ("{cells}/uL", 0.001))
    return _measured(label, "10*9/L", low, high, units(*own, other=other), *loinc)


TREATED_H = 72.0
"""For so long contrast medium is seen after a thrombectomy, and scans are those of the stroke that was treated."""
_PRESSURE = units("mm[Hg]", other=(("kPa", 7.50062),))
_RATE = units("/min", "{beats}/min", "bpm", "1/min")
_TEMPERATURE = {**units("Cel", "°C", "C"), **dict.fromkeys(("degf", "°f", "f"), Conversion(5 / 9, -160 / 9))}
_HOURS = units("h", "hr", "hours", other=(("min", 1 / 60), ("d", 24.0)))
_VOLUME = units("mL", "cm3", "cc", other=(("mm3", 0.001), ("uL", 0.001)))
_LENGTH = units("mm", other=(("cm", 10.0),))

VARIABLES: dict[str, Variable] = {
    # who the patient is
    "age": _measured("Age", "a", 0.0, 130.0, units("a", "years", "yr", "y"), "30525-0", lasts=True),
    "sex": Variable(label="Sex", nature=Nature.WORD, words=("male", "female", "other"), lasts=True),
    # scales
    "gcs": _score("Glasgow Coma Scale", 3, 15, "9269-2"),
    "gcs_eye": _score("Glasgow Coma Scale, eyes", 1, 4, "9267-6"),
    "gcs_verbal": _score("Glasgow Coma Scale, verbal", 1, 5, "9270-0"),
    "gcs_motor": _score("Glasgow Coma Scale, motor", 1, 6, "9268-4"),
    "nihss": _score("NIHSS", 0, 42, "72089-6"),
    "nihss_motor": _score("NIHSS, motor items", 0, 16),
    "nihss_baseline": _score("NIHSS at baseline", 0, 42, lasts=True),
    "nihss_motor_baseline": _score("NIHSS at baseline, motor items", 0, 16, lasts=True),
    "mrs": _score("Modified Rankin Scale", 0, 6, "75859-9", lasts=True),
    "aspects": _score("ASPECTS as read", 0, 10),
    # vital signs
    "sbp": _measured("Systolic blood pressure", "mm[Hg]", 40.0, 320.0, _PRESSURE, "8480-6"),
    "dbp": _measured("Diastolic blood pressure", "mm[Hg]", 20.0, 220.0, _PRESSURE, "8462-4"),
    "heart_rate": _measured("Heart rate", "/min", 20.0, 300.0, _RATE, "8867-4"),
    "temperature": _measured("Body temperature", "Cel", 25.0, 44.0, _TEMPERATURE, "8310-5"),
    # laboratory
    "d_dimer": Variable(
        label="D-dimer",
        unit="mg/L{FEU}",
        plausible=(0.0, 500.0),
        units=d_dimer_units(),
        loinc={"48065-7": FEU, "48066-5": DDU},
    ),
    "fibrinogen": _measured("Fibrinogen", "g/L", 0.1, 20.0, units("g/L", other=(("mg/dL", 0.01),)), "3255-7"),
    "wbc": _cells("White blood cells", 0.0, 500.0, "6690-2", "26464-8"),
    "neutrophils": _cells("Neutrophils", 0.0, 300.0, "751-8", "26499-4"),
    "lymphocytes": _cells("Lymphocytes", 0.0, 300.0, "731-0", "26474-7"),
    "platelets": _cells("Platelets", 0.0, 3000.0, "777-3", "26515-7"),
    "haemoglobin": _measured(
        "Haemoglobin", "g/L", 10.0, 260.0, units("g/L", other=(("g/dL", 10.0), ("mmol/L", 16.114))), "718-7"
    ),
    "glucose": _measured(
        "Glucose",
        "mmol/L",
        0.5,
        100.0,
        units("mmol/L", "mM", other=per_mole(GLUCOSE_G_PER_MOL)),
        *("2345-7", "14749-6", "2339-0", "15074-8"),
    ),
    "hba1c": Variable(
        label="HbA1c",
        unit="%",
        plausible=(2.0, 25.0),
        # NGSP from IFCC: the master equation of the two reference systems
        units={**units("%", "%{NGSP}"), "mmol/mol": Conversion(0.09148, 2.152)},
        loinc={"4548-4": ""},
        lasts=True,
    ),
    "sodium": _measured("Sodium", "mmol/L", 80.0, 220.0, units("mmol/L", "mM", "meq/L"), "2951-2"),
    "creatinine": _measured(
        "Creatinine",
        "umol/L",
        5.0,
        3000.0,
        units("umol/L", other=[("mmol/L", 1000.0), *((unit, 1000 * f) for unit, f in per_mole(CREATININE_G_PER_MOL))]),
        *("2160-0", "14682-9"),
    ),
    "ldl": _measured(
        "LDL cholesterol",
        "mmol/L",
        0.05,
        30.0,
        units("mmol/L", other=per_mole(CHOLESTEROL_G_PER_MOL)),
        *("13457-7", "18262-6", "22748-8"),
    ),
    "hs_crp": _measured(
        "C-reactive protein, sensitive", "mg/L", 0.0, 1000.0, units("mg/L", other=(("mg/dL", 10.0),)), "30522-7"
    ),
    "inr": Variable(
        label="INR",
        unit="1",
        plausible=(0.5, 20.0),
        units=units("1", "{INR}", "ratio"),
        is_bare=True,
        loinc={"6301-6": "", "34714-6": ""},
    ),
    # history and treatment
    "hypertension": _history("Hypertension"),
    "diabetes": _history("Diabetes"),
    "atrial_fibrillation": _history("Atrial fibrillation"),
    "coronary_disease": _history("Coronary heart disease"),
    "prior_stroke": _history("Prior stroke"),
    "smoking": _history("Smoking"),
    "cognitive_impairment": _history("Cognitive impairment before the bleed"),
    "antiplatelet": _history("Antiplatelet"),
    "anticoagulant": _history("Oral anticoagulation"),
    "thrombolysis": replace(_sign("Intravenous thrombolysis"), lasts_h=TREATED_H),
    "thrombectomy": replace(_sign("Thrombectomy"), lasts_h=TREATED_H),
    "trauma": _sign("Head trauma"),
    "brain_tumour": _history("Brain tumour"),
    "aneurysm": _history("Aneurysm or vascular malformation"),
    "mca_occlusion": _sign("Occlusion of the middle cerebral artery"),
    "onset_at": Variable(label="Onset or last seen well", nature=Nature.MOMENT, lasts=True),
    "onset_to_ct": _measured("Onset to CT", "h", 0.0, 720.0, _HOURS),
    # what somebody read on this scan, or measured on an earlier one
    "bleed_location": Variable(label="Location of the bleed", nature=Nature.WORD, words=tuple(Location)),
    "ivh": _sign("Blood in the ventricles"),
    "blend_sign": _sign("Blend sign"),
    "hypodensity": _sign("Hypodensity within the bleed"),
    "midline_shift": _measured("Midline shift", "mm", 0.0, 60.0, _LENGTH),
    "evans_index": Variable(
        label="Evans index", unit="1", plausible=(0.05, 0.9), units=units("1", other=(("%", 0.01),)), is_bare=True
    ),
    "prior_bleed_volume": replace(
        _measured("Volume of the bleed on the earlier CT", "mL", 0.0, 400.0, _VOLUME), is_earlier=True
    ),
}
"""By name; the names are those that manifests of bundles and ``docs/context.md`` use."""

BY_LOINC: dict[str, str] = {code: name for name, variable in VARIABLES.items() for code in variable.loinc}

SECTIONS = ("indication", "history", "findings", "impression", "report")
"""Sections of a report; ``report`` is one that was not divided."""
