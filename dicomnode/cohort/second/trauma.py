"""What the CT of an injured patient of the second edition shows, in numbers.

Volumes of fresh blood follow the tables of :mod:`dicomnode.cohort.statistics`. Kinds of subdural follow age: of those
that are not fresh, isodense and mixed ones are commoner than dark and layered ones (115, 79, 31 and 17 of 242: Park et
al., J Korean Neurosurg Soc 2013;54:38), evened out here so that each kind is seen. Of small ones on falx and tentorium
57 % lie on the falx, 34 % on the tentorium, 2.8 mm thick on the average, 1 to 8 (AJNR 2018;39:654). Shares of patients
with each bleed, the thickness over the convexity and the volume of old collections are this cohort's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dicomnode.cohort.bleeds import draw_volume_ml
from dicomnode.cohort.canvas import Point
from dicomnode.cohort.lesions import Subdural, Surface
from dicomnode.cohort.second.surface import default_thickness_mm
from dicomnode.cohort.statistics import BleedKind
from dicomnode.cohort.streams import stream

SHARES: dict[str, float] = {"sdh": 0.5, "edh": 0.3, "sah": 0.5, "iph": 0.6}
"""Of injured patients, with each bleed."""
VISIBLE, BRUISED = 0.88, 0.5
"""Share of contusions with visible oedema, and of patients without blood in the brain whose brain is bruised."""
LIMITS_ML: dict[str, float] = {"sdh": 90.0, "edh": 80.0, "sah": 18.0, "iph": 60.0}
KINDS: dict[str, BleedKind] = {
    "sdh": BleedKind.SUBDURAL,
    "edh": BleedKind.EPIDURAL,
    "sah": BleedKind.SUBARACHNOID,
    "iph": BleedKind.INTRAPARENCHYMAL,
}
NOT_FRESH: dict[Subdural, float] = {
    Subdural.ISODENSE: 0.38,
    Subdural.ACUTE_ON_CHRONIC: 0.3,
    Subdural.CHRONIC: 0.2,
    Subdural.LAYERED: 0.12,
}
BRIGHT: dict[Subdural, tuple[float, float]] = {
    Subdural.ACUTE: (1.0, 1.0),
    Subdural.MIXED: (0.5, 0.8),
    Subdural.LAYERED: (0.3, 0.6),
    Subdural.ACUTE_ON_CHRONIC: (0.12, 0.45),
    Subdural.ISODENSE: (0.0, 0.0),
    Subdural.CHRONIC: (0.0, 0.0),
}
"""Share of a collection that is bright blood."""
PLACES: tuple[tuple[str, Point, Point, float], ...] = (
    ("frontal lobe", (18.0, -52.0, -8.0), (4.0, 5.0, 3.0), 0.4),
    ("frontal lobe", (20.0, -66.0, 6.0), (4.0, 3.0, 6.0), 0.15),
    ("temporal lobe", (38.0, -26.0, -23.0), (3.0, 3.0, 2.0), 0.25),
    ("temporal lobe", (55.0, -3.0, -19.0), (3.0, 8.0, 3.0), 0.2),
)
"""Where brain is contused: lobe, place on the left and spread (mm), share."""
CLOT_HU = (69.0, 4.0)
"""Mean and SD of fresh clot itself. Medians of published masks are about 55, as those hold the mixed rim."""
SHEET_ML = 12.0
"""A collection over a whole hemisphere holds about that for each millimetre of its greatest thickness."""


def _volume(name: str, factor: float, rng: np.random.Generator) -> float:
    return float(np.clip(draw_volume_ml(KINDS[name], rng) * factor, 0.3, LIMITS_ML[name]))


def subdural_kind(age_years: int, rng: np.random.Generator) -> Subdural:
    """Kind of a subdural: fresh in nearly all of the young, not fresh in half of the old."""
    old = float(np.clip((age_years - 40.0) / 40.0, 0.0, 1.0))
    if rng.random() < 0.04 + 0.46 * old:
        return list(NOT_FRESH)[int(rng.choice(len(NOT_FRESH), p=list(NOT_FRESH.values())))]
    return Subdural.MIXED if rng.random() < 0.4 else Subdural.ACUTE


def _subdural(factor: float, age_years: int, rng: np.random.Generator) -> dict[str, Any]:
    kind, volume, spread = subdural_kind(age_years, rng), _volume("sdh", factor, rng), rng.random()
    thin_mm, sheet_mm = rng.uniform(2.0, 5.0), float(np.clip(2.8 * np.exp(rng.normal(-0.08, 0.4)), 1.0, 8.0))
    old_ml = float(np.clip(45.0 * np.sqrt(factor) * np.exp(rng.normal(0.0, 0.55)), 8.0, 140.0))
    volume = old_ml if kind in NOT_FRESH else volume
    bright = rng.uniform(*BRIGHT[kind])
    surface, thickness = Surface.CONVEXITY, default_thickness_mm(volume) * float(np.exp(rng.normal(0.0, 0.2)))
    if kind is Subdural.ACUTE and spread < 0.25:
        surface, thickness = (Surface.FALX if spread < 0.16 else Surface.TENTORIUM), sheet_mm
        volume = min(volume, 2.0 * sheet_mm)
    elif kind not in NOT_FRESH and spread > 0.55 and volume < SHEET_ML * thin_mm:
        thickness = thin_mm
    return {
        "subdural": kind,
        "surface": surface,
        "sdh_ml": volume * bright,
        "sdh_old_ml": volume * (1.0 - bright),
        "sdh_thickness_mm": round(thickness, 2),
    }


def _contusion(factor: float, side: int, rng: np.random.Generator) -> dict[str, Any]:
    """Foci of bruised brain; most have a rim that is dark enough to be seen."""
    name, centre, spread, _ = PLACES[int(rng.choice(len(PLACES), p=[place[3] for place in PLACES]))]
    x, y, z = (float(v) for v in rng.normal(centre, spread))
    volume, visible = _volume("iph", factor, rng), rng.random() < VISIBLE
    rim, darker = float(np.clip(1.0 + volume * rng.uniform(0.4, 1.6), 1.0, 50.0)), float(rng.uniform(6.0, 14.0))
    return {
        "site_of_bleed": name,
        "place_mm": (side * x, y, z),
        "iph_ml": volume,
        "contused": True,
        "oedema_ml": rim if visible else 0.0,
        "oedema_hu": darker if visible else 0.0,
    }


def draw_trauma(factor: float, seed: int, age_years: int) -> dict[str, Any]:
    """Fields of :class:`~dicomnode.cohort.lesions.Lesions` of an injured patient.

    Parameters
    ----------
    factor : of all volumes, the severity of the site.
    """
    rng = stream(seed, "second", "lesion", "trauma")
    side = int(rng.choice([-1, 1]))
    has = {name: bool(rng.random() < share) for name, share in SHARES.items()}
    basal = rng.random() < 0.15
    parts: dict[str, dict[str, Any]] = {
        "sdh": _subdural(factor, age_years, stream(seed, "second", "lesion", "sdh")),
        "edh": {"edh_ml": _volume("edh", factor, rng)},
        "sah": {"sah_ml": _volume("sah", factor, rng), "subarachnoid": Surface.BASAL if basal else Surface.CONVEXITY},
        "iph": _contusion(factor, side, stream(seed, "second", "lesion", "contusion")),
    }
    values: dict[str, Any] = {"side": side, "place_mm": (side * 18.0, -52.0, -8.0)}
    for name, part in parts.items():
        values |= part if has[name] else {}
    if not has["iph"] and stream(seed, "second", "lesion", "bruise").random() < BRUISED:
        values |= {**parts["iph"], "iph_ml": 0.0, "site_of_bleed": ""}
    blood = sum(float(values.get(name, 0.0)) for name in ("sdh_ml", "sdh_old_ml", "edh_ml", "sah_ml", "iph_ml"))
    values["clot_hu"] = float(np.clip(rng.normal(*CLOT_HU), 60.0, 80.0))
    values["heterogeneity"] = float(rng.beta(1.2, 2.0))
    values["burden"] = float(0.6 * np.log1p(blood / 4.0) - 0.8)
    return values
