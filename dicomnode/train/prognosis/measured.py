"""What the node would have measured of a painted bleed: the painted one with errors as large as those that are printed.

A model of the errors, no run of the pipeline: the haemorrhage model takes seconds a head. Volumes: lognormal with
``VOLUME_SD``, about what a Dice of 0.80 leaves (``docs/models/hemorrhage-students/report.md``). Region and
ventricles: the shares of ``docs/anatomy.md``, which hold for painted masks. ``python -m
dicomnode.train.prognosis.checked`` compares it with what the whole pipeline measures in a few heads (of 8 it marked 7
with a log ratio of +0.12, deviation 0.14).
"""

from __future__ import annotations

import numpy as np

from dicomnode.cohort.lesions import PLACES
from dicomnode.cohort.patients import Patient
from dicomnode.cohort.streams import stream
from dicomnode.records import BrainPart, Side
from dicomnode.zoo.prognosis.bleed import Bleed

VOLUME_SD = 0.25
REGION_RIGHT = 0.977
VENTRICLES = {True: (0.0, 0.6, 0.4), False: (0.94, 0.06, 0.0)}
"""Shares of "no", "open" and "yes" where there is blood in the ventricles, and where there is none."""
STATES = (0.0, 0.5, 1.0)
STATE_ML = {0.0: 0.0, 0.5: 1.0, 1.0: 3.0}
"""About what the frame finds in the ventricles in each state; of more it finds what is there."""


def measured(patient: Patient) -> Bleed:
    """The bleed of a patient; the same patient gives the same one."""
    rng, shown = stream(patient.seed, "prognosis", "measured"), patient.lesions
    error = float(np.exp(rng.normal(0.0, VOLUME_SD)))
    state = STATES[int(rng.choice(3, p=VENTRICLES[shown.ivh_ml > 0.0]))]
    inner_ml = max(STATE_ML[state], shown.ivh_ml * error) if state else 0.0
    part = _part(shown.site_of_bleed, rng)
    side = Side.MIDLINE if part is BrainPart.BRAINSTEM else Side.LEFT if shown.side > 0 else Side.RIGHT
    return Bleed(volume_ml=shown.iph_ml * error, ventricular_ml=inner_ml, ventricles=state, part=part, side=side)


def _part(site: str, rng: np.random.Generator) -> BrainPart:
    others = [name for name in PLACES if name != site]
    return BrainPart(site if rng.random() < REGION_RIGHT else str(rng.choice(others)))


COLUMNS = ("measured_volume_ml", "measured_ventricular_ml", "measured_ventricles", "measured_part", "measured_side")
_PARTS, _SIDES = list(BrainPart), list(Side)


def as_variables(bleed: Bleed) -> dict[str, float]:
    """As columns of a manifest; parts and sides by their number."""
    part = None if bleed.part is None else float(_PARTS.index(bleed.part))
    side = None if bleed.side is None else float(_SIDES.index(bleed.side))
    values = (bleed.volume_ml, bleed.ventricular_ml, bleed.ventricles, part, side)
    return {name: float(value) for name, value in zip(COLUMNS, values, strict=True) if value is not None}


def from_variables(known: dict[str, float]) -> Bleed:
    """Back from the columns of a manifest."""
    volume_ml, inner_ml, state, part, side = (known.get(name) for name in COLUMNS)
    return Bleed(
        volume_ml=volume_ml,
        ventricular_ml=inner_ml,
        ventricles=state,
        part=None if part is None else _PARTS[int(part)],
        side=None if side is None else _SIDES[int(side)],
    )
