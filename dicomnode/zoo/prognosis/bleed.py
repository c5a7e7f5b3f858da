"""The bleed as the node itself has measured it, in the numbers that the network takes and the words of the template."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from dicomnode.measure.bleed import INFRATENTORIAL, LOBAR, main_lesion, ventricles_of, ventricular_ml
from dicomnode.records import BrainPart, MaskFinding, Side

FACTS = ("volume", "ventricular volume", "ventricles", "lobar", "deep", "infratentorial")
"""In the order of the network's inputs: logarithms of 1 + mL, then 0 to 1."""
LEAST_ML = 1.0
"""Of blood within the brain; below it no outcome is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bleed:
    """What is known of a bleed; None: not known.

    Attributes
    ----------
    volume_ml : of blood within the brain, that of the ventricles left out where a frame tells them apart.
    ventricles : 1 blood in them, 0 none, 0.5 either is possible.
    part : in which it arose.
    """

    volume_ml: float | None = None
    ventricular_ml: float | None = None
    ventricles: float | None = None
    part: BrainPart | None = None
    side: Side | None = None

    def numbers(self) -> torch.Tensor:
        """(FACTS,) float32, NaN where not known."""
        deep = self.part is not None and self.part not in LOBAR and self.part not in INFRATENTORIAL
        place = [float(self.part in LOBAR), float(deep), float(self.part in INFRATENTORIAL)]
        known = [_log(self.volume_ml), _log(self.ventricular_ml), _number(self.ventricles)]
        return torch.tensor([*known, *(place if self.part is not None else [math.nan] * 3)], dtype=torch.float32)

    @property
    def position(self) -> str:
        """``left thalamus``; empty where not known."""
        side = "" if self.side in (None, Side.MIDLINE) else f"{self.side} "
        return "" if self.part is None else f"{side}{self.part}"


def bleed_of(mask: MaskFinding) -> Bleed:
    """From the lesions that the node has marked, and its anatomical frame."""
    inner_ml, main = ventricular_ml(mask.lesions), main_lesion(mask.lesions)
    total_ml = 0.0 if mask.total is None else mask.total.volume_ml
    states = () if inner_ml is None else ventricles_of(inner_ml)
    return Bleed(
        volume_ml=total_ml - (inner_ml or 0.0),
        ventricular_ml=inner_ml,
        ventricles=sum(states) / len(states) if states else None,
        part=None if main is None else main.parts[0],
        side=None if main is None else main.side,
    )


def _log(volume_ml: float | None) -> float:
    return math.nan if volume_ml is None else math.log1p(max(volume_ml, 0.0))


def _number(value: float | None) -> float:
    return math.nan if value is None else value
