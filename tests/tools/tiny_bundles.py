"""The bundles of ``tiny_models``, written to disk as ``docs/architecture.md`` says how to add a model."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from dicomnode.zoo.registry import BUILT_IN

MODELS = "tests.tools.tiny_models"
PER_ML, PER_YEAR, BIAS = 0.02, 0.02, -2.0
FADED = 0.9
RISK_PER_YEAR, RISK_OF_MEN, RISK_BIAS = 0.1, 1.5, -3.0
HIGH = {"value": "15508007", "scheme": "SCT", "meaning": "High risk"}
LOW = {"value": "75976002", "scheme": "SCT", "meaning": "Low risk"}
AGE = {"name": "age", "label": "Age", "example": 63.0}
SEX = {"name": "sex", "label": "Sex", "required": False, "example": "female"}
ADULTS = {"says": "adults", "variable": "age", "min": 18}


def bleed_risk(volume_ml: float, age: float) -> float:
    """What the bundle of that name must give, by hand."""
    return 1.0 / (1.0 + math.exp(-(PER_ML * volume_ml + PER_YEAR * age + BIAS)))


def age_risk(age: float, *, is_male: bool) -> float:
    """What the bundle of that name must give, by hand."""
    return RISK_PER_YEAR * age + RISK_OF_MEN * is_male + RISK_BIAS


def write_bleed_risk(folder: Path) -> Path:
    """A score from a mask and a variable."""
    return _write(
        folder,
        "bleed_risk",
        "BleedRisk",
        needs={"findings": ["hemorrhage"], "variables": [AGE]},
        population=[{"says": "bleed of at least 1 mL", "finding": "hemorrhage", "min": 1.0}, ADULTS],
        gives={"kind": "score", "label": "Risk by bleed and age", "threshold": 0.5, "high": HIGH, "low": LOW},
        weight=torch.tensor([[PER_ML, PER_YEAR]]),
        bias=BIAS,
    )


def write_later_scan(folder: Path) -> Path:
    """A predicted image."""
    shipped = json.loads((BUILT_IN / "hemorrhage/bundle/configs/metadata.json").read_text())["dicomnode"]
    image = shipped["needs"]["image"]
    return _write(
        folder,
        "later_scan",
        "LaterScan",
        needs={"image": {**image, "pixel_spacing_mm": {"min": 0.2, "max": 3.0}}},
        gives={"kind": "image", "label": "Faded scan", "horizon": "24 h after the baseline scan"},
        weight=torch.tensor([[FADED]]),
        bias=0.0,
    )


def write_age_risk(folder: Path) -> Path:
    """A score that needs no image."""
    return _write(
        folder,
        "age_risk",
        "AgeRisk",
        needs={"variables": [AGE, SEX]},
        population=[ADULTS],
        gives={"kind": "score", "label": "Risk by age", "unit": "{score}", "threshold": 3.0},
        weight=torch.tensor([[RISK_PER_YEAR, RISK_OF_MEN]]),
        bias=RISK_BIAS,
    )


def _write(
    folder: Path,
    name: str,
    model: str,
    *,
    needs: dict[str, Any],
    gives: dict[str, Any],
    weight: torch.Tensor,
    bias: float,
    population: list[dict[str, Any]] | None = None,
) -> Path:
    for part in ("configs", "models", "docs"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    section = {
        "name": name,
        "task": "test",
        "title": f"Tiny model {name}",
        "trained_on": "nothing: weights set by hand",
        "research": True,
        "intended_use": "Tests.",
        "limits": [],
        "reads": "inputs",
        "needs": needs,
        "population": population or [],
        "gives": [{"name": name, **gives}],
    }
    (folder / "configs/metadata.json").write_text(json.dumps({"version": "1.0.0", "dicomnode": section}, indent=1))
    (folder / "configs/inference.json").write_text(json.dumps(_inference(model, weight.shape[1]), indent=1))
    (folder / "docs/README.md").write_text(f"# {name}\nFor tests only.\n")
    save_file({"weight": weight, "bias": torch.tensor([bias])}, folder / "models/model.safetensors")
    return folder


def _inference(model: str, features: int) -> dict[str, Any]:
    return {
        "network_def": {"_target_": "torch.nn.Linear", "in_features": features, "out_features": 1},
        "model_def": {"_target_": f"{MODELS}.{model}", "network": "@network_def"},
    }
