"""Published rules and measures as they stand beside the point scores."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from dicomnode.clinical.scores.asked import Asked, Facts, shown
from dicomnode.clinical.scores.rules import (
    EVANS,
    METALLIC_HU,
    METALLIC_MM,
    SHIFT_MM,
    Deterioration,
    expansion,
    is_deteriorated,
    is_metallic,
    oedema_extension_cm,
)
from dicomnode.clinical.variables import Location
from dicomnode.language import listed, told
from dicomnode.measure.figures import Millilitres, rounded_hu, rounded_ml, rounded_mm
from dicomnode.records import MEASURED, BrainPart, ContextValue, HeadMeasures, ReferenceScore, Region, ScoreInput

SCORE = "{score}"
_METALLIC_STUDY = "198 patients: bleed at 24 h in 76 % with it, in 4 % without"
_BASAL_GANGLIA = frozenset({Location.BASAL_GANGLIA, Location.DEEP})


def verdicts(facts: Facts) -> Iterator[ReferenceScore]:
    """Those of which anything is known."""
    if facts.has_bleed:
        yield from _volume(facts)
        yield from _oedema(facts)
    yield from _expansion(facts)
    if facts.is_after_thrombectomy and facts.bleed is not None:
        yield from _after_thrombectomy(facts)
    yield from _deterioration(facts)
    yield from _mass_effect(facts)


def _volume(facts: Facts) -> Iterator[ReferenceScore]:
    asked = facts.asked("volume_ml")
    if len(asked.values) < 2 or not rounded_ml(asked.values[1]):
        return
    # as told: a share of other figures than those beside it would contradict them
    estimate, volume = map(rounded_ml, asked.values)
    yield ReferenceScore(
        name="abc2_total",
        label=told("{noun}, ABC/2", noun=facts.noun),
        value=estimate,
        unit="mL",
        meaning=told(
            "By voxels {volume} ({share:+.0f} %); Kothari 1996.",
            volume=Millilitres(volume),
            share=100 * (estimate - volume) / volume,
        ),
        inputs=asked.shown[1:],
    )


def _oedema(facts: Facts) -> Iterator[ReferenceScore]:
    oedema, bleed = facts.oedema, facts.bleed
    if oedema is None or oedema.total is None or bleed is None or bleed.total is None:
        return
    oedema_ml, bleed_ml = rounded_ml(oedema.total.volume_ml), rounded_ml(bleed.total.volume_ml)
    yield ReferenceScore(
        name="oedema_extension",
        label="Oedema extension distance",
        value=round(oedema_extension_cm(oedema_ml, bleed_ml), 2),
        unit="cm",
        meaning="Radius of a ball of bleed and oedema less that of a ball of the bleed (Parry-Jones 2015).",
        inputs=(
            ScoreInput("Oedema, volume", told("{ml}", ml=Millilitres(oedema_ml)), MEASURED),
            *facts.asked("volume_ml").shown[-1:],
        ),
    )


def _expansion(facts: Facts) -> Iterator[ReferenceScore]:
    earlier = facts.context.value("prior_bleed_volume")
    # what was measured on this scan, or after it, is no earlier volume
    if earlier is None or facts.bleed is None or (earlier.offset_s is not None and earlier.offset_s >= 0):
        return
    now_ml = 0.0 if facts.bleed.total is None else facts.bleed.total.volume_ml
    grown = expansion(float(earlier.value), now_ml)
    verdict = "Expansion" if grown.is_expansion else "No expansion"
    growth = told("{growth:+.1f} mL", growth=grown.growth_ml)
    share = "" if math.isinf(grown.share) else told("{share:+.0f} %", share=100 * grown.share)
    rule = "more than 33 % or more than 6 mL"
    says = told("{verdict} ({figures}; {rule}).", verdict=verdict, figures=_joined(growth, share), rule=rule)
    unstable = "The earlier volume is below 1 mL: the ratio says little." if grown.is_unstable else ""
    yield ReferenceScore(
        name="expansion",
        label="Growth of the bleed since the earlier CT"
        if not facts.is_after_thrombectomy
        else "Growth of the hyperdensity since the earlier CT",
        value=rounded_ml(grown.growth_ml),
        unit="mL",
        meaning=_joined(says, unstable, between=" "),
        inputs=(shown(earlier), *facts.asked("volume_ml").shown[-1:]),
    )


def _after_thrombectomy(facts: Facts) -> Iterator[ReferenceScore]:
    assert facts.bleed is not None
    total = facts.bleed.total
    if total is not None:
        yield ReferenceScore(
            name="hyperdense_vol",
            label="Hyperdensity above 50 HU after thrombectomy",
            value=rounded_ml(facts.hyperdense_ml),
            unit="mL",
            meaning=told(
                "Blood or contrast: not to be told apart on single-energy CT. Maximum {hu:.0f} HU.",
                hu=rounded_hu(total.max_hu),
            ),
        )
    yield _metallic(facts, facts.bleed.lesions)


def _metallic(facts: Facts, lesions: tuple[Region, ...]) -> ReferenceScore:
    """Present or absent; both are possible where a lesion is large and dense enough and nobody told where it lies."""
    dense = [lesion for lesion in lesions if is_metallic(lesion.longest_diameter_mm, lesion.max_hu)]
    place = facts.asked("location")
    is_there, is_open = _in_basal_ganglia(dense, place if place.was_told else None)
    leading = max(lesions, key=lambda lesion: lesion.max_hu, default=None)
    measured = () if leading is None else (_of_region("Longest diameter and maximum of the densest", leading),)
    says = "Present or absent, by location" if is_open else "Present" if is_there else "Absent"
    return ReferenceScore(
        name="metallic_sign",
        label="Metallic hyperdensity sign (1 present, 0 absent)",
        value=None if is_open else float(is_there),
        unit=SCORE,
        meaning=told(
            "{says} (basal ganglia, {mm:g} mm or more, above {hu:g} HU; {study}).",
            says=says,
            mm=METALLIC_MM,
            hu=METALLIC_HU,
            study=_METALLIC_STUDY,
        ),
        possible=(0.0, 1.0) if is_open else None,
        inputs=(*measured, *place.shown),
        missing=(place.label,) if is_open and not place.shown else (),
    )


def _in_basal_ganglia(dense: list[Region], place: Asked | None) -> tuple[bool, bool]:
    """Whether a dense lesion lies in the basal ganglia, and whether that is open: as told, else as the frame shows."""
    if place is not None:
        is_open = bool(dense) and place.values == (Location.DEEP,)
        return bool(dense) and place.values[0] in _BASAL_GANGLIA and not is_open, is_open
    is_there = any(lesion.parts == (BrainPart.BASAL_GANGLIA,) for lesion in dense)
    is_possible = any(not lesion.parts or BrainPart.BASAL_GANGLIA in lesion.parts for lesion in dense)
    return is_there, is_possible and not is_there


def _of_region(label: str, region: Region) -> ScoreInput:
    mm, hu = rounded_mm(region.longest_diameter_mm), rounded_hu(region.max_hu)
    return ScoreInput(label, told("{mm:.0f} mm, {hu:.0f} HU", mm=mm, hu=hu), MEASURED)


def _deterioration(facts: Facts) -> Iterator[ReferenceScore]:
    names = ("nihss_baseline", "nihss", "nihss_motor_baseline", "nihss_motor")
    before, after, motor_before, motor_after = (facts.context.value(name) for name in names)
    if before is None or after is None or before.offset_s is None or after.offset_s is None:
        return
    motor = None if motor_before is None or motor_after is None else (_number(motor_before), _number(motor_after))
    after_s = after.offset_s - before.offset_s
    known = tuple(shown(one) for one in (before, after, motor_before, motor_after) if one is not None)
    for number, definition in enumerate(Deterioration, start=1):
        verdict = is_deteriorated(definition, (_number(before), _number(after)), motor, after_s)
        if verdict is not None:
            yield ReferenceScore(
                name=f"end_{number}",
                label=told("Early neurological deterioration {number} (1 yes, 0 no)", number=number),
                value=float(verdict),
                unit=SCORE,
                meaning=told(
                    "{verdict} by this definition: {definition}.",
                    verdict="Yes" if verdict else "No",
                    definition=definition.value,
                ),
                inputs=known,
            )


def _joined(*texts: str, between: str = ", ") -> str:
    return listed(filter(None, texts), between=between)


def _number(known: ContextValue) -> float:
    return float(known.value)


def _mass_effect(facts: Facts) -> Iterator[ReferenceScore]:
    """What somebody read, else what was measured."""
    head = facts.head or HeadMeasures(likeness=0.0)
    shift_mm = None if head.midline_shift_mm is None else float(abs(round(head.midline_shift_mm)))
    evans = None if head.evans_index is None else round(head.evans_index, 2)
    shift = _read_or_measured(facts, "midline_shift", "Midline shift", "mm", shift_mm)
    if shift is not None:
        verdict = "Significant" if (shift.value or 0.0) > SHIFT_MM else "Not significant"
        yield replace(shift, meaning=told("{verdict} (more than {limit:g} mm).", verdict=verdict, limit=SHIFT_MM))
    index = _read_or_measured(facts, "evans_index", "Evans index", "1", evans)
    if index is not None:
        verdict = "Ventriculomegaly" if (index.value or 0.0) > EVANS else "No ventriculomegaly"
        yield replace(index, meaning=told("{verdict} (more than {limit:.2f}).", verdict=verdict, limit=EVANS))


def _read_or_measured(facts: Facts, name: str, label: str, unit: str, measured: float | None) -> ReferenceScore | None:
    known = facts.context.value(name)
    if known is not None:
        value = _number(known)
        return ReferenceScore(name=name, label=label, value=value, unit=unit, meaning="", inputs=(shown(known),))
    if measured is None:
        return None
    said = told("{mm:.0f} mm", mm=measured) if unit == "mm" else told("{index:.2f}", index=measured)
    inputs = (ScoreInput(label, said, MEASURED),)
    return ReferenceScore(name=name, label=label, value=measured, unit=unit, meaning="", inputs=inputs)
