"""Small learners that are no haemorrhage: outcomes from variables and text, an exam's image, an image to come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, l1_loss, mse_loss

from dicomnode.cohort.streams import stream
from dicomnode.images.files import read_image
from dicomnode.records import Volume
from dicomnode.train.agreement import image_measures
from dicomnode.train.engine import Batch
from dicomnode.train.exam_learner import ExamLearner
from dicomnode.train.features import FrozenFeatures
from dicomnode.train.learner import Needs
from dicomnode.train.manifest import Case
from dicomnode.train.outputs.image import UNCHANGED, ImageOutput
from dicomnode.train.outputs.probability import Probability
from dicomnode.train.outputs.value import Value
from dicomnode.train.results import Results, results_of
from dicomnode.train.samples import image_of, text_of
from dicomnode.train.tabular import ExamTensors, numbers_of, over_known, scale_of, stacked
from dicomnode.train.targets import target_on

VARIABLES = ("age_years", "gcs")
WORDS = ("drowsy", "alert")


class Outcomes(nn.Module):
    """Log odds of death and a grade, both linear in what is known."""

    def __init__(self, mean: torch.Tensor, deviation: torch.Tensor, words: int) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)
        self.line = nn.Linear(2 * len(mean) + words, 2)

    def forward(self, variables: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """(exams, variables) with NaN where not known, (exams, words) -> (exams, 2)."""
        known = torch.isfinite(variables)
        values = torch.where(known, (variables - self.mean) / self.deviation, 0.0)
        return torch.as_tensor(self.line(torch.cat([values, known.float(), words], dim=1)))


class OutcomeLearner(ExamLearner):
    """Death and the modified Rankin scale from two variables and the words of a report; no image."""

    name = "outcome"
    stratify_by = "death"
    inputs = ("variables", "words")
    needs = Needs(image=False, text=True, label_ranges={"mrs": (0, 6)})

    def __init__(self, words: Sequence[str] = WORDS) -> None:
        self.words = words
        self.death = Probability("death", "death", "death_score")
        self.grade = Value("mRS", "mrs", "mrs_given", ordinal=True, prefix="mrs_")
        self.outputs = (self.death, self.grade)

    def settings(self) -> Mapping[str, object]:
        return {"words": list(self.words)}

    def tensors(self, case: Case, cache: Path) -> Mapping[str, torch.Tensor]:
        text = text_of(case).lower()
        return {
            "variables": numbers_of(case.variables, VARIABLES),
            "words": torch.tensor([float(word in text) for word in self.words]),
            "truth": numbers_of(case.labels, ("death", "mrs")),
        }

    def network(self, training: Sequence[ExamTensors]) -> nn.Module:
        unknown = torch.zeros(len(VARIABLES)), torch.ones(len(VARIABLES))
        scale = scale_of(stacked(training)["variables"], VARIABLES) if training else unknown
        return Outcomes(*scale, len(self.words))

    def loss(self, output: Any, batch: Batch) -> torch.Tensor:
        death, grade = batch["truth"].T
        return over_known(binary_cross_entropy_with_logits, output[:, 0], death) + 0.1 * over_known(
            mse_loss, output[:, 1], grade
        )

    def validate(self, network: nn.Module, samples: Sequence[ExamTensors], *, bfloat16: bool) -> float:
        return -float(self.loss(self.answers(network, samples), stacked(samples)))

    def judge(self, network: nn.Module, samples: Sequence[ExamTensors], *, progress: bool) -> Results:
        given, truth = self.answers(network, samples).double(), stacked(samples)["truth"].double()
        columns = {"death": truth[:, 0], "death_score": given[:, 0].sigmoid()}
        columns |= {"mrs": truth[:, 1], "mrs_given": given[:, 1]}
        rows = [{name: float(values[k]) for name, values in columns.items()} for k in range(len(samples))]
        return results_of([sample.case for sample in samples], rows)


class FeatureLearner(ExamLearner):
    """A label from features that a frozen network takes from an image."""

    name = "dense"
    stratify_by = "dense"
    inputs = ("features",)

    def __init__(self, weight: float = 1.0) -> None:
        self.outputs = (Probability("dense", "dense", "score"),)
        self.frozen = nn.Conv2d(1, 2, 1)
        nn.init.constant_(self.frozen.weight, weight)
        nn.init.zeros_(self.frozen.bias)

    def tensors(self, case: Case, cache: Path) -> Mapping[str, torch.Tensor]:
        def prepare(volume: Volume) -> torch.Tensor:
            return torch.from_numpy(volume.hu.mean(axis=0) / 100.0)[None, None].float()

        class Pooled(nn.Sequential):
            def forward(self, image: torch.Tensor) -> torch.Tensor:
                return torch.as_tensor(super().forward(image)).mean(dim=(2, 3))

        features = FrozenFeatures(Pooled(self.frozen), prepare, {"hu": 100.0}, cache).of(case)
        return {**features, "truth": numbers_of(case.labels, ("dense",))}

    def network(self, training: Sequence[ExamTensors]) -> nn.Module:
        return nn.Linear(2, 1)

    def loss(self, output: Any, batch: Batch) -> torch.Tensor:
        return over_known(binary_cross_entropy_with_logits, output, batch["truth"])

    def validate(self, network: nn.Module, samples: Sequence[ExamTensors], *, bfloat16: bool) -> float:
        return -float(self.loss(self.answers(network, samples), stacked(samples)))

    def judge(self, network: nn.Module, samples: Sequence[ExamTensors], *, progress: bool) -> Results:
        given, truth = self.answers(network, samples).sigmoid(), stacked(samples)["truth"]
        rows = [{"dense": float(t), "score": float(g)} for t, g in zip(truth, given, strict=True)]
        return results_of([sample.case for sample in samples], rows)


class FollowUpLearner(ExamLearner):
    """The scan to come, voxel by voxel from the one that is there."""

    name = "follow-up"
    needs = Needs(targets=("followup",))
    range_hu = 100.0

    def __init__(self) -> None:
        self.outputs = (ImageOutput("follow-up"),)

    def tensors(self, case: Case, cache: Path) -> Mapping[str, torch.Tensor]:
        volume = read_image(image_of(case))
        target = target_on(case.targets["followup"], volume.stack)
        return {"image": torch.from_numpy(volume.hu)[None] / 100.0, "target": torch.from_numpy(target)[None] / 100.0}

    def network(self, training: Sequence[ExamTensors]) -> nn.Module:
        return nn.Conv3d(1, 1, 1)

    def loss(self, output: Any, batch: Batch) -> torch.Tensor:
        return over_known(l1_loss, output, batch["target"])

    def validate(self, network: nn.Module, samples: Sequence[ExamTensors], *, bfloat16: bool) -> float:
        return -float(self.loss(self.answers(network, samples), stacked(samples)))

    def judge(self, network: nn.Module, samples: Sequence[ExamTensors], *, progress: bool) -> Results:
        rows = []
        for sample, answer in zip(samples, self.answers(network, samples), strict=True):
            given, before, truth = (
                (100.0 * tensor[0]).numpy() for tensor in (answer, sample.tensors["image"], sample.tensors["target"])
            )
            inside = np.ones(truth.shape, bool)
            unchanged = image_measures(truth, before, inside, self.range_hu)
            row = image_measures(truth, given, inside, self.range_hu)
            rows.append({**row, **{UNCHANGED + name: value for name, value in unchanged.items()}})
        return results_of([sample.case for sample in samples], rows)


def outcome_cases(folder: Path, patients: int = 240) -> list[Case]:
    """Patients of whom the drowsy, old and deeply unconscious die; some variables and labels are not known."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for k in range(patients):
        rng = stream(7, "outcome", k)
        age, gcs, drowsy = rng.normal(70.0, 10.0), rng.integers(3, 16), rng.random() < 0.5
        burden = (age - 70.0) / 10.0 - (gcs - 9.0) / 4.0 + 3.0 * drowsy - 1.5 + rng.normal()
        text = folder / f"{k}.txt"
        text.write_text(f"The patient is {'drowsy' if drowsy else 'alert'}.\n", encoding="utf-8")
        variables = {"age_years": round(float(age), 1), "gcs": float(gcs)}
        if k % 5 == 0:
            del variables["gcs"]
        labels = {"death": float(burden > 0), "mrs": float(np.clip(round(3.0 + burden), 0, 6))}
        case = Case(
            id=f"e{k}",
            patient=f"p{k}",
            variables=variables,
            text=text,
            labels=labels if k % 11 else {"mrs": labels["mrs"]},
            site="AB"[k % 2],
            groups={"sex": "FM"[k // 2 % 2]},
            synthetic=True,
        )
        made.append(case)
    return made


def small_nifti(path: Path, hu: np.ndarray, first_mm: float = 0.0) -> Path:
    """(slices, rows, columns) HU as a NIfTI file with voxels of 4 mm; its first column lies at ``first_mm``."""
    affine = np.diag([-4.0, -4.0, 4.0, 1.0])
    affine[0, 3] = -first_mm
    nibabel.save(nibabel.Nifti1Image(np.rint(hu).astype(np.int16).transpose(2, 1, 0), affine), path)
    return path
