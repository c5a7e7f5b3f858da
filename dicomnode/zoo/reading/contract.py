"""What every loaded model is, whichever way it reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dicomnode.records import Contribution, Inputs, ReferenceScore
from dicomnode.zoo.ladder import Ladder


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A score with what made it so.

    Attributes
    ----------
    value : in the output's unit.
    contributions : of single inputs, in any order.
    warnings : sentences about what of this patient's inputs the model could not use.
    reference : what stands beside the score and needs no learning, such as a midline shift that was measured.
    interval : (low, high) 95 %, in the output's unit.
    attention : (slices, rows, columns) in stack order, 0 to 255: where of the head the score comes from.
    """

    value: float
    contributions: tuple[Contribution, ...] = ()
    warnings: tuple[str, ...] = ()
    reference: tuple[ReferenceScore, ...] = ()
    interval: tuple[float, float] | None = None
    attention: NDArray[np.uint8] | None = None


@dataclass(frozen=True, slots=True)
class Predicted:
    """A scan that is predicted, with what it does not show.

    Attributes
    ----------
    hu : (slices, rows, columns) float32 in stack order.
    probability : of the same shape, 0 to 1: the chance that a voxel holds what the scan itself does not show; None: it
        shows all.
    note : of the banner, such as ``Blood on it: 35 %``.
    """

    hu: NDArray[np.float32]
    probability: NDArray[np.float32] | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class NotFor:
    """A score that is not given: the patient lies outside the population, which only a look at the findings can tell.

    Attributes
    ----------
    detail : the limit and what is known of it; no free text of the patient.
    """

    detail: str


Raw = NDArray[np.float32] | float | Explained | Predicted | NotFor
"""What a network says of one output: (slices, rows, columns) in stack order, probabilities of a mask or HU of a scan
that it predicts, alone or with what that does not show; or a number, a score in the output's unit, explained or not; or
that there is none."""


class LoadedModel(Protocol):
    """A bundle with its weights on a device. ``ladder``: tells what the last call made do with, for want of memory."""

    ladder: Ladder

    def __call__(self, inputs: Inputs) -> Mapping[str, Raw]:
        """Every output of the bundle by its name.

        Raises
        ------
        SeriesError : the images are at fault.
        InferenceError : the network failed on this input, or gave values that are not finite.
        """
        ...
