"""Checkpoints: weights as safetensors, optimiser state read with ``weights_only``; one folder, renamed into place.

A crash at any moment leaves the previous checkpoint whole.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from dicomnode.errors import TrainingError

WEIGHTS = "network.safetensors"
STATE = "state.pt"
PROGRESS = "progress.json"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is needed to go on after an epoch.

    Attributes
    ----------
    weights : state dict of the network.
    state : state dicts of optimiser, gradient scaler and early stopping.
    progress : JSON-able: ``epoch``, ``history``, ``settings``.
    """

    weights: Mapping[str, torch.Tensor]
    state: Mapping[str, Any]
    progress: Mapping[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write the checkpoint of an epoch, then remove the older ones. Returns its folder."""
    epoch = int(checkpoint.progress["epoch"])
    target, part = folder / f"epoch-{epoch:05d}", folder / f"part-{epoch:05d}"
    for stale in (part, target):
        shutil.rmtree(stale, ignore_errors=True)
    part.mkdir(parents=True)
    save_weights(checkpoint.weights, part / WEIGHTS)
    torch.save(dict(checkpoint.state), part / STATE)
    (part / PROGRESS).write_text(json.dumps(checkpoint.progress), encoding="utf-8")
    part.rename(target)
    for older in [*folder.glob("epoch-*"), *folder.glob("part-*")]:
        if older != target:
            shutil.rmtree(older)
    return target


def latest_checkpoint(folder: Path) -> Checkpoint | None:
    """The last whole checkpoint of a folder, or None.

    Raises
    ------
    TrainingError : it cannot be read.
    """
    found = sorted(folder.glob("epoch-*"))
    if not found:
        return None
    try:
        return Checkpoint(
            weights=load_file(found[-1] / WEIGHTS),
            state=torch.load(found[-1] / STATE, map_location="cpu", weights_only=True),
            progress=json.loads((found[-1] / PROGRESS).read_text(encoding="utf-8")),
        )
    except (OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
        raise TrainingError(f"{found[-1]} cannot be read ({error}); remove it to begin anew") from error


def save_weights(weights: Mapping[str, torch.Tensor], file: Path) -> None:
    """Write weights as safetensors, by way of a file beside it."""
    # a cache may be shared by trainings that come to the same exam at the same time
    part = file.with_suffix(f".{os.getpid()}.part")
    save_file({name: value.detach().cpu().contiguous() for name, value in weights.items()}, part)
    part.replace(file)


def load_weights_file(network: torch.nn.Module, file: Path) -> None:
    """Load weights of any float type in place.

    Raises
    ------
    TrainingError : the file is absent, damaged or does not fit the network.
    """
    try:
        weights = load_file(file)
        if weights.keys() != network.state_dict().keys():
            raise TrainingError(f"{file} cannot be loaded: it holds the weights of another network")
        network.load_state_dict(weights)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise TrainingError(f"{file} cannot be loaded: {error}") from error


def _fitting(own: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor], part: str) -> dict[str, torch.Tensor]:
    named = {part + name: value for name, value in found.items()}
    return {name: value for name, value in named.items() if name in own and own[name].shape == value.shape}


def begin_with(network: torch.nn.Module, file: Path) -> int:
    """Load what fits by name and shape from the weights of another training, or of a bundle, in place.

    A bundle keeps what a node runs; where a training has more around it, the names are looked for in that part.

    Returns
    -------
    How many weights were taken.

    Raises
    ------
    TrainingError : the file is absent or damaged, or nothing in it fits.
    """
    own = network.state_dict()
    try:
        found = load_file(file)
    except (OSError, ValueError, SafetensorError) as error:
        raise TrainingError(f"{file} cannot be loaded: {error}") from error
    parts = ("", *(f"{name}." for name, _ in network.named_children()))
    fitting = max((_fitting(own, found, part) for part in parts), key=len)
    if not fitting:
        raise TrainingError(f"{file} cannot be begun with: none of its weights has a place in this network")
    network.load_state_dict({**own, **fitting})
    return len(fitting)


def weight_names(file: Path) -> frozenset[str]:
    """Names of the weights in a file.

    Raises
    ------
    TrainingError : the file is absent or damaged.
    """
    try:
        with safe_open(file, framework="pt") as weights:
            return frozenset(weights.keys())
    except (OSError, ValueError, SafetensorError) as error:
        raise TrainingError(f"{file} cannot be loaded: {error}") from error
