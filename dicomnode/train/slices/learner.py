"""The learner of any model that marks findings on slices; a teacher may give it targets for unlabelled exams."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from rich.progress import track

from dicomnode.errors import ManifestError
from dicomnode.train.checkpoint import load_weights_file, weight_names
from dicomnode.train.engine import Batch
from dicomnode.train.learner import Learner
from dicomnode.train.manifest import Case, Split
from dicomnode.train.outputs.mask import MaskOutput
from dicomnode.train.outputs.probability import Probability
from dicomnode.train.results import Results
from dicomnode.train.settings import TrainSettings
from dicomnode.train.slices.data import TRUTH, SliceBatches, Source, pseudo_exam
from dicomnode.train.slices.evaluation import pooled_dice, predict, prefix_of, ranking_scores, score_exams
from dicomnode.train.slices.exams import Exam, load_exams
from dicomnode.train.slices.losses import segmentation_loss
from dicomnode.train.slices.noisy_student import (
    RANKED_SHARE,
    below_rank_ignored,
    pseudo_labels,
    rank_images,
    set_dropout,
    set_stochastic_depth,
)
from dicomnode.train.slices.recipes import Recipe

STUDENT_DROPOUT = 0.2
STUDENT_DEPTH = 0.2


class Select(Protocol):
    """Score of a network on exams, higher is better."""

    def __call__(
        self, recipe: Recipe, network: torch.nn.Module, exams: Sequence[Exam], *, bfloat16: bool = False
    ) -> float:
        """The network is in evaluation mode."""


class SliceLearner(Learner[Exam]):
    """Finds something on slices.

    Parameters
    ----------
    without : what an exam without the finding is called in figures.
    member_of : a network as the node runs it -> the network that a training goes on with.
    ranked_share : of all unlabelled slices, those highest by the teacher's score that may become positive; 1 switches
        the ranker off.
    select : score of a network on the validation exams, higher is better; the best epoch is kept.
    """

    def __init__(
        self,
        recipe: Recipe,
        without: str,
        member_of: Callable[[torch.nn.Module], torch.nn.Module],
        ranked_share: float = RANKED_SHARE,
        select: Select = pooled_dice,
    ) -> None:
        self.recipe, self.member_of, self.ranked_share, self.select = recipe, member_of, ranked_share, select
        self.name, self.stratify_by = recipe.name, recipe.finding
        self.without = without
        self.outputs = self.outputs_of(recipe.finding)

    def outputs_of(self, finding: str) -> tuple[Probability, MaskOutput]:
        """Of one finding: whether an exam shows it, and where."""
        prefix = prefix_of(finding, self.recipe.planes.findings.index(finding))
        exam = Probability("exam", f"{prefix}label", f"{prefix}score", prefix)
        return exam, MaskOutput(finding, exam, self.without, prefix)

    def settings(self) -> Mapping[str, object]:
        """The share of ranked slices."""
        return {"ranked_share": self.ranked_share}

    def samples(
        self, cases: Sequence[Case], cache: Path, *, skip_unusable: bool, progress: bool
    ) -> tuple[list[Exam], list[str]]:
        """Exams as planes.

        Raises
        ------
        ManifestError : exams cannot be used, all of them listed.
        """
        return load_exams(cases, self.recipe.planes, cache, skip_unusable=skip_unusable, progress=progress)

    def network(self, training: Sequence[Exam]) -> torch.nn.Module:
        """A new one; it measures nothing on the exams."""
        return self.recipe.build()

    def trained(self, weights: Path) -> torch.nn.Module:
        """The network whose weights a file holds, with these weights: the node's, else that of a training.

        Raises
        ------
        TrainingError : they fit neither.
        """
        bundled = self.recipe.bundled()
        network = bundled if weight_names(weights) == set(bundled.state_dict()) else self.recipe.build()
        load_weights_file(network, weights)
        return network

    def taught(self, network: torch.nn.Module, unlabelled: Sequence[Exam], settings: TrainSettings) -> Sequence[Exam]:
        """Label the unlabelled exams with the teacher, load it into the network, then turn the student's noise on.

        Raises
        ------
        ManifestError : there is no unlabelled exam.
        TrainingError : the teacher's weights do not fit.
        """
        if not unlabelled or settings.teacher is None:
            raise ManifestError(["a teacher was given, but no exam stands in split unlabelled"])
        teacher = self.trained(settings.teacher)
        teacher.to(settings.fit.torch_device()).eval()
        bfloat16 = settings.fit.bfloat16()
        pseudo = pseudo_labelled(
            self.recipe, teacher, unlabelled, self.ranked_share, bfloat16=bfloat16, progress=settings.progress
        )
        network.load_state_dict(self.member_of(teacher).state_dict())
        set_dropout(network, STUDENT_DROPOUT)
        set_stochastic_depth(network, STUDENT_DEPTH)
        return pseudo

    def batches(self, samples: Mapping[Split, Sequence[Exam]], settings: TrainSettings) -> SliceBatches:
        """Slices, nearly half of them with the finding.

        Raises
        ------
        ManifestError : no training exam has a voxel of the finding.
        """
        labelled, pseudo = Source.of(samples[Split.TRAIN], exams_evenly=True), samples[Split.UNLABELLED]
        if not labelled.positive:
            raise ManifestError([f"no training exam has a voxel of {self.recipe.finding} in its mask"])
        return SliceBatches(
            recipe=self.recipe,
            labelled=labelled,
            steps=settings.steps,
            batch=settings.batch,
            seed=settings.fit.seed,
            pseudo=Source.of(pseudo) if pseudo else None,
            workers=settings.workers,
        )

    def loss(self, output: Any, batch: Batch) -> torch.Tensor:
        """Over the known pixels."""
        return segmentation_loss(output, batch[TRUTH], self.recipe.missed)

    def validate(self, network: torch.nn.Module, samples: Sequence[Exam], *, bfloat16: bool) -> float:
        """By which the best epoch is chosen."""
        return self.select(self.recipe, network, samples, bfloat16=bfloat16)

    def judge(self, network: torch.nn.Module, samples: Sequence[Exam], *, progress: bool) -> Results:
        """By every finding; the outputs are those of the first."""
        return score_exams(self.recipe, network, samples, progress=progress)


def pseudo_labelled(
    recipe: Recipe,
    network: torch.nn.Module,
    exams: Sequence[Exam],
    share: float = RANKED_SHARE,
    *,
    bfloat16: bool = False,
    progress: bool = True,
) -> list[Exam]:
    """Exams with the teacher's targets; slices are ranked over all of them together."""
    targets, scores = [], []
    for exam in track(exams, description="pseudo-labels", disable=not progress):
        pixels, slices = predict(recipe, network, exam, bfloat16=bfloat16)
        scores.append(ranking_scores(recipe, pixels, slices))
        # kept as small whole numbers: the probabilities of a large corpus would not fit into memory
        every = torch.ones(len(scores[-1]), dtype=torch.bool)
        targets.append(pseudo_labels(pixels.transpose(0, 1), every).to(torch.int8))
    ranked = torch.from_numpy(rank_images(torch.cat(scores).numpy(), share))
    per_exam = torch.split(ranked, [len(part) for part in scores])
    return [
        pseudo_exam(exam, below_rank_ignored(target, positive))
        for exam, target, positive in zip(exams, targets, per_exam, strict=True)
    ]
