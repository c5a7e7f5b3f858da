"""Editions of the procedural head: what later ones do better. The first stays, since published figures rest on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class Version(StrEnum):
    """Version of the cohort: patients, words, outcomes and pictures. Published figures rest on the first."""

    ONE = "1"
    TWO = "2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """How heads are bent and pushed.

    Attributes
    ----------
    midline_warp : share of the sideways warp that bends the midline; a falx is straight.
    pressure : how many times its own volume a bleed pushes away: brain swells around it.
    across : share of the motion by a bleed on one side that is left at the midline.
    surface : millimetres that a collection on the surface pushes, of each mL that it would displace.
    follows_septum : the stated midline shift is that of the septum itself, not that of what has come to its place.
    pictures : which painter draws heads and lesions.
    """

    midline_warp: float
    pressure: float
    across: float
    surface: float
    follows_septum: bool
    pictures: Version


FIRST = Edition(midline_warp=1.0, pressure=1.0, across=0.3, surface=0.2, follows_septum=False, pictures=Version.ONE)
"""Of bleeds above 30 mL one in twenty-five shifts the midline by 5 mm or more, whatever its manifest states."""
BENT = Edition(midline_warp=0.2, pressure=1.6, across=0.95, surface=0.35, follows_septum=True, pictures=Version.ONE)
"""Of bleeds above 30 mL more than a quarter shifts it by 5 mm or more, of those below 15 mL none. Drawn by the first
painter: the anatomical frame was learned and judged on these heads."""
SECOND = replace(BENT, pictures=Version.TWO)
"""Bent as ``BENT``, drawn by the second painter (:mod:`dicomnode.cohort.second.painter`)."""
