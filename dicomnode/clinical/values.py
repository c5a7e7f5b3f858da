"""From what a source writes to a value of a variable: number, unit, word or moment; refused with a coded reason."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from dicomnode.clinical.units import plain
from dicomnode.clinical.variables import BY_LOINC, VARIABLES, Nature, Variable
from dicomnode.errors import ContextError, ContextRefusal

Value = float | str | bool

NOT_TESTED = frozenset({"t", "nt", "un", "untestable", "not testable", "unknown"})
"""How scales write what could not be examined, such as the words of an intubated patient: missing, not a score of 0."""
_YES, _NO = frozenset({"yes", "y", "true", "1", "present"}), frozenset({"no", "n", "false", "0", "absent"})


def refused(why: ContextRefusal) -> ContextError:
    """The error for one value."""
    return ContextError([("", why)])


def name_of(name: str, loinc: str) -> str:
    """The variable that a source means, by its name or by a LOINC code.

    Raises
    ------
    ContextError : the node knows no such variable.
    """
    found = name if name else BY_LOINC.get(loinc.strip(), "")
    if found not in VARIABLES:
        raise refused(ContextRefusal.UNKNOWN_VARIABLE)
    return found


def read_value(name: str, value: Value, unit: str = "", *, loinc: str = "", zone: ZoneInfo) -> Value | None:
    """A value in the variable's own unit; None where the source says that it could not be examined.

    Parameters
    ----------
    name : of a variable of the table.
    unit : as the source writes it.
    loinc : the code under which it came; some say more of the unit.
    zone : of moments that are written without an offset.

    Raises
    ------
    ContextError : no number, no unit, an unknown or ambiguous unit, an unknown word, or outside the plausible range.
    """
    variable = VARIABLES[name]
    if isinstance(value, str) and value.strip().casefold() in NOT_TESTED:
        return None
    if variable.nature is Nature.NUMBER:
        return _number(variable, value, unit, loinc)
    if variable.nature is Nature.YES_NO:
        return _yes_or_no(value)
    if variable.nature is Nature.MOMENT:
        moment = datetime.fromtimestamp(read_moment(str(value), zone), UTC)
        return moment.isoformat(timespec="seconds")
    return _word(variable, value)


def _number(variable: Variable, value: Value, unit: str, loinc: str) -> float:
    number = _float(value)
    key = plain(unit)
    if not key and not variable.is_bare:
        raise refused(ContextRefusal.NO_UNIT)
    adds = variable.loinc.get(loinc.strip(), "")
    conversion = variable.units.get(key) or variable.units.get(plain(unit + adds))
    if conversion is None and not (variable.is_bare and not key):
        raise refused(ContextRefusal.UNKNOWN_UNIT)
    own = number if conversion is None else conversion(number)
    low, high = variable.plausible
    if not low <= own <= high:
        raise refused(ContextRefusal.IMPLAUSIBLE)
    return float(f"{own:.10g}")


def _float(value: Value) -> float:
    if isinstance(value, bool):
        raise refused(ContextRefusal.NOT_A_NUMBER)
    try:
        number = float(value)
    except (ValueError, OverflowError) as fault:
        raise refused(ContextRefusal.NOT_A_NUMBER) from fault
    if not math.isfinite(number):
        raise refused(ContextRefusal.NOT_A_NUMBER)
    return number


def _yes_or_no(value: Value) -> bool:
    if isinstance(value, bool):
        return value
    text = f"{value:g}" if isinstance(value, int | float) else value.strip().casefold()
    if text not in _YES | _NO:
        raise refused(ContextRefusal.NOT_YES_OR_NO)
    return text in _YES


def _word(variable: Variable, value: Value) -> str:
    text = "_".join(str(value).casefold().split())
    if text not in variable.words:
        raise refused(ContextRefusal.UNKNOWN_WORD)
    return text


def read_moment(text: str, zone: ZoneInfo) -> float:
    """Seconds since the epoch of an ISO 8601 date and time, to the minute or finer.

    Parameters
    ----------
    zone : of a time without an offset.

    Raises
    ------
    ContextError : it is none, or a date alone.
    """
    stripped = text.strip()
    try:
        moment = datetime.fromisoformat(stripped)
        if _is_date_alone(stripped):
            raise refused(ContextRefusal.NO_TIME)
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()
    except (ValueError, OverflowError) as fault:
        raise refused(ContextRefusal.NOT_A_TIME) from fault


def _is_date_alone(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def read_birth_date(text: str) -> str:
    """``YYYYMMDD`` of ``1944-05-02`` or ``19440502``; empty where nothing is stated.

    Raises
    ------
    ContextError : it is no date.
    """
    if not text.strip():
        return ""
    try:
        return date.fromisoformat(text.strip()).strftime("%Y%m%d")
    except ValueError as fault:
        raise refused(ContextRefusal.NOT_A_TIME) from fault


_SEXES = {"m": "M", "male": "M", "f": "F", "w": "F", "female": "F", "o": "O", "other": "O", "d": "O"}
_NO_SEX = frozenset({"", "u", "unknown", "n", "a"})


def read_sex(text: str) -> str:
    """``M``, ``F``, ``O``, or empty where nothing is stated.

    Raises
    ------
    ContextError : it is none of the words for it.
    """
    word = text.strip().casefold()
    if word not in _NO_SEX and word not in _SEXES:
        raise refused(ContextRefusal.UNKNOWN_WORD)
    return _SEXES.get(word, "")
