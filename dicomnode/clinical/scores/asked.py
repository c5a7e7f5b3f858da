"""What the scores ask for, and what is known of it: one value, or all that it may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dicomnode.clinical.variables import VARIABLES, Location
from dicomnode.language import listed, told
from dicomnode.measure.bleed import main_lesion, ventricles_of, ventricular_ml
from dicomnode.measure.figures import Millilitres
from dicomnode.records import (
    MEASURED,
    BrainPart,
    ContextValue,
    HeadMeasures,
    MaskFinding,
    PatientContext,
    ScoreInput,
)

DEMOGRAPHIC = frozenset({"age", "sex"})

ANY: Mapping[str, tuple[Any, ...]] = {
    "age": (30, 50, 62, 67, 72, 77, 85),
    "gcs": (3, 5, 9, 13),
    "nihss": (0, 7, 11, 14, 21, 42),
    "volume_ml": (5.0, 15.0, 25.0, 35.0, 50.0, 65.0, 100.0),
    "location": (Location.LOBAR, Location.DEEP, Location.CEREBELLUM),
    "onset_to_ct_h": (1.0, 4.0),
    **dict.fromkeys(("ivh", "anticoagulant", "cognitive_impairment", "blend_sign", "hypodensity"), (False, True)),
    **dict.fromkeys(("hypertension", "diabetes", "atrial_fibrillation"), (False, True)),
}
"""What an input may be where nobody knows: a value in every band of every score."""
_LOCATIONS: Mapping[BrainPart, Location] = {
    **dict.fromkeys((BrainPart.FRONTAL, BrainPart.PARIETAL, BrainPart.TEMPORAL, BrainPart.OCCIPITAL), Location.LOBAR),
    BrainPart.BASAL_GANGLIA: Location.BASAL_GANGLIA,
    BrainPart.THALAMUS: Location.THALAMUS,
    BrainPart.CEREBELLUM: Location.CEREBELLUM,
    BrainPart.BRAINSTEM: Location.BRAINSTEM,
}
_VARIABLES = {"location": "bleed_location", "onset_to_ct_h": "onset_to_ct"}
"""Variable behind an input, where it has another name."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One input of a score.

    Attributes
    ----------
    values : the one value that is known; several where sources differ; all that it may be where nothing is known.
    shown : how results name it; empty where it is not known.
    was_told : somebody told it of this patient: neither measured here, nor age or sex.
    """

    label: str
    values: tuple[Any, ...]
    shown: tuple[ScoreInput, ...] = ()
    was_told: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that scores are computed from.

    Attributes
    ----------
    bleed : the mask of blood; None where no model gave one.
    ventricles, oedema : masks of blood in the ventricles, and of oedema; None where no model tells them apart.
    hyperdense_ml : volume of what is denser than 50 HU within the mask.
    seen : what a model that marks nothing has measured of the head.
    """

    context: PatientContext
    bleed: MaskFinding | None = None
    ventricles: MaskFinding | None = None
    oedema: MaskFinding | None = None
    hyperdense_ml: float = 0.0
    seen: HeadMeasures | None = None

    @property
    def is_after_thrombectomy(self) -> bool:
        """Whether somebody told of one: what is dense may then be contrast, and is called hyperdensity, not blood."""
        return self.told("thrombectomy") is True

    @property
    def has_bleed(self) -> bool:
        """Whether a lesion reached the detection limit."""
        return self.bleed is not None and bool(self.bleed.lesions)

    def told(self, name: str) -> Any | None:
        """The value of a variable; None where it is not known."""
        known = self.context.value(name)
        return None if known is None else known.value

    def asked(self, name: str) -> Asked:
        """What is known of an input."""
        if name == "volume_ml":
            return self._volume()
        variable = _VARIABLES.get(name, name)
        label, known = VARIABLES[variable].label, self.context.value(variable)
        if known is None:
            return self._seen(name, label) or Asked(label, ANY[name])
        value = Location(str(known.value)) if name == "location" else known.value
        return Asked(label, (value,), (shown(known),), was_told=variable not in DEMOGRAPHIC)

    def _volume(self) -> Asked:
        """By ABC/2, as the scores were made, and by voxels: where the two lead to different points, a range."""
        total = None if self.bleed is None else self.bleed.total
        if total is None:
            return Asked("Volume of the bleed", ANY["volume_ml"])
        both = [("voxels", total.volume_ml)]
        if total.abc2_ml is not None:
            both.insert(0, ("ABC/2", total.abc2_ml))
        inputs = tuple(
            ScoreInput(
                told("{noun}, volume by {how}", noun=self.noun, how=how), told("{ml}", ml=Millilitres(ml)), MEASURED
            )
            for how, ml in both
        )
        return Asked("Volume of the bleed", tuple(ml for _, ml in both), inputs)

    def _seen(self, name: str, label: str) -> Asked | None:
        """Location and ventricles as a model or the anatomical frame shows them; None where neither does."""
        if name == "ivh" and self.ventricles is not None:
            return _marked_ventricles(label, self.ventricles)
        if self.bleed is None:
            return None
        if name == "location":
            return _seen_location(label, self.bleed)
        return _seen_ventricles(label, self.bleed) if name == "ivh" else None

    @property
    def head(self) -> HeadMeasures | None:
        """What the head shows as a whole; None where no anatomical frame was found."""
        return self.seen if self.bleed is None or self.bleed.head is None else self.bleed.head

    @property
    def noun(self) -> str:
        """What was marked."""
        return "Hyperdensity" if self.is_after_thrombectomy else "Bleed"


def _marked_ventricles(label: str, marked: MaskFinding) -> Asked:
    """Whether there is blood in the ventricles, as a model marks it."""
    volume_ml = 0.0 if marked.total is None else marked.total.volume_ml
    return Asked(
        label, (bool(marked.lesions),), (ScoreInput(label, told("{ml}", ml=Millilitres(volume_ml)), MEASURED),)
    )


def _seen_location(label: str, bleed: MaskFinding) -> Asked | None:
    """Of the largest lesion that does not lie in the ventricles for the most part."""
    main = main_lesion(bleed.lesions)
    if main is None:
        return None
    values = tuple(dict.fromkeys(_LOCATIONS[part] for part in main.parts))
    return Asked(label, values, (ScoreInput(label, listed(main.parts, " / "), MEASURED),))


def _seen_ventricles(label: str, bleed: MaskFinding) -> Asked | None:
    """Whether there is blood in the ventricles; both is possible where there is little."""
    inner_ml = ventricular_ml(bleed.lesions)
    if inner_ml is None:
        return None
    values = ventricles_of(inner_ml)
    return Asked(label, values, (ScoreInput(label, told("{ml}", ml=Millilitres(inner_ml)), MEASURED),))


def shown(known: ContextValue) -> ScoreInput:
    """A variable as results name it, with its source and its time."""
    return ScoreInput(VARIABLES[known.name].label, _words(known), known.source, known.observed_at, known.offset_s)


def _words(known: ContextValue) -> str:
    """``10``, ``35.1 mL``, ``yes``, ``basal ganglia``."""
    if isinstance(known.value, bool):
        return "yes" if known.value else "no"
    if isinstance(known.value, str):
        return known.value.replace("_", " ")
    if known.unit in ("{score}", "1"):
        return told("{value:g}", value=known.value)
    return told("{value:g} {unit}", value=known.value, unit=known.unit)
