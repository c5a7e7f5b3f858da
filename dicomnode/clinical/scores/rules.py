"""Published rules that give a verdict or a measure instead of points."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

HE_SHARE, HE_ML = 0.33, 6.0
HE_UNSTABLE_ML = 1.0
METALLIC_MM, METALLIC_HU = 10.0, 90.0
SHIFT_MM, EVANS = 5.0, 0.30
DAY_S = 86400.0


@dataclass(frozen=True, slots=True)
class Expansion:
    """Growth of a haematoma between two scans.

    Attributes
    ----------
    growth_ml, share : absolute, and by the earlier volume; ``share`` is infinite where there was none.
    is_expansion : more than 33 % or more than 6 mL.
    is_unstable : the earlier volume is below 1 mL, so that the ratio says little.
    """

    growth_ml: float
    share: float
    is_expansion: bool
    is_unstable: bool


def expansion(earlier_ml: float, later_ml: float) -> Expansion:
    """Haematoma expansion: growth by more than 33 % or more than 6 mL.

    >>> expansion(20.0, 26.0).is_expansion, expansion(10.0, 13.4).is_expansion, expansion(0.5, 0.7).is_unstable
    (False, True, True)
    """
    # rounded to what volumes are good for: 20 -> 26 mL is 6 mL exactly, whatever the last bits say
    growth_ml = round(later_ml - earlier_ml, 6)
    share = round(growth_ml / earlier_ml, 9) if earlier_ml > 0 else math.inf if growth_ml > 0 else 0.0
    return Expansion(growth_ml, share, share > HE_SHARE or growth_ml > HE_ML, earlier_ml < HE_UNSTABLE_ML)


def is_metallic(longest_mm: float, max_hu: float) -> bool:
    """Metallic hyperdensity sign of a lesion in the basal ganglia: at least 1 cm, and more than 90 HU at most.

    >>> is_metallic(12.0, 95.0), is_metallic(9.0, 120.0), is_metallic(12.0, 90.0)
    (True, False, False)
    """
    return longest_mm >= METALLIC_MM and max_hu > METALLIC_HU


class Deterioration(StrEnum):
    """Definitions of early neurological deterioration (END); which one is meant must stand beside every figure."""

    TWO_OR_MOTOR_7D = "NIHSS +2 or motor items +1 within 7 days"
    TWO_72H = "NIHSS +2 within 72 h"
    FOUR_24H = "NIHSS +4 within 24 h"


_WITHIN_S = {
    Deterioration.TWO_OR_MOTOR_7D: 7 * DAY_S,
    Deterioration.TWO_72H: 3 * DAY_S,
    Deterioration.FOUR_24H: DAY_S,
}


def is_deteriorated(
    definition: Deterioration, total: tuple[float, float], motor: tuple[float, float] | None, after_s: float
) -> bool | None:
    """Whether two examinations show END.

    Parameters
    ----------
    total, motor : NIHSS and its motor items (5a, 5b, 6a, 6b) before and after; ``motor`` None: not known.
    after_s : between the two.

    Returns
    -------
    None where it cannot be told: the later examination lies beyond the definition's time, or the motor items decide
    and are not known.

    >>> is_deteriorated(Deterioration.TWO_OR_MOTOR_7D, (8, 9), (3, 4), 3600.0)
    True
    >>> is_deteriorated(Deterioration.TWO_OR_MOTOR_7D, (8, 9), (3, 3), 3600.0)
    False
    """
    if not 0 <= after_s <= _WITHIN_S[definition]:
        return None
    rise = total[1] - total[0]
    if definition is Deterioration.FOUR_24H:
        return rise >= 4
    if rise >= 2 or definition is Deterioration.TWO_72H:
        return rise >= 2
    return None if motor is None else motor[1] - motor[0] >= 1


def midline_shift_mm(inner_skull_mm: float, to_septum_mm: float) -> float:
    """Shift of the septum pellucidum: A/2 - B.

    Parameters
    ----------
    inner_skull_mm : A, width between the inner tables at the foramen of Monro.
    to_septum_mm : B, from the inner table to the septum on the side that it is shifted to.

    >>> midline_shift_mm(140.0, 64.0)
    6.0
    """
    return inner_skull_mm / 2 - to_septum_mm


def evans_index(frontal_horns_mm: float, inner_skull_mm: float) -> float:
    """Largest width of the frontal horns by the largest inner width of the skull on the same slice.

    >>> round(evans_index(45.0, 130.0), 3)
    0.346
    """
    return frontal_horns_mm / inner_skull_mm


def net_water_uptake(ischaemic_hu: float, mirror_hu: float) -> float:
    """Net water uptake, percent: how much less dense the ischaemic region is than its mirror.

    >>> round(net_water_uptake(27.0, 34.0), 1)
    20.6
    """
    return (1 - ischaemic_hu / mirror_hu) * 100


def oedema_extension_cm(oedema_ml: float, haematoma_ml: float) -> float:
    """Oedema extension distance: radius of a ball of both, less that of a ball of the haematoma.

    Parry-Jones AR et al. Stroke 2015.

    >>> round(oedema_extension_cm(20.0, 20.0), 3)
    0.438
    """
    ball = 4 * math.pi / 3
    return float(((oedema_ml + haematoma_ml) / ball) ** (1 / 3) - (haematoma_ml / ball) ** (1 / 3))
