"""What a bundle marks as blood, whether it gives one mask of all blood or one for each kind."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dicomnode.records import PROBABILITY_SCALE, Finding, Inputs, MaskFinding
from dicomnode.zoo.runner import Runner

OEDEMA = "edema"


def masks_of(runner: Runner, inputs: Inputs) -> list[MaskFinding]:
    """The masks of blood, with the probability of every voxel; oedema is none."""
    findings: Sequence[Finding] = runner.run(inputs, keep_probability=True)
    masks = [finding for finding in findings if isinstance(finding, MaskFinding)]
    return [mask for mask in masks if OEDEMA not in mask.name.replace("oe", "e")]


def blood_in(masks: Sequence[MaskFinding]) -> NDArray[np.bool_]:
    """(slices, rows, columns) in stack order: all that is marked, specks and dense pieces included."""
    marked = [mask.probability > mask.threshold * PROBABILITY_SCALE for mask in masks if mask.probability is not None]
    return np.asarray(np.any(marked, axis=0))
