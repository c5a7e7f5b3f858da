"""Weights of a training as a bundle, without being installed: the node's own, with these in place of its weights.

They are those of the network that the node runs (``hemorrhage``) or of the one before it (``hemorrhage-student``), of
one network (``best.safetensors``) or of several that mark together. How the exam
probability is calibrated stands in ``calibration.json`` or ``figures.json`` beside them; where neither is, the marks
alone decide.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from itertools import count, cycle, islice, takewhile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from dicomnode.train.hemorrhage.recipes import BUNDLE, CHANNELS, DETECTED, FINDINGS, FULL_VIEW, SEATS
from dicomnode.zoo.hemorrhage.committee import seated
from dicomnode.zoo.hemorrhage.full_view import FACTOR
from dicomnode.zoo.parts import CONFIG, WEIGHTS

METADATA = Path("configs/metadata.json")
CALIBRATIONS = ("calibration.json", "figures.json")
EXAM = "exam"
NETWORKS = "dicomnode.zoo.hemorrhage"
SEEN = [1, 4]
"""Channels of the slice itself, see ``recipes.detector_network``."""
State = Mapping[str, torch.Tensor]


def bundle_of(weights: Path, folder: Path) -> Path:
    """Write a bundle with these weights into a new folder; the same weights give the same bundle.

    Raises
    ------
    OSError : a file cannot be read or written.
    """
    shutil.copytree(BUNDLE, folder)
    members = members_in(load_file(weights))
    inference = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    if "decide.weight" in members[0]:
        network = {"network_def": _committee([_detector(member) for member in members])}
    else:
        members, network = list(islice(cycle(members), SEATS)), _students()
    _write(folder / CONFIG, inference | network)
    state = {name: value.clone() for name, value in seated(members).items()}
    save_file(state, folder / WEIGHTS)
    metadata = json.loads((folder / METADATA).read_text(encoding="utf-8"))
    metadata["dicomnode"]["gives"][0] |= calibration_beside(weights)
    _write(folder / METADATA, metadata)
    return folder


def members_in(state: State) -> list[State]:
    """The weights of each network that marks with others; of the only one."""
    if not any(name.startswith("members.") for name in state):
        return [state]
    seats = (f"members.{seat}." for seat in count())
    taken = takewhile(lambda seat: any(name.startswith(seat) for name in state), seats)
    return [{name.removeprefix(seat): state[name] for name in state if name.startswith(seat)} for seat in taken]


def calibration_beside(weights: Path) -> dict[str, float | None]:
    """Slope, intercept and threshold of the exam probability as the manifest names them; no threshold if unknown."""
    for name in CALIBRATIONS:
        file = weights.with_name(name)
        told = json.loads(file.read_text(encoding="utf-8")).get(EXAM) if file.exists() else None
        if told is not None:
            return {f"exam_{key}": float(told[key]) for key in ("slope", "intercept", "threshold")}
    return {"exam_slope": 1.0, "exam_intercept": 0.0, "exam_threshold": None}


def _committee(members: list[Any]) -> dict[str, Any]:
    return {"_target_": f"{NETWORKS}.committee.Committee", "members": members}


def _students() -> dict[str, Any]:
    """A committee of ``recipes.student_network`` as MONAI builds it."""
    cores = {f"core_{seat}": _core(len(FINDINGS), None) for seat in range(SEATS)}
    member = f"$torch.nn.Sequential(torch.nn.PixelUnshuffle({FACTOR}), @{{}}, torch.nn.PixelShuffle({FACTOR}))"
    return {**cores, "network_def": _committee([member.format(name) for name in cores])}


def _core(outputs: int, features: list[int] | None) -> dict[str, Any]:
    core = {
        "_target_": f"{NETWORKS}.residual_unet.ResidualUNet",
        "in_channels": CHANNELS * FACTOR**2,
        "out_channels": outputs * FACTOR**2,
    }
    return core if features is None else core | {"features": features}


def _detector(state: State) -> dict[str, Any]:
    """``recipes.detector_network`` as MONAI builds it, as wide as its weights."""
    levels = takewhile(lambda bias: bias in state, (f"core.encoder.{level}.second.conv.bias" for level in count()))
    core = _core(FULL_VIEW, [len(state[bias]) for bias in levels])
    look = {"seen": SEEN, "coarse": FULL_VIEW, "hidden": len(state["look.conv.bias"]), "outputs": len(DETECTED)}
    return {"_target_": f"{NETWORKS}.full_view.FullView", "core": core, **look}


def _write(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
