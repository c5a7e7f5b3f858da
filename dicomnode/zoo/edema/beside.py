"""What stands beside the probability and is measured, not learned: midline shift, Evans index, hypodense share."""

from __future__ import annotations

import numpy as np
import torch

from dicomnode.language import told
from dicomnode.measure.place import Places
from dicomnode.records import MEASURED, HeadMeasures, ReferenceScore, ScoreInput, Volume
from dicomnode.zoo.networks.head_grid import STEPS, WINDOW_HU, HeadGrid

DARK_HU = 8.0
"""So far below the commonest attenuation of the brain, about 22 HU, tissue is hypodense; fluid is, too."""
HYPODENSE = "Darker than brain by {hu:g} HU or more, fluid included."
WITHIN = 0.99
"""Share of a voxel of the grid that must lie within the skull, so that no bone is mixed in."""


def beside(volume: Volume, grid: HeadGrid, image: torch.Tensor) -> tuple[ReferenceScore, ...]:
    """What could be measured; what could not is left out.

    Parameters
    ----------
    image : (32, 96, 96) uint8 of the head on its grid.
    """
    head = Places(volume).head or HeadMeasures(likeness=0.0)
    values = {
        ("midline_shift", "Midline shift", "mm"): head.midline_shift_mm,
        ("evans_index", "Evans index", "1"): head.evans_index,
        ("hypodense_share", "Hypodense share of the brain", "%"): hypodense_percent(grid, image),
    }
    return tuple(_reference(*key, value) for key, value in values.items() if value is not None)


def hypodense_percent(grid: HeadGrid, image: torch.Tensor) -> float | None:
    """Share of the space within the skull that is hypodense, fluid included, in percent; None where none is seen.

    On voxels of 5 x 2 x 2 mm, so that noise is not taken for oedema.
    """
    within = grid.sampled(grid.brain.astype(np.float32), 0.0) > WITHIN
    if not bool(within.any()):
        return None
    low, high = WINDOW_HU
    relative_hu = image[within].float() / STEPS * (high - low) + low
    return 100.0 * float((relative_hu < -DARK_HU).float().mean())


def _reference(name: str, label: str, unit: str, value: float) -> ReferenceScore:
    said = {
        "mm": told("{mm:.0f} mm", mm=abs(value)),
        "1": told("{index:.2f}", index=value),
        "%": told("{share:.0f} %", share=value),
    }[unit]
    shown = {"mm": float(abs(round(value))), "1": round(value, 2), "%": float(round(value))}[unit]
    meaning = told(HYPODENSE, hu=DARK_HU) if unit == "%" else ""
    inputs = (ScoreInput(label, said, MEASURED),)
    return ReferenceScore(name=name, label=label, value=shown, unit=unit, meaning=meaning, inputs=inputs)
