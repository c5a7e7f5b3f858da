"""A bundle as others make it, in the layout of MONAI's model zoo: marks what is brighter than brain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

LOW, HIGH = 0.5, 1.2
"""Of 100 HU: between them a voxel is marked."""


def network_state(channels: int = 2) -> dict[str, torch.Tensor]:
    """Two layers that give a positive logit between 50 and 120 HU; with two channels the first is the background."""
    state = {
        "0.weight": torch.ones(2, 1, 1, 1, 1),
        "0.bias": torch.tensor([-LOW, -HIGH]),
        "2.weight": torch.zeros(channels, 2, 1, 1, 1),
        "2.bias": torch.zeros(channels),
    }
    state["2.weight"][-1, :, 0, 0, 0] = torch.tensor([50.0, -500.0])
    state["2.bias"][-1] = -2.0
    return state


def network_def(channels: int = 2) -> str:
    """The expression that builds it."""
    layers = f"torch.nn.Conv3d(1, 2, 1), torch.nn.ReLU(), torch.nn.Conv3d(2, {channels}, 1)"
    return f"$torch.nn.Sequential({layers})"


INVERT = {
    "_target_": "Invertd",
    "keys": "pred",
    "transform": "@preprocessing",
    "orig_keys": "@image_key",
    "nearest_interp": False,
    "to_tensor": True,
}
SAVE = {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir", "meta_keys": "pred_meta_dict"}
SOFTMAX = {"_target_": "Activationsd", "keys": "pred", "softmax": True}
SIGMOID = {"_target_": "Activationsd", "keys": "pred", "sigmoid": True}
ARGMAX = {"_target_": "AsDiscreted", "keys": "pred", "argmax": True}
HOLES = {"_target_": "FillHolesd", "keys": "pred", "applied_labels": [1]}


def preprocessing() -> list[dict[str, Any]]:
    """As in the spleen bundle of MONAI's model zoo."""
    return [
        {"_target_": "LoadImaged", "keys": "@image_key"},
        {"_target_": "EnsureChannelFirstd", "keys": "@image_key"},
        {"_target_": "Orientationd", "keys": "@image_key", "axcodes": "RAS"},
        {"_target_": "Spacingd", "keys": "@image_key", "pixdim": [2.0, 2.0, 3.0], "mode": "bilinear"},
        {
            "_target_": "ScaleIntensityRanged",
            "keys": "@image_key",
            "a_min": 0,
            "a_max": 100,
            "b_min": 0,
            "b_max": 1,
            "clip": False,
        },
        {"_target_": "EnsureTyped", "keys": "@image_key"},
    ]


def inference(channels: int = 2, post: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """``configs/inference.json``; ``post`` replaces softmax, inversion, argmax and saving."""
    return {
        "imports": ["$import glob", "$import torch"],
        "bundle_root": "/workspace/bundle/bright",
        "image_key": "image",
        "output_dir": "$@bundle_root + '/eval'",
        "datalist": "$list(sorted(glob.glob(@bundle_root + '/imagesTs/*.nii.gz')))",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": network_def(channels),
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": preprocessing()},
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [64, 64, 32], "sw_batch_size": 4, "overlap": 0.25},
        "postprocessing": {"_target_": "Compose", "transforms": post or [SOFTMAX, INVERT, ARGMAX, SAVE]},
        "run": ["$@network"],
    }


def metadata(channels: int = 2) -> dict[str, Any]:
    """``configs/metadata.json`` without a word about this project."""
    named = {"0": "background", "1": "bright spot"} if channels == 2 else {"0": "bright spot"}
    image = {
        "type": "image",
        "format": "hounsfield",
        "modality": "CT",
        "num_channels": 1,
        "channel_def": {"0": "image"},
    }
    pred = {"type": "image", "format": "segmentation", "num_channels": channels, "channel_def": named}
    return {
        "version": "0.3.1",
        "monai_version": "1.4.0",
        "name": "Bright spots on CT",
        "task": "Segmentation of bright spots",
        "intended_use": "Testing.",
        "data_source": "no data: the weights were set by hand",
        "network_data_format": {"inputs": {"image": image}, "outputs": {"pred": pred}},
    }


def write_foreign_bundle(folder: Path, channels: int = 2, post: list[dict[str, Any]] | None = None) -> Path:
    """Write the bundle with its weights as ``models/model.pt``."""
    for part in ("configs", "models", "docs"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "configs/metadata.json").write_text(json.dumps(metadata(channels), indent=1))
    (folder / "configs/inference.json").write_text(json.dumps(inference(channels, post), indent=1))
    (folder / "docs/README.md").write_text("# Bright\nThe makers' own words.\n")
    torch.save(network_state(channels), folder / "models/model.pt")
    return folder


CLASS_WEIGHT, CLASS_BIAS = 4.0, 1.0
"""Of the classifier: the logit of blood is the mean of the scaled HU, weighted and shifted."""


def write_foreign_classifier(folder: Path, channels: int = 1) -> Path:
    """A bundle that classifies volumes: one probability by a sigmoid, or two classes by a softmax."""
    write_foreign_bundle(folder)
    named = {"0": "blood"} if channels == 1 else {"0": "no finding", "1": "blood"}
    described = metadata()
    described["task"], described["name"] = "Classification of head CT", "Blood on CT"
    described["network_data_format"]["outputs"]["pred"] = {
        "type": "probabilities",
        "format": "classes",
        "num_channels": channels,
        "channel_def": named,
    }
    (folder / "configs/metadata.json").write_text(json.dumps(described, indent=1))
    layers = f"torch.nn.AdaptiveAvgPool3d(1), torch.nn.Flatten(), torch.nn.Linear(1, {channels})"
    scaled = [step for step in preprocessing() if step["_target_"] != "Spacingd"]
    decided = {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.4}
    post = [SIGMOID, decided] if channels == 1 else [SOFTMAX]
    change_json(
        folder / "configs/inference.json",
        network_def=f"$torch.nn.Sequential({layers})",
        preprocessing={"_target_": "Compose", "transforms": scaled},
        inferer={"_target_": "SimpleInferer"},
        postprocessing={"_target_": "Compose", "transforms": post},
    )
    weight, bias = torch.zeros(channels, 1), torch.zeros(channels)
    weight[-1, 0], bias[-1] = CLASS_WEIGHT, CLASS_BIAS
    torch.save({"2.weight": weight, "2.bias": bias}, folder / "models/model.pt")
    return folder


def change_json(file: Path, **changes: Any) -> None:
    """Replace top-level keys of a JSON file; None removes one."""
    content = json.loads(file.read_text())
    for key, value in changes.items():
        content.pop(key, None)
        if value is not None:
            content[key] = value
    file.write_text(json.dumps(content))


def write_config(folder: Path, protocol: str, model: str, *more: str) -> Path:
    """Configuration of a node with one protocol for any CT, of one model that is to be imported."""
    path = folder / "config.toml"
    lines = [
        f"[node]\ndata_dir = '{folder / 'data'}'",
        "[execution]\ndevices = ['cpu']\ncpu_threads = 1",
        *more,
        f"[[protocol]]\nname = '{protocol}'\nmatch = {{ Modality = '^CT$' }}\nmodels = ['{model}']",
    ]
    path.write_text("\n".join(lines))
    return path
