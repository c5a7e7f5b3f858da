"""What a bundle marks as blood, whether it gives one mask of all blood or one for each kind."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dicomnode.records import Inputs
from dicomnode.zoo.runner import Runner

OEDEMA = "oedema"


def blood_of(runner: Runner, inputs: Inputs) -> NDArray[np.bool_]:
    """(slices, rows, columns) in stack order: the union of all masks but that of oedema."""
    given = runner.outputs(inputs)
    blood = [output for output in runner.manifest.masks if OEDEMA not in output.name]
    return np.asarray(np.any([given[output.name] > output.threshold for output in blood], axis=0))
