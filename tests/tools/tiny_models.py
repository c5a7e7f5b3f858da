"""Three tiny models of the kinds that bundles may give beside masks; their weights are set by hand.

Each is what ``model_def`` of a bundle's ``configs/inference.json`` names: called with the inputs, it gives all outputs.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from dicomnode.records import Inputs


class BleedRisk:
    """A probability from the volume of a mask in mL and the age in years: sigmoid of a weighted sum."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.network = network

    def __call__(self, inputs: Inputs) -> dict[str, float]:
        mask, age = inputs.mask("hemorrhage"), inputs.context.value("age")
        assert mask is not None
        assert age is not None
        volume_ml = 0.0 if mask.total is None else mask.total.volume_ml
        return {"bleed_risk": float(torch.sigmoid(self.network(torch.tensor([volume_ml, float(age.value)]))))}


class LaterScan:
    """The scan with every voxel scaled by one weight: clots fade."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.network = network

    def __call__(self, inputs: Inputs) -> dict[str, NDArray[np.float32]]:
        assert inputs.volume is not None
        later = self.network(torch.from_numpy(inputs.volume.hu)[..., None])[..., 0]
        return {"later_scan": later.numpy()}


class AgeRisk:
    """A number from the age alone; the sex shifts it where it is known."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.network = network

    def __call__(self, inputs: Inputs) -> dict[str, float]:
        age, sex = inputs.context.value("age"), inputs.context.value("sex")
        assert age is not None
        assert inputs.volume is None
        is_male = float(sex is not None and sex.value == "male")
        return {"age_risk": float(self.network(torch.tensor([float(age.value), is_male])))}
