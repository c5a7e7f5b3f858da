"""The learner of any model that reads whole exams: variables, text, features of an image, or all of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from dicomnode.train.learner import Learner
from dicomnode.train.manifest import Case, Split
from dicomnode.train.samples import gathered
from dicomnode.train.settings import TrainSettings
from dicomnode.train.tabular import ExamBatches, ExamTensors, stacked

CHUNK = 64


class ExamLearner(Learner[ExamTensors]):
    """One sample is one exam, small enough to be kept in memory with all others."""

    @abstractmethod
    def tensors(self, case: Case, cache: Path) -> Mapping[str, torch.Tensor]:
        """What an exam becomes: everything that network and loss take, of the same shapes for every exam.

        Parameters
        ----------
        cache : folder for what is computed once; see :mod:`dicomnode.train.features`.

        Raises
        ------
        ReadError, SeriesError : it cannot be used.
        """

    def samples(
        self, cases: Sequence[Case], cache: Path, *, skip_unusable: bool, progress: bool
    ) -> tuple[list[ExamTensors], list[str]]:
        """The exams as tensors.

        Raises
        ------
        ManifestError : exams cannot be used, all of them listed.
        """

        def read(case: Case) -> ExamTensors:
            return ExamTensors(case, self.tensors(case, cache))

        return gathered(cases, read, skip_unusable=skip_unusable, progress=progress)

    def batches(self, samples: Mapping[Split, Sequence[ExamTensors]], settings: TrainSettings) -> ExamBatches:
        """Every training exam once an epoch."""
        return ExamBatches(stacked(samples[Split.TRAIN]), settings.batch, settings.fit.seed)

    def answers(self, network: torch.nn.Module, samples: Sequence[ExamTensors]) -> torch.Tensor:
        """(exams, ...) what a network gives for each exam, on the CPU, in float32."""
        network.eval()
        device, tensors = next(network.parameters()).device, stacked(samples)
        inputs = zip(*(torch.split(tensors[name], CHUNK) for name in self.inputs), strict=True)
        with torch.inference_mode():
            parts = [network(*(part.to(device) for part in parts)).float().cpu() for parts in inputs]
        return torch.cat(parts)
