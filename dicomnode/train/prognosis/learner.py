"""The learner of the outcome after a bleed: head, measured bleed, variables and text of an exam."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

import dicomnode.zoo
from dicomnode.train.checkpoint import load_weights_file, weight_names
from dicomnode.train.engine import Batch
from dicomnode.train.fused.learner import COUNCIL, FusedLearner, column_scale
from dicomnode.train.head_reader.features import OfHeads
from dicomnode.train.head_reader.telling import reading_of
from dicomnode.train.learner import Needs
from dicomnode.train.manifest import Case, Split
from dicomnode.train.outputs.probability import Probability
from dicomnode.train.prognosis.measured import from_variables
from dicomnode.train.prognosis.patients import OUTCOME
from dicomnode.train.prognosis.reader import AsRead
from dicomnode.train.prognosis.vtmf import ALPHA, SHARE, imima_of, sdm_of
from dicomnode.train.results import Results, results_of
from dicomnode.train.samples import text_of as request_of
from dicomnode.train.settings import TrainSettings
from dicomnode.train.tabular import ExamBatches, ExamTensors, numbers_of, stacked
from dicomnode.zoo.deterioration.variables import VARIABLES, numbers_of_manifest
from dicomnode.zoo.prognosis.bert import QUESTIONS
from dicomnode.zoo.prognosis.bleed import FACTS, Bleed
from dicomnode.zoo.prognosis.fusion import Channels, FusionSize, PrognosisFusion, Told, Way
from dicomnode.zoo.prognosis.network import PrognosisNetwork
from dicomnode.zoo.prognosis.text import text_of
from dicomnode.zoo.prognosis.words import Vocabulary

BUNDLE = Path(dicomnode.zoo.__file__).parent / "prognosis" / "bundle"
WEIGHTS, WORDS = BUNDLE / "models" / "model.safetensors", BUNDLE / "models" / "words.txt"
ALONE = 8
"""Every eighth exam is seen a second time in an epoch, with nothing known beside the CT."""
NONE = "score_none"
"""Column of scores with nothing known beside the CT."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """What is particular to a way of training.

    Attributes
    ----------
    imima, sdm : do these parts of the paper's loss stand beside the cross-entropy?
    """

    channels: Channels = Channels.FUSED
    way: Way = Way.CROSS_SELF
    imima: bool = True
    sdm: bool = True
    size: FusionSize = field(default_factory=FusionSize)


class PrognosisLearner(FusedLearner):
    """Fusion of a head, the measured bleed, variables and text.

    Parameters
    ----------
    heads : reads a head, where the manifest does not say what was read of it. texts : reads. arm : how.
    """

    name = OUTCOME
    stratify_by = OUTCOME
    inputs = ("features", "facts", "variables", "text")
    needs = Needs(image=False)

    def __init__(self, heads: OfHeads, texts: AsRead, arm: Arm | None = None) -> None:
        self.heads, self.texts, self.arm = heads, texts, arm or Arm()
        self.outputs = (Probability(OUTCOME),)

    def settings(self) -> Mapping[str, object]:
        return {"encoder": self.heads.name, **asdict(self.arm)}

    def whole(self, weights: Path) -> nn.Module:
        return PrognosisNetwork(len(self.texts.vocabulary), members_in(weights))

    def samples(
        self, cases: Sequence[Case], cache: Path, *, skip_unusable: bool, progress: bool
    ) -> tuple[list[ExamTensors], list[str]]:
        """The exams as tensors; all texts are read together.

        Raises
        ------
        ManifestError : exams cannot be used, all of them listed.
        """
        found, left_out = super().samples(cases, cache, skip_unusable=skip_unusable, progress=progress)
        read = self.texts.of([self.text_of(one.case) for one in found]).half()
        whole = [replace(one, tensors={**one.tensors, "text": row}) for one, row in zip(found, read, strict=True)]
        return whole, left_out

    def text_of(self, case: Case) -> str:
        """What is read of an exam; who sees the record alone is not told what was measured."""
        bleed = Bleed() if self.arm.channels is Channels.RECORD else from_variables(dict(case.variables))
        return text_of(case.variables, bleed, request_of(case).strip())

    def tensors(self, case: Case, cache: Path) -> Mapping[str, torch.Tensor]:
        request_of(case)  # one that cannot be read is a fault of its exam
        read = reading_of(case)
        return {
            "features": self.heads.of(case, cache) if read is None else read,
            "facts": from_variables(dict(case.variables)).numbers(),
            "variables": numbers_of_manifest(case.variables),
            "label": numbers_of(case.labels, (OUTCOME,)),
        }

    def network(self, training: Sequence[ExamTensors]) -> nn.Module:
        network = PrognosisFusion(
            self.heads.width,
            len(FACTS),
            len(VARIABLES),
            self.texts.width,
            answers=QUESTIONS,
            channels=self.arm.channels,
            way=self.arm.way,
            size=self.arm.size,
        )
        if training:
            tensors = stacked(training)
            for name, prefix in (("features", ""), ("facts", "measured."), ("variables", "record.")):
                network.load_state_dict(column_scale(tensors[name], prefix), strict=False)
        return network

    def batches(self, samples: Mapping[Split, Sequence[ExamTensors]], settings: TrainSettings) -> ExamBatches:
        """All exams, and some of them once more as the CT alone tells of them."""
        training = samples[Split.TRAIN]
        alone = [self.alone(one) for one in training[::ALONE]]
        return ExamBatches(stacked([*training, *alone]), settings.batch, settings.fit.seed)

    def loss(self, output: Any, batch: Batch) -> torch.Tensor:
        """Cross-entropy and the paper's parts; see :mod:`dicomnode.train.prognosis.vtmf`."""
        told: Told = output
        total = super().loss(told.logits, batch)
        if self.arm.imima:
            total = total + SHARE * imima_of(told)
        if self.arm.sdm and int(told.seen.sum()) > 1:
            label = batch["label"][told.seen, 0]
            total = total + SHARE * ALPHA * sdm_of(told.vision[0, told.seen], told.text[0, told.seen], label)
        return total

    def validate(self, network: nn.Module, samples: Sequence[ExamTensors], *, bfloat16: bool) -> float:
        """AUC."""
        return self.auc_of(network, samples)

    def judge(self, network: nn.Module, samples: Sequence[ExamTensors], *, progress: bool) -> Results:
        """Scores of all that is known, and from the CT alone."""
        alone = [self.alone(one) for one in samples]
        given, less = (self.answers(network, part).double().sigmoid().tolist() for part in (samples, alone))
        labels = stacked(samples)["label"][:, 0].tolist()
        rows = [{"label": a, "score": b, NONE: c} for a, b, c in zip(labels, given, less, strict=True)]
        return results_of([sample.case for sample in samples], rows)

    def alone(self, sample: ExamTensors) -> ExamTensors:
        """An exam of which neither record nor request is known."""
        bleed = Bleed() if self.arm.channels is Channels.RECORD else from_variables(dict(sample.case.variables))
        text = self.texts.of([text_of({}, bleed)])[0].half()
        nothing = {"variables": torch.full_like(sample.tensors["variables"], torch.nan), "text": text}
        return replace(sample, tensors={**sample.tensors, **nothing})


def members_in(weights: Path) -> int:
    """How many fusions the weights of a bundle hold.

    Raises
    ------
    TrainingError : the file is absent or damaged.
    """
    return len({name.split(".")[1] for name in weight_names(weights) if name.startswith(COUNCIL)})


def bundled() -> PrognosisLearner:
    """The learner with encoder and reader of the shipped bundle.

    Raises
    ------
    TrainingError : the bundle's weights do not fit.
    """
    vocabulary = Vocabulary(WORDS.read_text(encoding="utf-8").split("\n")[:-1])
    whole = PrognosisNetwork(len(vocabulary), members_in(WEIGHTS))
    load_weights_file(whole, WEIGHTS)
    return PrognosisLearner(OfHeads(whole.heads, "shipped"), AsRead(whole.reader, vocabulary))
