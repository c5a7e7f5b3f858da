"""Values of OBX segments (HL7 v2.5 chapter 7, 7.4.2)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dicomnode.clinical.sources.hl7.codes import Code
from dicomnode.clinical.sources.hl7.message import NULL, Segment
from dicomnode.clinical.sources.hl7.statements import Standing
from dicomnode.clinical.sources.hl7.telling import Telling
from dicomnode.clinical.sources.hl7.times import iso
from dicomnode.clinical.units import plain
from dicomnode.clinical.values import Value, read_value, refused
from dicomnode.clinical.variables import VARIABLES, Nature
from dicomnode.errors import ContextError, ContextRefusal
from dicomnode.records import ContextSource, Observation

OBX_5, OBX_6 = 5, 6
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_LIMIT = re.compile(r"\s*(?:<|>|<=|>=|≤|≥)\s*\d.*", re.ASCII)


def read_result(
    obx: Segment, obr: Segment | None, place: int, code: Code, standing: Standing, telling: Telling
) -> None:
    """Take what one OBX says of a variable, or say why it cannot be used.

    Parameters
    ----------
    obr : of the order that it belongs to.
    place : of the segment among its kind, from 1.
    """
    is_gone = standing is Standing.WITHDRAWN or obx.is_null(OBX_5)
    known = None
    try:
        observed_at = _observed_at(obx, obr, code, telling)
    except ContextError as fault:
        telling.fault(obx, place, OBX_5, fault)
        return
    key = telling.key("value", _order(obr), code.local or code.loinc, obx.text(4), str(observed_at))
    try:
        value = None if is_gone else _value(obx, code, telling)
        if value is not None:
            known = _observation(code, value, observed_at, telling.where("OBX", obx.text(1) or str(place)), telling)
            telling.require_one_word(key, standing, known)
    except ContextError as fault:
        # it cannot be used, but what was said before is no more what its source says
        telling.fault(obx, place, OBX_5, fault)
        known = None
    telling.say(key, Standing.WITHDRAWN if is_gone else standing, known)


def _observed_at(obx: Segment, obr: Segment | None, code: Code, telling: Telling) -> float | None:
    """When it was observed; None where that is not stated, as it may be of what lasts."""
    moment = telling.moment([obx.text(14), *([obr.text(7)] if obr else [])])
    if moment is None and not VARIABLES[code.name].lasts:
        raise refused(ContextRefusal.NO_TIME)
    return moment


def _observation(code: Code, value: Value, observed_at: float | None, where: str, telling: Telling) -> Observation:
    return Observation(
        patient=telling.patient,
        name=code.name,
        value=value,
        unit=VARIABLES[code.name].unit,
        source=ContextSource.HL7,
        observed_at=observed_at,
        provenance=where,
    )


def _order(obr: Segment | None) -> str:
    """Number of whoever fills the order, else of whoever placed it."""
    return "" if obr is None else obr.text(3) or obr.text(2)


def _value(obx: Segment, code: Code, telling: Telling) -> Value | None:
    """In the variable's own unit; None where it could not be examined.

    Raises
    ------
    ContextError : nothing, several values, only a limit, or what a document would be refused for, too.
    """
    places = [one for one in obx.repetitions(OBX_5) if obx.whole(OBX_5, one).strip() not in ("", NULL)]
    if not places:
        raise refused(ContextRefusal.MISSING_FIELD)
    if len(places) > 1:
        raise refused(ContextRefusal.SEVERAL_VALUES)
    nature = VARIABLES[code.name].nature
    written = list(_written(obx, places[0], nature, telling))
    units = list(_units(obx, code, telling)) if nature is Nature.NUMBER else [""]
    return _first_that_fits(code, written, units, telling)


def _first_that_fits(code: Code, written: list[str], units: list[str], telling: Telling) -> Value | None:
    """A coded entry says the same as code and as text, and so does a unit; one of them is what the node knows."""
    faults: list[ContextError] = []
    for text in written:
        for unit in units:
            try:
                return read_value(code.name, text, unit, loinc=code.loinc, zone=telling.rules.zone)
            except ContextError as fault:
                faults.append(fault)
    raise faults[0]


def _written(obx: Segment, place: int, nature: Nature, telling: Telling) -> Iterator[str]:
    """The ways in which a value is written, at least one."""
    kind = obx.text(2).upper()
    if nature is Nature.NUMBER:
        yield _structured(obx, place) if kind == "SN" else _number(obx.text(OBX_5, repetition=place))
    elif nature is Nature.MOMENT:
        yield iso(obx.text(OBX_5, repetition=place), telling.zone)
    elif kind in ("CE", "CWE", "CNE", "CF"):
        parts = [obx.text(OBX_5, part, repetition=place) for part in (1, 2, 4, 5, 9)]
        yield from [part for part in parts if part] or [""]
    else:
        yield obx.text(OBX_5, repetition=place)


def _number(text: str) -> str:
    if _LIMIT.fullmatch(text):
        raise refused(ContextRefusal.ONLY_A_LIMIT)
    # words for what could not be examined are told apart further on
    if any(letter.isdigit() for letter in text) and not _NUMBER.fullmatch(text):
        raise refused(ContextRefusal.NOT_A_NUMBER)
    return text


def _structured(obx: Segment, place: int) -> str:
    """``comparator ^ number ^ separator ^ number`` (SN): one number that equals."""
    comparator, number, separator, second = (obx.text(OBX_5, part, repetition=place) for part in (1, 2, 3, 4))
    if comparator not in ("", "="):
        raise refused(ContextRefusal.ONLY_A_LIMIT)
    if separator or second:
        raise refused(ContextRefusal.NOT_A_NUMBER)
    return _number(number)


def _units(obx: Segment, code: Code, telling: Telling) -> Iterator[str]:
    """OBX-6 as code, as text and as alternate; or what the site says that its laboratory means."""
    given = [unit for unit in (obx.text(OBX_6, part) for part in (1, 2, 4, 5)) if unit]
    meant = telling.rules.units.get(code.local, "")
    if meant and all(plain(meant).startswith(plain(unit)) for unit in given):
        yield meant
    else:
        yield from given or [""]
