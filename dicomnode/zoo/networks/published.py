"""Weights of the published three-scale network, from files of its authors or of those who trained it with their tool.

A file is a state dictionary. Scales stand in its names, numbers of maps in its shapes: the published networks have one
form (:data:`PUBLISHED`), whoever trains with the authors' tool may choose others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import torch

from dicomnode.errors import BundleError
from dicomnode.zoo.networks.deepmedic import HIDDEN_MAPS, PATH_MAPS, SCALES, DeepMedic

Network = TypeVar("Network", bound=torch.nn.Module)
_LAYERS = {"bn": "norm", "prelu": "activation", "conv": "conv"}
_PATH = re.compile(r"path\((\d+), \d+, \d+\)(\d+)\.path\.(\d+)\.(bn|conv|prelu)\.(.+)")
_HEAD = re.compile(r"fully_connected\.(\d+)\.(bn|conv|prelu)\.(.+)")
MAX_LAYERS, MAX_MAPS, MAX_SCALE = 32, 512, 32
"""No network is built for a file that claims more."""


@dataclass(frozen=True, slots=True)
class Form:
    """What tells networks of this kind apart; arguments of :class:`~dicomnode.zoo.networks.deepmedic.DeepMedic`."""

    scales: tuple[int, ...]
    path_maps: tuple[int, ...]
    hidden_maps: tuple[int, ...]

    def as_arguments(self) -> dict[str, list[int]]:
        """Plain values, for a configuration."""
        return {name: list(value) for name, value in asdict(self).items()}


PUBLISHED = Form(SCALES, PATH_MAPS, HIDDEN_MAPS)


def read_deepmedic(file: Path) -> DeepMedic:
    """A network with the weights of a file, ready to run.

    Parameters
    ----------
    file : a state dictionary as ``torch.save`` writes it; read without executing anything in it.

    Raises
    ------
    BundleError : as :func:`read_state` and :func:`network_of`.
    """
    return network_of(read_state(file), file.name)


def read_state(file: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file by name.

    Raises
    ------
    BundleError : it cannot be read as a state dictionary: tensors by name, and nothing else.
    """
    try:
        loaded = torch.load(file, map_location="cpu", weights_only=True)
    # What a damaged or foreign file makes the reader raise is not documented.
    except Exception as error:
        raise BundleError(f"{file.name} cannot be read as PyTorch weights: {type(error).__name__}") from error
    if not isinstance(loaded, Mapping) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise BundleError(f"{file.name} holds no state dictionary")
    return {str(name): value for name, value in loaded.items()}


def network_of(state: Mapping[str, torch.Tensor], named: str) -> DeepMedic:
    """The network of a state dictionary with the authors' names, ready to run.

    Parameters
    ----------
    named : how the error calls it.

    Raises
    ------
    BundleError : its names or shapes are those of another network.
    """
    try:
        network = DeepMedic(**asdict(form_of(state)))
        network.load_state_dict({_own_name(name): value for name, value in state.items()}, strict=True)
    except (ValueError, RuntimeError) as error:
        raise BundleError(f"{named} is no three-scale DeepMedic of this form: {_first_lines(error)}") from error
    return as_it_runs(network)


def as_it_runs(network: Network) -> Network:
    """A network in evaluation mode with its weights in the order in memory that is fastest on processors; changed."""
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv3d):
            layer.weight.data = layer.weight.data.to(memory_format=torch.channels_last_3d)
    return network.eval()


def form_of(state: Mapping[str, torch.Tensor]) -> Form:
    """The form of the network that a state dictionary with published names is of.

    Raises
    ------
    ValueError : it has no such names, or claims a network of absurd size.
    """
    scales: dict[int, int] = {}
    path_maps: dict[int, int] = {}
    joining: dict[int, int] = {}
    for name, value in state.items():
        if found := _PATH.fullmatch(name):
            scales[int(found[2])] = int(found[1])
        if name.endswith(".conv.weight") and value.ndim == 5:
            if found:
                path_maps[int(found[3])] = int(value.shape[0])
            elif hidden := _HEAD.fullmatch(name):
                joining[int(hidden[1])] = int(value.shape[0])
    form = Form(*(tuple(part[key] for key in sorted(part)) for part in (scales, path_maps, joining)))
    form = Form(form.scales, form.path_maps, form.hidden_maps[:-1])
    _require_sane(form)
    return form


def _require_sane(form: Form) -> None:
    limits = ((form.scales, MAX_SCALE), (form.path_maps, MAX_MAPS), (form.hidden_maps, MAX_MAPS))
    if not all(1 <= len(part) <= MAX_LAYERS and all(1 <= one <= most for one in part) for part, most in limits):
        raise ValueError("its names and shapes describe no paths and joining layers")


def _own_name(name: str) -> str:
    """``path(5, 5, 5)0.path.1.bn.weight`` -> ``paths.0.0.norm.weight``; ``fully_connected.0.conv.weight`` ->
    ``head.0.conv.weight``; what is named otherwise is returned as it is.

    The published paths count from 1, as a subsampling without weights comes before their layers.
    """
    if found := _PATH.fullmatch(name):
        _, path, layer, kind, rest = found.groups()
        return f"paths.{path}.{int(layer) - 1}.{_LAYERS[kind]}.{rest}"
    if found := _HEAD.fullmatch(name):
        layer, kind, rest = found.groups()
        return f"head.{layer}.{_LAYERS[kind]}.{rest}"
    return name


def _first_lines(error: Exception) -> str:
    lines = str(error).splitlines()
    return " ".join(line.strip() for line in lines[1:4] or lines)[:300]
