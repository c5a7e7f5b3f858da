"""The learner of brain oedema: what is read of a head and the variables of an exam; exams without a head teach, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import nn

import dicomnode.zoo
from dicomnode.cohort.streams import stream
from dicomnode.train.checkpoint import load_weights_file
from dicomnode.train.edema.heads import ARMS, OUTCOME
from dicomnode.train.edema.judging import HALF, NONE
from dicomnode.train.fused.learner import FusedLearner, column_scale
from dicomnode.train.head_reader.features import OfHeads
from dicomnode.train.head_reader.telling import reading_of
from dicomnode.train.importers.cohort import ARM
from dicomnode.train.learner import Needs
from dicomnode.train.manifest import Case, Split
from dicomnode.train.outputs.probability import Probability
from dicomnode.train.results import Results, results_of
from dicomnode.train.settings import TrainSettings
from dicomnode.train.tabular import ExamBatches, ExamTensors, numbers_of, stacked
from dicomnode.zoo.deterioration.variables import VARIABLES, numbers_of_manifest
from dicomnode.zoo.edema.mixer import AttentionMixer, Channels, MixerSize
from dicomnode.zoo.edema.network import EdemaNetwork

BUNDLE = Path(dicomnode.zoo.__file__).parent / "edema" / "bundle"
WEIGHTS = BUNDLE / "models" / "model.safetensors"
ALONE = 8
"""How often an exam is seen in an epoch where a network learns from heads alone: they are few."""
NAN = float("nan")


class EdemaLearner(FusedLearner):
    """Fusion of a head and variables.

    Parameters
    ----------
    heads : gives the features of a head. channels : of which the network is shown. size : of the fusion.
    readings : take what the manifest says was read of a head (:data:`~dicomnode.train.head_reader.telling.TOLD`)
        before its image is read.
    alone : learn from exams with an image alone.
    """

    name = OUTCOME
    stratify_by = OUTCOME
    inputs = ("features", "variables")
    needs = Needs(image=False)

    def __init__(
        self,
        heads: OfHeads,
        channels: Channels = Channels.FUSED,
        size: MixerSize | None = None,
        *,
        readings: bool = True,
        alone: bool = False,
    ) -> None:
        self.heads, self.channels, self.size = heads, channels, size or MixerSize()
        self.readings, self.alone = readings, alone
        self.outputs = (Probability(OUTCOME),)

    def settings(self) -> Mapping[str, object]:
        return {"encoder": self.heads.name, "channels": str(self.channels), **asdict(self.size)}

    def tensors(self, case: Case, cache: Path) -> Mapping[str, torch.Tensor]:
        return {
            "features": self._features(case, cache),
            "variables": variables_of(case),
            "label": numbers_of(case.labels, (OUTCOME,)),
        }

    def _features(self, case: Case, cache: Path) -> torch.Tensor:
        read = reading_of(case) if self.readings else None
        return self.heads.of(case, cache) if read is None else read

    def network(self, training: Sequence[ExamTensors]) -> nn.Module:
        network = AttentionMixer(self.heads.width, len(VARIABLES), self.channels, self.size)
        if training:
            tensors = stacked(training)
            network.load_state_dict(column_scale(tensors["features"]), strict=False)
            network.load_state_dict(column_scale(tensors["variables"], "record."), strict=False)
        return network

    def whole(self, weights: Path) -> nn.Module:
        return EdemaNetwork()

    def batches(self, samples: Mapping[Split, Sequence[ExamTensors]], settings: TrainSettings) -> ExamBatches:
        """A network of images does not see exams of whose head nothing is known."""
        training = [one for one in samples[Split.TRAIN] if one.case.image is not None or not self.alone]
        shown = [one for one in training if self.channels is not Channels.IMAGE or has_image(one)]
        times = ALONE if self.alone else 1
        return ExamBatches(stacked((shown or training) * times), settings.batch, settings.fit.seed)

    def validate(self, network: nn.Module, samples: Sequence[ExamTensors], *, bfloat16: bool) -> float:
        """AUC of the exams with a head; of all, where those do not show both outcomes."""
        asked = [one for one in samples if has_image(one)]
        known_labels = {one.case.labels[OUTCOME] for one in asked if OUTCOME in one.case.labels}
        asked = asked if len(known_labels) > 1 else list(samples)
        return self.auc_of(network, asked)

    def judge(self, network: nn.Module, samples: Sequence[ExamTensors], *, progress: bool) -> Results:
        """Scores of the whole record, of half of it and of none; an exam without a head is asked nothing: NaN."""
        shares = {"score": 0.0, HALF: 0.5, NONE: 1.0}
        given = {name: self._scores(network, samples, share) for name, share in shares.items()}
        labels = stacked(samples)["label"][:, 0].tolist()
        rows = [
            {"label": label, "arm": arm_of(one.case), **{name: scores[place] for name, scores in given.items()}}
            for place, (label, one) in enumerate(zip(labels, samples, strict=True))
        ]
        return results_of([sample.case for sample in samples], rows)

    def _scores(self, network: nn.Module, samples: Sequence[ExamTensors], withheld: float) -> list[float]:
        """Of each exam, without a share of its record that is drawn by its name."""
        kept = [replace(one, tensors={**one.tensors, "variables": partly(one, withheld)}) for one in samples]
        given = self.answers(network, kept).double().sigmoid().tolist()
        return [p if has_image(one) else NAN for p, one in zip(given, samples, strict=True)]


def partly(sample: ExamTensors, withheld: float) -> torch.Tensor:
    """(variables,) of an exam without a share of them; the same ones for every model."""
    values = sample.tensors["variables"].clone()
    rank = torch.from_numpy(stream(0, "withheld", sample.case.id).permutation(len(values)))
    values[rank < round(withheld * len(values))] = torch.nan
    return values


def variables_of(case: Case) -> torch.Tensor:
    """(variables,) of an exam; older imports of a cohort call the age by its unit."""
    named = dict(case.variables)
    if "age_years" in named:
        named.setdefault("age", named["age_years"])
    return numbers_of_manifest(named)


def has_image(sample: ExamTensors) -> bool:
    """Whether an exam has features of a head."""
    return bool(torch.isfinite(sample.tensors["features"]).all())


def arm_of(case: Case) -> float:
    """Number of the cohort's arm; NaN where there is none."""
    names = [arm.value for arm in ARMS]
    arm = case.groups.get(ARM, "")
    return float(names.index(arm)) if arm in names else NAN


def bundled() -> EdemaLearner:
    """The learner with the reader of heads of the shipped bundle.

    Raises
    ------
    TrainingError : the bundle's weights do not fit.
    """
    whole = EdemaNetwork()
    load_weights_file(whole, WEIGHTS)
    return EdemaLearner(OfHeads(whole.heads, "shipped"))
