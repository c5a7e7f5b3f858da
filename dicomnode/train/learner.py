"""What is particular to a model: all else of training, evaluation and reports is the same for every one.

A learner says what it needs of a manifest, what an exam becomes on its way into the network, which network, batches,
loss and validation score there are, what the model gives, and how an exam is judged.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch

from dicomnode.errors import ConfigError
from dicomnode.train.checkpoint import load_weights_file
from dicomnode.train.engine import Batch
from dicomnode.train.manifest import Case, Split
from dicomnode.train.outputs.output import Output
from dicomnode.train.results import Results
from dicomnode.train.samples import Sample
from dicomnode.train.settings import TrainSettings

S = TypeVar("S", bound=Sample)


class Batches(Protocol):
    """The batches of any epoch; the same epoch gives the same ones."""

    @property
    def steps(self) -> int:
        """Batches of an epoch."""

    def __call__(self, epoch: int) -> Iterable[Batch]:
        """Batches of an epoch, from 1; dicts whose tensors go to the device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What every exam of a manifest must have for a learner; masks, variables and labels may be missing anywhere.

    Attributes
    ----------
    targets : names of images that are to be predicted.
    label_ranges : label -> least and largest value, of those that are not 0 to 1.
    """

    image: bool = True
    text: bool = False
    targets: tuple[str, ...] = ()
    label_ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def faults(self, cases: Iterable[Case]) -> list[str]:
        """A sentence for everything that an exam lacks."""
        return [f"exam {case.id} has no {what}" for case in cases for what in self._missing(case)]

    def _missing(self, case: Case) -> list[str]:
        image, text = self.image and case.image is None, self.text and case.text is None
        return ["image"] * image + ["text"] * text + [f"target {t}" for t in self.targets if t not in case.targets]


class Learner(ABC, Generic[S]):
    """One model that can be trained.

    Attributes
    ----------
    name : as the commands know it.
    outputs : what it gives; their columns are those of :meth:`judge`.
    stratify_by : label by which splits and folds are balanced; None: by whether there is a mask.
    inputs : keys of a batch that the network takes, in the order of its arguments.
    needs : what every exam must have.
    unlabelled : does it learn from the exams of that split by itself, as a pretraining does? Else a teacher must.
    """

    name: str
    outputs: tuple[Output, ...]
    stratify_by: str | None = None
    inputs: tuple[str, ...] = ("image",)
    needs: Needs = Needs()
    unlabelled: bool = False

    def settings(self) -> Mapping[str, object]:
        """What shapes the figures beside the settings of the training, JSON-able."""
        return {}

    @abstractmethod
    def samples(
        self, cases: Sequence[Case], cache: Path, *, skip_unusable: bool, progress: bool
    ) -> tuple[list[S], list[str]]:
        """Read exams; see :func:`dicomnode.train.samples.gathered`, by which it is done.

        Parameters
        ----------
        cache : folder for what is computed once; its file names hold digests only.

        Raises
        ------
        ManifestError : exams cannot be used, all of them listed.
        """

    @abstractmethod
    def network(self, training: Sequence[S]) -> torch.nn.Module:
        """A new network. What it measures on the training exams, such as a scale, it keeps in buffers.

        Parameters
        ----------
        training : empty where weights are loaded next, and the buffers with them.
        """

    def trained(self, weights: Path) -> torch.nn.Module:
        """The network with the weights of a file.

        Raises
        ------
        TrainingError : they do not fit.
        """
        network = self.network(())
        load_weights_file(network, weights)
        return network

    def taught(self, network: torch.nn.Module, unlabelled: Sequence[S], settings: TrainSettings) -> Sequence[S]:
        """Let a new network start from the teacher of the settings.

        Returns
        -------
        The unlabelled exams with the teacher's targets.

        Raises
        ------
        ConfigError : this model cannot be taught by another.
        """
        raise ConfigError([f"{self.name} learns from labels alone; leave the teacher out"])

    @abstractmethod
    def batches(self, samples: Mapping[Split, Sequence[S]], settings: TrainSettings) -> Batches:
        """The batches to learn from.

        Parameters
        ----------
        samples : of every split; those of ``unlabelled``, with a teacher, carry its targets.

        Raises
        ------
        ManifestError : there is nothing to learn in the training exams.
        """

    @abstractmethod
    def loss(self, output: Any, batch: Batch) -> torch.Tensor:
        """What the network gave, the batch on the device -> scalar."""

    def finished(self, network: torch.nn.Module, training: Sequence[S], settings: TrainSettings) -> bool:
        """Teach in place what is learned once the best epoch is chosen and stays as it is; by default nothing.

        Returns
        -------
        Has the network changed?
        """
        return False

    @abstractmethod
    def validate(self, network: torch.nn.Module, samples: Sequence[S], *, bfloat16: bool) -> float:
        """Score of a network in evaluation mode on the validation exams, higher is better."""

    @abstractmethod
    def judge(self, network: torch.nn.Module, samples: Sequence[S], *, progress: bool) -> Results:
        """What a network says of each exam, against the truth where it is known."""
