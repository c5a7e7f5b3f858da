"""Units of clinical variables: UCUM, the spellings that laboratories use, and the way from one unit to another.

Which units fit depends on what is measured: millimoles become grams by the substance's molar mass, and two units of a
D-dimer differ by what they count. So each variable has its own table; a library of units would know neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

FEU, DDU = "{FEU}", "{DDU}"
"""What a D-dimer is counted in: fibrinogen equivalent units, or D-dimer units, of which one is about two FEU."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """To the variable's own unit: ``value x factor + offset``."""

    factor: float = 1.0
    offset: float = 0.0

    def __call__(self, value: float) -> float:
        """The value in the variable's own unit."""
        return value * self.factor + self.offset


_SAME = {"\u00b5": "u", "\u03bc": "u", "mcg": "ug", "\u00d7": "x", "\u2079": "^9", "\u00b3": "^3"}
"""Micro sign and Greek mu, sign of multiplication, powers."""

Units = Mapping[str, Conversion]
"""Spelling as :func:`plain` makes it -> conversion."""


def plain(unit: str) -> str:
    """A unit as it is looked up: case, blanks, and the ways to write a micro sign and a power make no difference.

    >>> plain("10^9 / L"), plain("µmol/l"), plain("mm[Hg]"), plain("ng/mL FEU")
    ('10*9/l', 'umol/l', 'mmhg', 'ng/mlfeu')
    """
    text = re.sub(r"[\s\[\]{}]", "", unit).casefold()
    for written, meant in _SAME.items():
        text = text.replace(written, meant)
    return re.sub(r"^x?10(?:\^|\*\*|e)(?=\d)", "10*", text).removeprefix("x")


def units(*same: str, other: Iterable[tuple[str, float]] = ()) -> Units:
    """The table of a variable.

    Parameters
    ----------
    same : its own unit, and other spellings of it.
    other : further units, each with its factor.
    """
    return {plain(unit): Conversion() for unit in same} | {plain(unit): Conversion(factor) for unit, factor in other}


def per_mole(milligrams_per_millimole: float) -> tuple[tuple[str, float], ...]:
    """Concentrations by mass -> mmol/L, by the molar mass in g/mol."""
    return (
        ("mg/dL", 10.0 / milligrams_per_millimole),
        ("mg/L", 1.0 / milligrams_per_millimole),
        ("g/L", 1000.0 / milligrams_per_millimole),
    )


def d_dimer_units() -> Units:
    """Of a D-dimer in mg/L FEU; no unit without what it counts, since the two differ by a factor of two."""
    masses = {"mg/L": 1.0, "ug/mL": 1.0, "ug/L": 0.001, "ng/mL": 0.001, "mg/dL": 10.0}
    return {
        plain(f"{mass}{counted}"): Conversion(factor * share)
        for mass, factor in masses.items()
        for counted, share in ((FEU, 1.0), (DDU, 2.0))
    }
