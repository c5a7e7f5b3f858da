"""A real bundle that needs no training: one convolution that marks bright spots away from bone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from dicomnode.zoo.registry import BUILT_IN

TOP_HU = 100.0
BONE_HU = 1000.0
KERNEL = 7
# logit = BRIGHT * own HU (clipped, in TOP_HU) - BONE * mean HU around (in BONE_HU) + BIAS:
# brain of 32 HU -15, a bleed of 70 HU +80, anything within a kernel's half of bone far below 0.
BRIGHT, BONE, BIAS = 400.0, 1500.0, -95.0


def write_threshold_bundle(
    folder: Path, name: str = "threshold", network: str = "torch.nn.Conv2d", **more: str
) -> Path:
    """Write the bundle; it runs in milliseconds and is right on plain heads with a bleed amid the brain.

    Parameters
    ----------
    network : another class of the same layer, such as one of ``tests.tools.broken_networks``; ``more`` goes to it.
    """
    for part in ("configs", "models", "docs"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "configs/metadata.json").write_text(json.dumps(_metadata(name), indent=1))
    (folder / "configs/inference.json").write_text(json.dumps(_inference(network, more), indent=1))
    (folder / "docs/README.md").write_text("# A threshold\n\nMarks bright spots away from bone. For tests only.\n")
    weight = torch.zeros(1, 6, KERNEL, KERNEL)
    weight[0, 1, KERNEL // 2, KERNEL // 2] = BRIGHT
    weight[0, 4] = -BONE / KERNEL**2
    save_file({"weight": weight, "bias": torch.tensor([BIAS])}, folder / "models/model.safetensors")
    return folder


def _metadata(name: str) -> dict[str, Any]:
    metadata: dict[str, Any] = json.loads((BUILT_IN / "hemorrhage/bundle/configs/metadata.json").read_text())
    metadata["version"] = "1.0.0"
    section = metadata["dicomnode"]
    section |= {"name": name, "title": "Bright spots", "trained_on": "nothing: one convolution"}
    section["needs"]["image"]["pixel_spacing_mm"] = {"min": 0.2, "max": 3.0}
    if name != "threshold":
        section["gives"][0]["name"] = name  # two models of a protocol may not give findings of one name
    return metadata


def _inference(network: str, more: dict[str, str]) -> dict[str, Any]:
    def scaled(key: str, top: float, clip: bool) -> dict[str, Any]:
        ends = {"a_min": 0, "a_max": top, "b_min": 0, "b_max": 1}
        return {"_target_": "ScaleIntensityRanged", "keys": key, **ends, "clip": clip}

    module, _, layer = network.rpartition(".")
    arguments = ", ".join(
        [f"6, 1, {KERNEL}, padding={KERNEL // 2}", *[f"{key}={value!r}" for key, value in more.items()]]
    )
    steps = [
        {"_target_": "CopyItemsd", "keys": "image", "times": 1, "names": "wide"},
        scaled("image", TOP_HU, True),
        scaled("wide", BONE_HU, False),
        {"_target_": "ConcatItemsd", "keys": ["image", "wide"], "name": "image", "dim": 0},
    ]
    return {
        "imports": [f"$from {module} import {layer}"],
        "plane_size": 96,
        "plane_pixel_mm": 2.2,
        "network_def": f"${layer}({arguments})",
        "preprocessing": {"_target_": "Compose", "transforms": steps},
        "inferer": {"_target_": "SliceInferer", "roi_size": [96, 96], "sw_batch_size": 64, "spatial_dim": 0},
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [{"_target_": "Activationsd", "keys": "pred", "sigmoid": True}],
        },
    }
