"""From weights of trainings to the folder of a bundle, and back to its model as the node builds it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TypeVar

import torch

from dicomnode.errors import BundleError
from dicomnode.train.checkpoint import save_weights
from dicomnode.zoo.devices import resolve_device
from dicomnode.zoo.reading.inputs import InputsModel
from dicomnode.zoo.registry import open_bundle

M = TypeVar("M")


def written(bundle: Path, shipped: Path, network: torch.nn.Module) -> Path:
    """A bundle with the configuration of the shipped one and the weights of a network, on disk in half precision.

    Returns
    -------
    The folder.
    """
    shutil.copytree(shipped / "configs", bundle / "configs", dirs_exist_ok=True)
    (bundle / "models").mkdir(parents=True, exist_ok=True)
    # read in float32: on disk half of that is enough
    halves = {
        name: value.to(torch.float16) if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }
    save_weights(halves, bundle / "models" / "model.safetensors")
    return bundle


def loaded(bundle: Path, kind: type[M]) -> M:
    """The model of a bundle, as the node builds it.

    Raises
    ------
    BundleError : it is at fault, or another model.
    """
    model = InputsModel(open_bundle(bundle).manifest, torch.device(resolve_device("cpu"))).model
    if not isinstance(model, kind):
        raise BundleError(f"{bundle} is no bundle of {kind.__name__}")
    return model
