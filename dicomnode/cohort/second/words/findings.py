"""The findings section: what the reader of the baseline CT writes, from what the scan shows.

It names type, side, place and rough size of blood, staining, infarct and atrophy. Signs a reader seldom words
(heterogeneity of a clot, attenuation of staining, a dense artery, blood hidden below staining) stay in the image. A
node that runs on a new scan has no such section: models are trained without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from dicomnode.cohort.lesions import Lesions
from dicomnode.cohort.patients import Patient, Site
from dicomnode.cohort.second.words.lexicon import choice, read_table
from dicomnode.cohort.streams import stream

SPELLINGS: dict[Site, dict[str, str]] = {
    Site.A: {"haem": "haem", "gr": "grey"},
    Site.B: {"haem": "hem", "gr": "gray"},
}
SMALL_BELOW_ML, LARGE_FROM_ML = 5.0, 30.0
MEASURED_FROM_ML = 2.0
INFARCT_SEEN_FROM_ML = 8.0
ATROPHY_SEEN_FROM = 0.6


@cache
def _table() -> dict[str, dict[str, tuple[str, ...]]]:
    return {
        part: {key: tuple(values) for key, values in table.items()}
        for part, table in read_table("findings.toml").items()
    }


@dataclass(frozen=True, slots=True)
class _Reader:
    """Draws sentences for one scan; ``spelling`` fills the places of British or American words."""

    shown: Lesions
    spelling: Mapping[str, str]
    rng: np.random.Generator

    def word(self, part: str, key: str) -> str:
        return choice(self.rng, _table()[part][key]).format_map(self.spelling)

    def say(self, part: str, key: str, **facts: Any) -> str:
        side = "left" if self.shown.side > 0 else "right"
        named = {**facts, **self.spelling, "side": side}
        first = {name.capitalize(): _first(str(value)) for name, value in named.items()}
        return choice(self.rng, _table()[part][key]).format(
            **named, **first, **{f"{name}_first": _first(str(value)) for name, value in named.items()}
        )

    def size(self, volume_ml: float) -> str:
        key = "small" if volume_ml < SMALL_BELOW_ML else "moderate" if volume_ml < LARGE_FROM_ML else "large"
        return self.word("words", key)


def _first(text: str) -> str:
    """With a capital at the beginning; the rest stays."""
    return text[:1].upper() + text[1:]


def _place(shown: Lesions, name: str) -> str:
    return name if name == "brainstem" else f"{'left' if shown.side > 0 else 'right'} {name}"


def _clot(reader: _Reader) -> str:
    shown = reader.shown
    place = _place(shown, shown.site_of_bleed or "hemisphere")
    if shown.petechial:
        return reader.say("blood", "specks", place=place)
    clot = reader.word("words", "contusion" if shown.contused else "clot")
    if shown.iph_ml >= MEASURED_FROM_ML and reader.rng.random() < 0.4:
        step = 1 if shown.iph_ml < 10 else 5
        return reader.say("blood", "clot_measured", clot=clot, place=place, ml=step * round(shown.iph_ml / step))
    return reader.say("blood", "clot", clot=clot, place=place, size=reader.size(shown.iph_ml))


def _subdural(reader: _Reader) -> str:
    shown = reader.shown
    facts = {
        "kind": reader.word("subdural", shown.subdural.name.lower()),
        "where": reader.word("subdural", shown.surface.name.lower()),
        "size": reader.size(shown.sdh_ml + shown.sdh_old_ml),
        "mm": round(shown.sdh_thickness_mm),
    }
    measured = shown.sdh_thickness_mm >= 1.0 and reader.rng.random() < 0.5
    return reader.say("subdural", "measured" if measured else "sentences", **facts)


def _blood(reader: _Reader) -> list[str]:
    shown, lines = reader.shown, []
    if shown.iph_ml:
        lines.append(_clot(reader))
    if shown.ivh_ml:
        lines.append(reader.say("blood", "ventricles"))
    if shown.sah_ml:
        lines.append(reader.say("subarachnoid", shown.subarachnoid.name.lower()))
    if shown.sdh_ml or shown.sdh_old_ml:
        lines.append(_subdural(reader))
    if shown.edh_ml:
        lines.append(reader.say("blood", "epidural", size=reader.size(shown.edh_ml)))
    return lines or [reader.say("blood", "none")]


def _stained_place(shown: Lesions) -> str:
    x, y, _ = shown.place_mm
    return _place(shown, "basal ganglia" if abs(x) < 34.0 and abs(y) < 25.0 else "hemisphere")


def _other(reader: _Reader) -> list[str]:
    shown, lines = reader.shown, []
    if shown.stain_ml:
        lines.append(reader.say("other", "staining", place=_stained_place(shown)))
    if shown.infarct_ml > INFARCT_SEEN_FROM_ML:
        lines.append(reader.say("other", "infarct"))
    if shown.atrophy > ATROPHY_SEEN_FROM:
        lines.append(reader.say("other", "atrophy"))
    return lines


def write_findings(patient: Patient) -> str:
    """The findings of the baseline CT, without heading; the same patient gives the same words."""
    rng = stream(patient.seed, "words", "findings")
    site = patient.site if patient.site in SPELLINGS else (Site.A, Site.B)[int(rng.integers(2))]
    reader = _Reader(patient.lesions, SPELLINGS[site], rng)
    lines = _blood(reader) + _other(reader)
    remarks = [reader.say("other", "asides") for _ in range(int(rng.choice([0, 1, 2], p=[0.4, 0.4, 0.2])))]
    return " ".join([*lines, *dict.fromkeys(remarks)])
