"""The part of an import that runs foreign code or reads foreign files with torch: a process of its own.

``python -m dicomnode.zoo.importing.trial BUNDLE WEIGHTS REPLY``: reads WEIGHTS without unpickling anything but
tensors, writes them as safetensors into BUNDLE, builds the parts, loads the weights, runs them once on a small volume,
and writes to REPLY (JSON) what was found, or the coded reason of a refusal. A crash costs the import, nothing else.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from dicomnode.dicom.geometry import weights_of
from dicomnode.errors import BundleError, BundleRefused, ImportRefusal, InferenceError
from dicomnode.records import Stack, Volume
from dicomnode.zoo.bundle import METADATA
from dicomnode.zoo.importing.allowed import as_it_is_built, require_allowed
from dicomnode.zoo.importing.archive import is_torchscript
from dicomnode.zoo.importing.components import load_libraries, require_components
from dicomnode.zoo.importing.confined import confine, limit_resources
from dicomnode.zoo.importing.foreign import read_config
from dicomnode.zoo.ladder import Ladder
from dicomnode.zoo.parts import WEIGHTS, load_weights
from dicomnode.zoo.registry import open_bundle
from dicomnode.zoo.runner import Runner
from dicomnode.zoo.volumes import load_volume_parts, predict

CONTAINERS = ("model", "state_dict", "model_state_dict", "network")
"""Keys under which training programs keep the state dict in a checkpoint."""
TRIAL_SHAPE = (24, 64, 64)
TRIAL_SPACING_MM = (5.0, 3.0)
"""Between slices, and of a pixel: the field of a head."""


def main(bundle: Path, weights: Path, reply: Path) -> None:
    """Do it, and say what came of it."""
    warnings.simplefilter("ignore")
    limit_resources()
    load_libraries()
    confine(bundle, reply)
    try:
        require_named_parts(bundle)
        convert_weights(weights, bundle / WEIGHTS)
        said = examine(bundle)
    except BundleRefused as fault:
        said = {"refusal": fault.refusal.value, "detail": fault.detail}
    reply.write_text(json.dumps(said), encoding="utf-8")


def require_named_parts(bundle: Path) -> None:
    """Judge what the names in the configuration stand for, before anything is built.

    Raises
    ------
    BundleRefused : ``FORBIDDEN``, ``CANNOT_BUILD``.
    """
    config, metadata = read_config(bundle), json.loads((bundle / METADATA).read_text(encoding="utf-8"))
    built = as_it_is_built(config, metadata)
    require_allowed(built, metadata)
    require_components(built, metadata)


def convert_weights(source: Path, target: Path) -> None:
    """Write a state dict (``.pt``, ``.pth`` or ``.safetensors``) as safetensors.

    Raises
    ------
    BundleRefused : ``TORCHSCRIPT``, ``UNSAFE_WEIGHTS``.
    """
    state = _state_of(source)
    tensors = {key.removeprefix("module."): value.detach().contiguous().clone() for key, value in state.items()}
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, target)


def _state_of(source: Path) -> dict[str, torch.Tensor]:
    if is_torchscript(source):
        raise BundleRefused(ImportRefusal.TORCHSCRIPT, source.name)
    try:
        # Never anything but tensors and plain containers: a pickle could run any code. What a foreign file makes the
        # readers raise is theirs to choose; it is refused.
        safe = source.suffix == ".safetensors"
        loaded = load_file(source) if safe else torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:
        raise BundleRefused(ImportRefusal.UNSAFE_WEIGHTS, f"{source.name}: {type(error).__name__}") from error
    state = _unwrapped(loaded)
    if not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise BundleRefused(ImportRefusal.UNSAFE_WEIGHTS, f"{source.name} holds no state dict")
    return {str(key): value for key, value in state.items()}


def _unwrapped(loaded: Any) -> Mapping[Any, Any]:
    if not isinstance(loaded, Mapping):
        return {}
    inner = next((loaded[key] for key in CONTAINERS if isinstance(loaded.get(key), Mapping)), None)
    return loaded if inner is None else inner


def examine(bundle: Path) -> dict[str, Any]:
    """Build, load and run a bundle.

    Returns
    -------
    ``kind`` ``volume`` with ``channels``, ``dimensions`` of the result, ``decision`` and ``threshold``; or ``own`` for
    a bundle that was made for this project, which is built and loaded only.

    Raises
    ------
    BundleRefused : ``MISSING_PART``, ``CANNOT_BUILD``, ``NO_DECISION``, ``WEIGHTS_DO_NOT_FIT``, ``CANNOT_RUN``.
    """
    if _is_own(bundle):
        return _examine_own(bundle)
    parts = load_volume_parts(bundle)
    _load(parts.network, bundle)
    parts.network.eval()
    try:
        pred = predict(parts, trial_volume(), Ladder(parts.network, torch.device("cpu"), parts.inferer))
    except InferenceError as fault:
        raise BundleRefused(ImportRefusal.CANNOT_RUN, str(fault)) from fault
    except Exception as error:
        raise BundleRefused(ImportRefusal.CANNOT_RUN, f"{type(error).__name__}: {str(error)[:300]}") from error
    if pred.ndim not in (1, 4) or not bool(torch.isfinite(pred).all()):
        raise BundleRefused(ImportRefusal.CANNOT_RUN, f"The result has shape {tuple(pred.shape)} or is not finite.")
    channels = None if parts.decision == "labels" else int(pred.shape[0])
    return {
        "kind": "volume",
        "channels": channels,
        "dimensions": pred.ndim,
        "decision": parts.decision,
        "threshold": parts.threshold,
    }


def _is_own(bundle: Path) -> bool:
    """Whether it has a section of this project that says how it reads; one that reads volumes is tried as others."""
    section = json.loads((bundle / METADATA).read_text(encoding="utf-8")).get("dicomnode")
    return isinstance(section, dict) and section.get("volume") is None


def _examine_own(bundle: Path) -> dict[str, Any]:
    """Build it and load its weights, as a node would."""
    try:
        Runner(open_bundle(bundle))
    except BundleError as error:
        refusal = ImportRefusal.WEIGHTS_DO_NOT_FIT if str(WEIGHTS) in str(error) else ImportRefusal.CANNOT_BUILD
        raise BundleRefused(refusal, str(error)[:600]) from error
    return {"kind": "own"}


def _load(network: torch.nn.Module, bundle: Path) -> None:
    try:
        load_weights(network, bundle)
    except BundleError as error:
        raise BundleRefused(ImportRefusal.WEIGHTS_DO_NOT_FIT, str(error)[:600]) from error


def trial_volume() -> Volume:
    """A ball of brain in a shell of bone in air, 24 slices."""
    slices, rows, columns = TRIAL_SHAPE
    between_mm, pixel_mm = TRIAL_SPACING_MM
    z, y, x = np.indices(TRIAL_SHAPE).astype(np.float32)
    radius_mm = np.sqrt(
        ((z - slices / 2) * between_mm) ** 2 + ((y - rows / 2) ** 2 + (x - columns / 2) ** 2) * pixel_mm**2
    )
    hu = np.select([radius_mm < 52, radius_mm < 58], [32.0, 900.0], -1000.0).astype(np.float32)
    positions = np.zeros((slices, 3))
    positions[:, 2] = np.arange(slices) * between_mm
    stack = Stack(
        order=tuple(range(slices)),
        positions_mm=positions,
        row_cosines=np.array([1.0, 0.0, 0.0]),
        column_cosines=np.array([0.0, 1.0, 0.0]),
        normal=np.array([0.0, 0.0, 1.0]),
        offsets_mm=positions[:, 2],
        weights_mm=weights_of(positions[:, 2]),
        rows=rows,
        columns=columns,
        row_spacing_mm=pixel_mm,
        column_spacing_mm=pixel_mm,
        shear=(0.0, 0.0),
    )
    return Volume(hu, stack, tuple(f"2.25.{k}" for k in range(1, slices + 1)))


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:4]))
