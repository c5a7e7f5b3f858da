"""Seconds of a head trained on features of a frozen network: the first time, and once the features are kept.

    python benchmarks/frozen_features.py [--patients 12]

The features are those of the encoder of the shipped haemorrhage bundle; the head says from them, and from the age,
whether the exam shows blood. Patients are synthetic. Both trainings are the same call, one after the other.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from dicomnode.cohort.make import make_cohort
from dicomnode.dicom.libraries import set_up_pydicom
from dicomnode.records import Volume
from dicomnode.train.engine import Batch, FitSettings
from dicomnode.train.exam_learner import ExamLearner
from dicomnode.train.features import FrozenFeatures
from dicomnode.train.importers import cohort
from dicomnode.train.manifest import Case, Split, write_manifest
from dicomnode.train.outputs.probability import Probability
from dicomnode.train.results import Results, results_of
from dicomnode.train.run import train_model
from dicomnode.train.settings import TrainSettings
from dicomnode.train.tabular import ExamTensors, numbers_of, over_known, scale_of, stacked
from dicomnode.zoo.parts import load_parts, load_weights
from dicomnode.zoo.plain import head_of
from dicomnode.zoo.registry import BUILT_IN

BUNDLE = BUILT_IN / "hemorrhage/bundle"
VARIABLES = ("age_years",)
WIDTH = 160
"""Channels of the coarsest level of the bundle's network."""


class Encoder(torch.nn.Module):
    """Mean over an exam of the coarsest features that the bundle's first network has of each slice."""

    def __init__(self) -> None:
        super().__init__()
        parts = load_parts(BUNDLE)
        load_weights(parts.network, BUNDLE)
        self.unshuffle, self.core, _ = parts.network.members[0]

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        """(1, slices, channels, size, size) -> (1, WIDTH)."""
        features = self.core.encoder[0](self.core.stem(self.unshuffle(planes[0])))
        for block in self.core.encoder[1:]:
            features = block(torch.nn.functional.max_pool2d(features, 2))
        return torch.as_tensor(features.mean(dim=(0, 2, 3)))[None]


class Head(torch.nn.Module):
    """Log odds, linear in features and in what is known of the variables."""

    def __init__(self, mean: torch.Tensor, deviation: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)
        self.line = torch.nn.Linear(WIDTH + len(VARIABLES), 1)

    def forward(self, features: torch.Tensor, variables: torch.Tensor) -> torch.Tensor:
        """(exams, WIDTH), (exams, variables) with NaN where not known -> (exams, 1)."""
        known = torch.isfinite(variables)
        values = torch.where(known, (variables - self.mean) / self.deviation, 0.0)
        return torch.as_tensor(self.line(torch.cat([features, values], dim=1)))


class BloodLearner(ExamLearner):
    """Whether an exam shows blood."""

    name = "blood"
    stratify_by = "hemorrhage"
    inputs = ("features", "variables")

    def __init__(self) -> None:
        self.outputs = (Probability("blood", "hemorrhage", "score"),)
        self.parts, self.encoder = load_parts(BUNDLE), Encoder()

    def planes(self, volume: Volume) -> torch.Tensor:
        """(1, slices, channels, size, size) as the bundle's network reads a volume."""
        _, hu = head_of(volume, self.parts.plane_size, self.parts.plane_pixel_mm)
        image = torch.as_tensor(self.parts.preprocessing(self.parts.calibration({"image": hu}))["image"])
        return image.transpose(0, 1)[None].float()

    def tensors(self, case: Case, cache: Path) -> Mapping[str, torch.Tensor]:
        kept = FrozenFeatures(self.encoder, self.planes, str(BUNDLE.name), cache).of(case)
        numbers = {
            "variables": numbers_of(case.variables, VARIABLES),
            "truth": numbers_of(case.labels, ("hemorrhage",)),
        }
        return {**kept, **numbers}

    def network(self, training: Sequence[ExamTensors]) -> torch.nn.Module:
        unknown = torch.zeros(len(VARIABLES)), torch.ones(len(VARIABLES))
        return Head(*(scale_of(stacked(training)["variables"], VARIABLES) if training else unknown))

    def loss(self, output: Any, batch: Batch) -> torch.Tensor:
        return over_known(binary_cross_entropy_with_logits, output, batch["truth"])

    def validate(self, network: torch.nn.Module, samples: Sequence[ExamTensors], *, bfloat16: bool) -> float:
        return -float(self.loss(self.answers(network, samples), stacked(samples)))

    def judge(self, network: torch.nn.Module, samples: Sequence[ExamTensors], *, progress: bool) -> Results:
        given, truth = self.answers(network, samples).sigmoid(), stacked(samples)["truth"]
        rows = [{"hemorrhage": float(t), "score": float(g)} for t, g in zip(truth, given, strict=True)]
        return results_of([sample.case for sample in samples], rows)


def manifest_of(folder: Path, patients: int) -> Path:
    """A cohort as a manifest, every third exam for validation, every third for the test."""
    table = make_cohort(folder / "cohort", patients, 5, progress=False, matrix=256, formats=["dicom"])
    splits = (Split.TRAIN, Split.VALIDATION, Split.TEST)
    cases = cohort.read(table.parent, folder)
    return write_manifest(folder / "manifest.csv", [replace(case, split=splits[k % 3]) for k, case in enumerate(cases)])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=12)
    given = parser.parse_args()
    set_up_pydicom()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        manifest = manifest_of(folder, given.patients)
        settings = TrainSettings(fit=FitSettings(epochs=50), batch=4, cache=folder / "kept", progress=False)
        for what in ("features computed", "features kept"):
            start = time.perf_counter()
            train_model(manifest, folder / what.replace(" ", "-"), BloodLearner(), settings)
            print(
                f"{what:18} {time.perf_counter() - start:7.1f} s for {given.patients} exams, 50 epochs, and the report"
            )


if __name__ == "__main__":
    main()
