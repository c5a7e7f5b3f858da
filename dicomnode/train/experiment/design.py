"""What is particular to the experiment of one model; the way from cohorts to weights and report is the same for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from dicomnode.train.bundle_files import write_calibration
from dicomnode.train.experiment.arms import Arm
from dicomnode.train.experiment.cohorts import MATRIX, Part
from dicomnode.train.learner import Learner
from dicomnode.train.manifest import Case
from dicomnode.train.outputs.output import Calibration, Section
from dicomnode.train.results import Results
from dicomnode.train.settings import TrainSettings


@dataclass(frozen=True, slots=True)
class Shipped:
    """The network that ships, and the test exams that it was judged on.

    Attributes
    ----------
    samples : as the learner reads them, in the order of ``results``.
    """

    learner: Learner[Any]
    network: torch.nn.Module
    samples: Sequence[Any]
    results: Results
    progress: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What the report says of this experiment and of no other.

    Attributes
    ----------
    command : that makes the report, without its options.
    title : of the report.
    origin : whose method it is.
    made : how it was made, with ``{command}``, ``{exams}``, ``{patients}`` and ``{positive}`` to be filled in.
    figures : on what the figures are computed.
    shipped : what ships, with ``{members}`` to be filled in.
    calibration : which exams correct the main output, with the names of its correction's numbers to be filled in.
    left_out : why exams are left out.
    cohorts : where the cohorts are defined.
    """

    command: str
    title: str
    origin: str
    made: str
    figures: str
    shipped: str
    calibration: str
    left_out: str
    cohorts: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One model's experiment.

    Attributes
    ----------
    parts : the cohorts to make. matrix : rows and columns of their images.
    arms : all there are; the command may train some of them.
    needed : arms without which the report says nothing.
    compared : pairs of arms; the first minus the second.
    shown, claimed : keys of figures that tables show, and that the verdict is about.
    seats : how many trainings ship together.
    assemble : (their weights, the file to write) -> the network that ships, with its weights.
    weights : name of that file.
    settings : of every training.
    tables : what else the report shows of what ships.
    bundle : folder to which ``--install`` copies the weights; None: they stay beside the report.
    corrected : output whose correction the bundle gets. correct : writes it there.
    docs : folder to which ``--install`` copies the report.
    on_ground : (a real series without the finding, folder, processes) -> training exams made of it; None has no use
        for one.
    """

    parts: tuple[Part, ...]
    arms: tuple[Arm, ...]
    needed: tuple[str, ...]
    compared: tuple[tuple[str, str], ...]
    shown: tuple[str, ...]
    claimed: tuple[str, ...]
    seats: int
    assemble: Callable[[Sequence[Path], Path], torch.nn.Module]
    weights: str
    words: Words
    settings: TrainSettings
    matrix: int = MATRIX
    tables: Callable[[Shipped], Sequence[Section]] = field(default=lambda shipped: ())
    bundle: Path | None = None
    corrected: str = ""
    correct: Callable[[Path, Calibration], None] = write_calibration
    docs: Path | None = None
    on_ground: Callable[[Path, Path, int], Sequence[Case]] | None = None
