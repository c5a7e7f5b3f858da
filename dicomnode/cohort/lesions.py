"""What a patient's scan is to show, in numbers: drawn before any voxel is painted, and painted exactly.

Volumes of bleeds follow the fitted tables of :mod:`dicomnode.cohort.statistics`; places follow the population shares of
:mod:`dicomnode.cohort.bleeds`. Limits are what the compartment of an adult holds. Figures on staining follow the
published description of the metallic hyperdensity sign (basal ganglia, above 90 HU in about a third of patients after
thrombectomy); the other figures are this cohort's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from dicomnode.cohort.bleeds import draw_hu, draw_volume_ml
from dicomnode.cohort.canvas import Point
from dicomnode.cohort.statistics import BleedKind
from dicomnode.cohort.streams import stream

Values = dict[str, Any]
"""Fields of :class:`Lesions` by name."""


@dataclass(frozen=True, slots=True)
class Place:
    """A site of lesions on the left: mean place, spread, share of spontaneous bleeds, and what it can hold."""

    centre_mm: Point
    spread_mm: Point
    share: float
    limit_ml: float


PLACES: dict[str, Place] = {
    "basal ganglia": Place((26.0, -4.0, 6.0), (3.0, 6.0, 4.0), 0.38, 100.0),
    "thalamus": Place((13.0, 7.0, 5.0), (2.0, 3.0, 3.0), 0.17, 30.0),
    "frontal lobe": Place((28.0, -42.0, 26.0), (6.0, 8.0, 8.0), 0.1, 120.0),
    "parietal lobe": Place((34.0, 26.0, 40.0), (6.0, 8.0, 6.0), 0.1, 120.0),
    "temporal lobe": Place((47.0, -4.0, -14.0), (4.0, 9.0, 4.0), 0.08, 80.0),
    "occipital lobe": Place((24.0, 58.0, 10.0), (5.0, 5.0, 6.0), 0.05, 80.0),
    "cerebellum": Place((22.0, 50.0, -42.0), (5.0, 5.0, 4.0), 0.08, 35.0),
    "brainstem": Place((1.5, 20.0, -36.0), (1.5, 1.5, 4.0), 0.04, 10.0),
}
LOBES = ("frontal lobe", "parietal lobe", "temporal lobe", "occipital lobe")
INFRATENTORIAL = ("cerebellum", "brainstem")


class Subdural(StrEnum):
    """Kinds of a subdural collection by age and density of its blood (second edition)."""

    ACUTE = "acute"
    LAYERED = "layered"
    MIXED = "mixed"
    ACUTE_ON_CHRONIC = "acute on chronic"
    ISODENSE = "isodense"
    CHRONIC = "chronic"


class Surface(StrEnum):
    """Where blood outside the brain lies (second edition)."""

    CONVEXITY = "convexity"
    FALX = "falx"
    TENTORIUM = "tentorium"
    BASAL = "basal cisterns"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesions:
    """What one scan shows.

    Attributes
    ----------
    side : +1 left, -1 right.
    site_of_bleed : key of ``PLACES``, empty without intraparenchymal blood.
    place_mm : centre of the main lesion (bleed, staining or infarct) in head coordinates, x to the left.
    iph_ml, ivh_ml, sah_ml, sdh_ml, edh_ml : blood by type.
    clot_hu : attenuation of clot; ``heterogeneity`` 0 (even) to 1 (swirls and dark pockets, the signs of growth).
    oedema_ml : rim around clot.
    stain_ml, stain_hu : contrast medium left in brain after thrombectomy.
    infarct_ml, infarct_depth_hu : dead brain and how much darker it is.
    petechial : the intraparenchymal blood is scattered specks, not one clot (Heidelberg 1a, 1b).
    hyperdense_artery : thrombus seen in the middle cerebral artery.
    atrophy : 0 to 1, widens sulci and ventricles; leukoaraiosis : 0 to 3, dark periventricular white matter.
    burden : severity of it all in standard deviations of the arm.

    The second edition alone uses what follows.

    subdural : kind of the subdural collection; ``sdh_ml`` is its bright blood, ``sdh_old_ml`` its grey or dark part.
    sdh_thickness_mm : greatest thickness of the collection.
    surface : where the subdural collection lies; ``subarachnoid`` : where blood in the CSF spaces lies.
    hidden_ml : blood below the staining, which the scan cannot tell from it (a part of ``stain_ml``).
    below_stain_ml : volume of the staining that the intraparenchymal blood lay below at the first scan: it lies there.
    oedema_hu : how much darker oedema is than the brain that it lies in.
    swelling : room that dead brain takes, as a share of its volume.
    contused : the intraparenchymal blood is contusions: several foci, blood mixed with bruised brain.
    """

    side: int = 1
    site_of_bleed: str = ""
    place_mm: Point = (0.0, 0.0, 0.0)
    iph_ml: float = 0.0
    ivh_ml: float = 0.0
    sah_ml: float = 0.0
    sdh_ml: float = 0.0
    edh_ml: float = 0.0
    clot_hu: float = 60.0
    heterogeneity: float = 0.0
    oedema_ml: float = 0.0
    stain_ml: float = 0.0
    stain_hu: float = 0.0
    infarct_ml: float = 0.0
    infarct_depth_hu: float = 0.0
    petechial: bool = False
    hyperdense_artery: bool = False
    atrophy: float = 0.3
    leukoaraiosis: int = 0
    burden: float = 0.0
    subdural: Subdural = Subdural.ACUTE
    sdh_old_ml: float = 0.0
    sdh_thickness_mm: float = 0.0
    surface: Surface = Surface.CONVEXITY
    subarachnoid: Surface = Surface.CONVEXITY
    hidden_ml: float = 0.0
    below_stain_ml: float = 0.0
    oedema_hu: float = 0.0
    swelling: float = 0.12
    contused: bool = False

    @property
    def blood_ml(self) -> float:
        """Blood of all types."""
        return self.iph_ml + self.ivh_ml + self.sah_ml + self.sdh_ml + self.edh_ml

    @property
    def infratentorial(self) -> bool:
        """Whether the bleed arises below the tentorium (an item of the ICH Score)."""
        return self.site_of_bleed in INFRATENTORIAL


def _lognormal(rng: np.random.Generator, median: float, log_sd: float, low: float, high: float) -> float:
    return float(np.clip(median * np.exp(rng.normal(0.0, log_sd)), low, high))


def _place(name: str, side: int, rng: np.random.Generator) -> Point:
    site = PLACES[name]
    x, y, z = (float(v) for v in rng.normal(site.centre_mm, site.spread_mm))
    return side * x, y, z


def _background(age_years: int, seed: int) -> tuple[float, int]:
    """Atrophy and leukoaraiosis: both rise with age."""
    rng = stream(seed, "lesion", "background")
    atrophy = float(np.clip((age_years - 35.0) / 55.0 + rng.normal(0.0, 0.15), 0.0, 1.0))
    return atrophy, int(np.clip(np.floor(atrophy * 2.6 + rng.normal(0.0, 0.7)), 0, 3))


def _volume(kind: BleedKind, factor: float, limit_ml: float, rng: np.random.Generator) -> float:
    return float(np.clip(draw_volume_ml(kind, rng) * factor, 0.3, limit_ml))


def draw_ich(factor: float, seed: int) -> Values:
    """Spontaneous bleed: place, volume, companions, rim."""
    rng = stream(seed, "lesion", "ich")
    names = list(PLACES)
    name = names[int(rng.choice(len(names), p=[PLACES[n].share for n in names]))]
    side = int(rng.choice([-1, 1]))
    volume = _volume(BleedKind.INTRAPARENCHYMAL, factor, PLACES[name].limit_ml, rng)
    near = {"thalamus": 0.25, "brainstem": 0.1, "cerebellum": 0.1}.get(name, 0.0)
    bursts = rng.random() < np.clip(0.12 + near + 0.14 * np.log1p(volume / 5.0), 0.0, 0.9)
    ivh = _volume(BleedKind.INTRAVENTRICULAR, factor, 22.0, rng) if bursts else 0.0
    sah = _volume(BleedKind.SUBARACHNOID, factor, 12.0, rng) if rng.random() < 0.2 and name in LOBES else 0.0
    burden = 0.6 * (np.log(volume) - 2.0) / 1.5 + 0.6 * (ivh > 0) + 0.8 * (name == "brainstem") - 0.3
    return {
        "side": side,
        "site_of_bleed": name,
        "place_mm": _place(name, side, rng),
        "iph_ml": volume,
        "ivh_ml": ivh,
        "sah_ml": sah,
        "clot_hu": draw_hu(BleedKind.INTRAPARENCHYMAL, rng),
        "heterogeneity": float(rng.beta(1.2, 2.0)),
        "oedema_ml": float(np.clip(volume * rng.uniform(0.2, 1.1), 0.0, 60.0)),
        "burden": float(burden),
    }


def draw_post_evt(factor: float, seed: int) -> Values:
    """Brain after thrombectomy: infarct, staining, blood in sulci."""
    rng = stream(seed, "lesion", "post_evt")
    side = int(rng.choice([-1, 1]))
    infarct = _lognormal(rng, 22.0 * factor, 0.9, 1.0, 180.0)
    stained, deep = rng.random() < 0.6, rng.random() < 0.7
    name = "basal ganglia" if deep else str(rng.choice(["frontal lobe", "temporal lobe", "parietal lobe"]))
    return {
        "side": side,
        "place_mm": _place(name, side, rng),
        "infarct_ml": infarct,
        "infarct_depth_hu": float(rng.uniform(3.0, 9.0)),
        "stain_ml": _lognormal(rng, 4.5, 0.8, 0.5, 30.0) if stained else 0.0,
        "stain_hu": float(np.clip(rng.normal(82.0, 20.0), 55.0, 160.0)) if stained else 0.0,
        "sah_ml": _lognormal(rng, 2.0, 0.6, 0.5, 8.0) if rng.random() < 0.08 else 0.0,
        "clot_hu": draw_hu(BleedKind.SUBARACHNOID, rng),
        "burden": float(0.7 * np.log(infarct / 22.0) + 0.3 * stained - 0.15),
    }


def draw_stroke(factor: float, seed: int) -> Values:
    """Infarct without thrombectomy."""
    rng = stream(seed, "lesion", "stroke")
    side = int(rng.choice([-1, 1]))
    infarct = _lognormal(rng, 14.0 * factor, 1.1, 0.5, 160.0)
    name = str(rng.choice(["basal ganglia", "frontal lobe", "temporal lobe", "parietal lobe"]))
    return {
        "side": side,
        "place_mm": _place(name, side, rng),
        "infarct_ml": infarct,
        "infarct_depth_hu": float(rng.uniform(3.0, 10.0)),
        "hyperdense_artery": int(rng.random() < 0.4),
        "burden": float(0.8 * np.log(infarct / 14.0) / 1.1),
    }


def draw_trauma(factor: float, seed: int) -> Values:
    """Blood outside the brain and contusions."""
    rng = stream(seed, "lesion", "trauma")
    side = int(rng.choice([-1, 1]))
    name = str(rng.choice(["frontal lobe", "temporal lobe"]))
    has = {kind: rng.random() < share for kind, share in (("sdh", 0.45), ("edh", 0.14), ("sah", 0.45), ("iph", 0.4))}
    volumes = {
        "sdh_ml": _volume(BleedKind.SUBDURAL, factor, 90.0, rng),
        "edh_ml": _volume(BleedKind.EPIDURAL, factor, 80.0, rng),
        "sah_ml": _volume(BleedKind.SUBARACHNOID, factor, 18.0, rng),
        "iph_ml": min(_volume(BleedKind.INTRAPARENCHYMAL, factor, 60.0, rng), 60.0),
    }
    kept = {key: value if has[key[:3]] else 0.0 for key, value in volumes.items()}
    contusion = kept["iph_ml"]
    return {
        "side": side,
        "site_of_bleed": name if contusion else "",
        "place_mm": _place(name, side, rng),
        "clot_hu": draw_hu(BleedKind.SUBDURAL, rng),
        "heterogeneity": float(rng.beta(1.2, 2.0)),
        "oedema_ml": float(np.clip(contusion * rng.uniform(0.3, 1.4), 0.0, 50.0)),
        "burden": float(0.6 * np.log1p(sum(kept.values()) / 4.0) - 0.8),
        **kept,
    }


def draw_lesions(arm: str, age_years: int, severity_shift: float, seed: int) -> Lesions:
    """What the baseline CT of a patient shows.

    Parameters
    ----------
    arm : "ich", "post_evt", "stroke_no_evt", "trauma" or "normal".
    severity_shift : of the site, in standard deviations; one is half a log unit of volume.
    """
    factor = float(np.exp(0.5 * severity_shift))
    atrophy, leukoaraiosis = _background(age_years, seed)
    draws = {"ich": draw_ich, "post_evt": draw_post_evt, "stroke_no_evt": draw_stroke, "trauma": draw_trauma}
    values = draws[arm](factor, seed) if arm in draws else {}
    return Lesions(**values, atrophy=atrophy, leukoaraiosis=leukoaraiosis)
