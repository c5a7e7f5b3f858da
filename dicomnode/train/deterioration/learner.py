"""The learner of early neurological deterioration: variables and request of an exam, no image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

import dicomnode.zoo
from dicomnode.train.checkpoint import load_weights_file
from dicomnode.train.deterioration.encoder import AsEncoded
from dicomnode.train.deterioration.texts import AsRead, Counted, TextFeatures
from dicomnode.train.fused.learner import FusedLearner, column_scale
from dicomnode.train.learner import Needs
from dicomnode.train.manifest import Case
from dicomnode.train.outputs.probability import Probability
from dicomnode.train.results import Results, results_of
from dicomnode.train.samples import text_of
from dicomnode.train.tabular import ExamTensors, numbers_of, stacked
from dicomnode.zoo.deterioration.fusion import Channels, ConcatFusion
from dicomnode.zoo.deterioration.network import DeteriorationNetwork
from dicomnode.zoo.deterioration.variables import VARIABLES, numbers_of_manifest

BUNDLE = Path(dicomnode.zoo.__file__).parent / "deterioration" / "bundle"
WEIGHTS = BUNDLE / "models" / "model.safetensors"
OUTCOME = "deterioration"
OWN_TEXT, PAPER_TEXT = 32, 128
"""Width of the branch of the text: behind the own reader, and behind a published encoder."""


class TfIdfFusion(ConcatFusion):
    """A fusion that takes counted words: each counts by how rare it is in the training exams, the whole to length 1."""

    rarity: torch.Tensor

    def __init__(self, width: int, channels: Channels) -> None:
        super().__init__(len(VARIABLES), width, channels=channels)
        self.register_buffer("rarity", torch.ones(width))

    def forward(self, variables: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """As of the fusion; (patients, width) counts."""
        return super().forward(variables, nn.functional.normalize(text.float() * self.rarity, dim=1))


class DeteriorationLearner(FusedLearner):
    """Fusion of variables and request.

    Parameters
    ----------
    texts : what a request becomes.
    channels : of which the network is shown.
    """

    name = OUTCOME
    stratify_by = OUTCOME
    inputs = ("variables", "text")
    needs = Needs(image=False)

    def __init__(self, texts: TextFeatures, channels: Channels = Channels.FUSED) -> None:
        self.texts, self.channels = texts, channels
        self.outputs = (Probability(OUTCOME),)

    def settings(self) -> Mapping[str, object]:
        return {"texts": self.texts.name, "channels": str(self.channels)}

    def samples(
        self, cases: Sequence[Case], cache: Path, *, skip_unusable: bool, progress: bool
    ) -> tuple[list[ExamTensors], list[str]]:
        """The exams as tensors; all requests are read together.

        Raises
        ------
        ManifestError : exams cannot be used, all of them listed.
        """
        found, left_out = super().samples(cases, cache, skip_unusable=skip_unusable, progress=progress)
        texts = self.texts.of([text_of(sample.case).strip() for sample in found])
        whole = [ExamTensors(one.case, {**one.tensors, "text": row}) for one, row in zip(found, texts, strict=True)]
        return whole, left_out

    def tensors(self, case: Case, cache: Path) -> Mapping[str, torch.Tensor]:
        text_of(case)  # one that cannot be read is a fault of its exam
        return {
            "variables": numbers_of_manifest(case.variables),
            "label": numbers_of(case.labels, (OUTCOME,)),
        }

    def network(self, training: Sequence[ExamTensors]) -> nn.Module:
        counts = isinstance(self.texts, Counted)
        network = (
            TfIdfFusion(self.texts.width, self.channels)
            if counts
            else ConcatFusion(
                len(VARIABLES),
                self.texts.width,
                channels=self.channels,
                text_width=PAPER_TEXT if isinstance(self.texts, AsEncoded) else OWN_TEXT,
            )
        )
        if training:
            tensors = stacked(training)
            network.load_state_dict(column_scale(tensors["variables"]), strict=False)
            if isinstance(network, TfIdfFusion):
                share = (tensors["text"] > 0).float().mean(dim=0)
                network.load_state_dict({"rarity": -(share.clamp(min=1.0 / len(training))).log()}, strict=False)
        return network

    def whole(self, weights: Path) -> nn.Module:
        return DeteriorationNetwork()

    def validate(self, network: nn.Module, samples: Sequence[ExamTensors], *, bfloat16: bool) -> float:
        """AUC."""
        return self.auc_of(network, samples)

    def judge(self, network: nn.Module, samples: Sequence[ExamTensors], *, progress: bool) -> Results:
        given = self.answers(network, samples).double().sigmoid()
        labels = stacked(samples)["label"][:, 0]
        rows = [{"label": float(label), "score": float(p)} for label, p in zip(labels, given, strict=True)]
        return results_of([sample.case for sample in samples], rows)


def bundled() -> DeteriorationLearner:
    """The learner with the reader of the shipped bundle.

    Raises
    ------
    TrainingError : the bundle's weights do not fit.
    """
    whole = DeteriorationNetwork()
    load_weights_file(whole, WEIGHTS)
    return DeteriorationLearner(AsRead(whole.reader.eval()))
