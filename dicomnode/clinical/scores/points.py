"""Published point scores, component by component.

Each function gives the points of every component, so that a report can show how a total comes about.
"""

from __future__ import annotations

from collections.abc import Sequence

from dicomnode.clinical.variables import Location

Points = dict[str, int]
"""Component -> its points; the score is their sum."""

INFRATENTORIAL = frozenset({Location.BRAINSTEM, Location.CEREBELLUM, Location.INFRATENTORIAL})
ICH_VOLUME_ML = 30.0


def _band(value: float, limits: Sequence[float], points: Sequence[int]) -> int:
    """Points of the band that a value lies in; a value at a limit lies above it."""
    return points[sum(value >= limit for limit in limits)]


def ich_score(gcs: float, volume_ml: float, ivh: bool, location: Location, age: float) -> Points:
    """ICH Score, 0 to 6. Hemphill JC et al. Stroke 2001.

    >>> sum(ich_score(10, 35.0, True, Location.LOBAR, 82).values())
    4
    """
    return {
        "GCS": _band(gcs, (5, 13), (2, 1, 0)),
        "volume": _band(volume_ml, (ICH_VOLUME_ML,), (0, 1)),
        "ventricles": int(ivh),
        "infratentorial": int(location in INFRATENTORIAL),
        "age": _band(age, (80,), (0, 1)),
    }


def func(gcs: float, volume_ml: float, location: Location, age: float, cognitive_impairment: bool) -> Points:
    """FUNC, 0 to 11, the higher the better. Rost NS et al. Stroke 2008.

    >>> sum(func(10, 35.0, Location.LOBAR, 82, False).values())
    7
    """
    volume = 4 if volume_ml < 30.0 else 2 if volume_ml <= 60.0 else 0
    place = 2 if location is Location.LOBAR else 0 if location in INFRATENTORIAL else 1
    return {
        "volume": volume,
        "age": _band(age, (70, 80), (2, 1, 0)),
        "location": place,
        "GCS": _band(gcs, (9,), (0, 2)),
        "cognition": int(not cognitive_impairment),
    }


def max_ich(nihss: float, age: float, ivh: bool, anticoagulant: bool, location: Location, volume_ml: float) -> Points:
    """max-ICH, 0 to 10. Sembill JA et al. Neurology 2017.

    >>> sum(max_ich(18, 82, True, False, Location.LOBAR, 35.0).values())
    7
    """
    cut_ml = 30.0 if location is Location.LOBAR else 10.0
    return {
        "NIHSS": _band(nihss, (7, 14, 21), (0, 1, 2, 3)),
        "age": _band(age, (70, 75, 80), (0, 1, 2, 3)),
        "ventricles": int(ivh),
        "anticoagulation": int(anticoagulant),
        "volume by location": int(volume_ml >= cut_ml),
    }


def ich_gs(gcs: float, age: float, location: Location, volume_ml: float, ivh: bool) -> Points:
    """ICH Grading Scale, 5 to 13. Ruiz-Sandoval JL et al. Stroke 2007.

    >>> sum(ich_gs(10, 82, Location.LOBAR, 35.0, True).values())
    9
    """
    is_below = location in INFRATENTORIAL
    low, high = (10.0, 20.0) if is_below else (40.0, 70.0)
    return {
        "GCS": _band(gcs, (9, 13), (3, 2, 1)),
        "age": _band(age, (45, 65), (1, 2, 3)),
        "location": 2 if is_below else 1,
        "volume": 1 if volume_ml < low else 2 if volume_ml <= high else 3,
        "ventricles": 2 if ivh else 1,
    }


def bat(blend_sign: bool, hypodensity: bool, onset_to_ct_h: float) -> Points:
    """BAT, 0 to 5; 3 and more: high risk of expansion. Morotti A et al. Stroke 2018.

    >>> sum(bat(True, True, 3.0).values()), sum(bat(True, True, 2.49).values())
    (3, 5)
    """
    return {
        "blend sign": int(blend_sign),
        "hypodensity": 2 * int(hypodensity),
        "time": 2 * int(onset_to_ct_h < 2.5),
    }


def span_100(age: float, nihss: float) -> Points:
    """Stroke Prognostication using Age and NIHSS: their sum; 100 and more is positive. Saposnik G et al. 2013.

    >>> sum(span_100(82, 18).values())
    100
    """
    return {"age": int(age), "NIHSS": int(nihss)}


def thrive(nihss: float, age: float, hypertension: bool, diabetes: bool, atrial_fibrillation: bool) -> Points:
    """THRIVE, 0 to 9. Flint AC et al. 2010.

    >>> sum(thrive(18, 82, True, False, True).values())
    6
    """
    return {
        "NIHSS": 0 if nihss <= 10 else 2 if nihss <= 20 else 4,
        "age": _band(age, (60, 80), (0, 1, 2)),
        "hypertension": int(hypertension),
        "diabetes": int(diabetes),
        "atrial fibrillation": int(atrial_fibrillation),
    }
