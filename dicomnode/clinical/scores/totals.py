"""Point scores with what they mean: one total where all is known, else the totals that are possible."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product

from dicomnode.clinical.scores import points
from dicomnode.clinical.scores.asked import Asked, Facts
from dicomnode.clinical.scores.points import Points
from dicomnode.language import listed, told
from dicomnode.records import ReferenceScore

ICH_MORTALITY = (0, 13, 26, 72, 97, 100, 100)
"""30-day mortality by ICH Score, percent; of 6 it is expected, as no patient had it (Hemphill 2001)."""
FUNC_INDEPENDENT = ((4, 0, 0), (7, 13, 29), (8, 42, 48), (10, 66, 75), (11, 82, 95))
"""Up to this FUNC: independent at 90 days of all patients, and of the survivors, percent (Rost 2008)."""

Meaning = Callable[[int, int], str]
"""From the lowest and the highest possible total to a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PointScore:
    """A published point score.

    Attributes
    ----------
    needs : inputs by name, which are the arguments of ``points``.
    full : the lowest and the highest total that there is; None: a sum without bounds of its own.
    headline : what it says in a few signs, where it does.
    """

    name: str
    label: str
    needs: tuple[str, ...]
    points: Callable[..., Points]
    full: tuple[int, int] | None
    meaning: Meaning
    headline: Meaning | None = None


def _percent(low: int, high: int) -> str:
    if low == high:
        return told("{share} %", share=low)
    return told("{low} to {high} %", low=min(low, high), high=max(low, high))


def _ich(low: int, high: int) -> str:
    expected = "of 6 it is expected, no patient had it" if high == 6 else ""
    study = listed(filter(None, ("Hemphill 2001, 152 patients", expected)), between="; ")
    whose = listed((PRIMARY, NOT_ALONE), between=" ")
    return told("30-day mortality {share} ({study}). {whose}", share=ich_mortality(low, high), study=study, whose=whose)


def ich_mortality(low: int, high: int) -> str:
    """30-day mortality from the lowest to the highest possible ICH Score: ``72 %``, ``72 to 97 %``."""
    return _percent(ICH_MORTALITY[low], ICH_MORTALITY[high])


def _func(low: int, high: int) -> str:
    shares = [next(row[1:] for row in FUNC_INDEPENDENT if total <= row[0]) for total in (low, high)]
    of_all, of_survivors = (_percent(first, last) for first, last in zip(*shares, strict=True))
    return told(
        "Independent at 90 days: {of_all} of all, {of_survivors} of survivors (Rost 2008, 629 patients). {whose}",
        of_all=of_all,
        of_survivors=of_survivors,
        whose=PRIMARY,
    )


def _max_ich(low: int, high: int) -> str:
    return told("0 to 10, the higher the worse the outcome at 12 months (Sembill 2017). {whose}", whose=PRIMARY)


def _ich_gs(low: int, high: int) -> str:
    return told("5 to 13, the higher the worse (Ruiz-Sandoval 2007). {whose}", whose=PRIMARY)


def _bat(low: int, high: int) -> str:
    risk = "high risk" if low >= 3 else "no high risk" if high < 3 else "high risk or not, as inputs are missing"
    says = "Expansion of the haematoma: {risk} (3 and more; Morotti 2018, AUC 0.65 to 0.77). {whose}"
    return told(says, risk=risk, whose=PRIMARY)


def _span(low: int, high: int) -> str:
    verdict = "positive" if low >= 100 else "negative" if high < 100 else "positive or negative, as inputs are missing"
    return told("Age plus NIHSS: {verdict} (100 and more; SPAN-100). {whose}", verdict=verdict, whose=ISCHAEMIC)


def _thrive(low: int, high: int) -> str:
    return told("0 to 9, the higher the worse the outcome (THRIVE). {whose}", whose=ISCHAEMIC)


PRIMARY = "For primary intracerebral haemorrhage only."
ISCHAEMIC = "For ischaemic stroke only."
NOT_ALONE = "Not the sole ground to limit treatment."
OF_BLEEDS = (
    PointScore(
        name="ich_score",
        label="ICH Score",
        needs=("gcs", "volume_ml", "ivh", "location", "age"),
        points=points.ich_score,
        full=(0, 6),
        meaning=_ich,
        headline=ich_mortality,
    ),
    PointScore(
        name="func",
        label="FUNC score",
        needs=("gcs", "volume_ml", "location", "age", "cognitive_impairment"),
        points=points.func,
        full=(0, 11),
        meaning=_func,
    ),
    PointScore(
        name="max_ich",
        label="max-ICH score",
        needs=("nihss", "age", "ivh", "anticoagulant", "location", "volume_ml"),
        points=points.max_ich,
        full=(0, 10),
        meaning=_max_ich,
    ),
    PointScore(
        name="ich_gs",
        label="ICH Grading Scale",
        needs=("gcs", "age", "location", "volume_ml", "ivh"),
        points=points.ich_gs,
        full=(5, 13),
        meaning=_ich_gs,
    ),
    PointScore(
        name="bat",
        label="BAT score",
        needs=("blend_sign", "hypodensity", "onset_to_ct_h"),
        points=points.bat,
        full=(0, 5),
        meaning=_bat,
    ),
)
OF_ISCHAEMIA = (
    PointScore(
        name="span_100", label="SPAN-100", needs=("age", "nihss"), points=points.span_100, full=None, meaning=_span
    ),
    PointScore(
        name="thrive",
        label="THRIVE score",
        needs=("nihss", "age", "hypertension", "diabetes", "atrial_fibrillation"),
        points=points.thrive,
        full=(0, 9),
        meaning=_thrive,
    ),
)


def point_scores(facts: Facts) -> tuple[PointScore, ...]:
    """Those that are made for such a patient: of bleeds, or of ischaemic stroke, of which the NIHSS tells.

    After a thrombectomy what is dense may be contrast, and a bleed is none of the primary ones that the scores are for.
    """
    if facts.has_bleed and not facts.is_after_thrombectomy:
        return OF_BLEEDS
    return OF_ISCHAEMIA if facts.told("nihss") is not None else ()


def total_of(score: PointScore, asked: Mapping[str, Asked]) -> ReferenceScore:
    """A score with its total, or with the totals that are possible; neither where all of them still are."""
    trials = [
        score.points(**dict(zip(asked, values, strict=True)))
        for values in product(*(one.values for one in asked.values()))
    ]
    totals = [sum(trial.values()) for trial in trials]
    low, high = min(totals), max(totals)
    is_open = (low, high) == score.full if score.full else not all(one.shown for one in asked.values())
    return ReferenceScore(
        name=score.name,
        label=score.label,
        value=float(low) if low == high else None,
        unit="{score}",
        meaning=_unknown(asked) if is_open else score.meaning(low, high),
        possible=None if low == high or is_open else (float(low), float(high)),
        working=_working(trials),
        headline="" if is_open or score.headline is None else score.headline(low, high),
        inputs=tuple(shown for one in asked.values() for shown in one.shown),
        missing=tuple(one.label for one in asked.values() if not one.shown),
    )


def _unknown(asked: Mapping[str, Asked]) -> str:
    return told("Not known: {names}.", names=listed(one.label for one in asked.values() if not one.shown))


def _working(trials: list[Points]) -> str:
    """``GCS 1, volume 1, ventricles 0 to 1``."""
    parts = []
    for component in trials[0]:
        found = [trial[component] for trial in trials]
        low, high = min(found), max(found)
        says = "{part} {low}" if low == high else "{part} {low} to {high}"
        parts.append(told(says, part=component, low=low, high=high))
    return listed(parts)
