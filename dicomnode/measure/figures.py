"""How figures are rounded: once, for reports, pictures, tables of commands and JSON alike."""

from __future__ import annotations

SPECK_ML = 1.0
"""Below it neither ABC/2 nor the greatest attenuation says anything: both are of a few voxels."""


def decimals_of_ml(volume_ml: float) -> int:
    """How many decimals a volume is given with: three figures, or hundredths of a millilitre.

    >>> decimals_of_ml(26.94), decimals_of_ml(3.456)
    (1, 2)
    """
    return 1 if abs(volume_ml) >= 9.995 else 2


def rounded_ml(volume_ml: float) -> float:
    """A volume as it is told.

    >>> rounded_ml(26.94), rounded_ml(3.456), rounded_ml(9.996)
    (26.9, 3.46, 10.0)
    """
    return round(volume_ml, decimals_of_ml(volume_ml))


def rounded_mm(length_mm: float) -> float:
    """A length as it is told, whole millimetres."""
    return float(round(length_mm))


def rounded_hu(attenuation_hu: float) -> float:
    """An attenuation as it is told, whole Hounsfield units."""
    return float(round(attenuation_hu))


def rounded_probability(probability: float, threshold: float | None = None) -> float:
    """A probability in hundredths, on the side of its threshold on which it lies.

    >>> rounded_probability(0.557, 0.56), rounded_probability(0.4, 0.56)
    (0.55, 0.4)
    """
    shown = round(probability, 2)
    if threshold is None or (shown >= threshold) == (probability >= threshold):
        return shown
    return round(shown + (0.01 if probability >= threshold else -0.01), 2)


class Millilitres(float):
    """A volume that is told with its unit: ``f"{Millilitres(26.94)}"`` is ``26.9 mL``, wherever it stands."""

    def __format__(self, spec: str) -> str:
        return f"{rounded_ml(self):.{decimals_of_ml(self)}f} mL"
