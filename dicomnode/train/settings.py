"""The settings of one training, whatever the model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from dicomnode.train.engine import FitSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """One call of ``dicomnode train``.

    Attributes
    ----------
    steps : batches of an epoch, for models that draw them; others see every exam once.
    folds : 0 trains once on the manifest's splits; 5 is five-fold cross-validation by patient.
    teacher : weights of another training; the exams of the split ``unlabelled`` then get targets from it.
    start : weights of another training to begin with, where their names and shapes fit; None begins anew.
    workers : processes that prepare batches; 0 prepares them in this one.
    cache : folder for read exams that several trainings share; None keeps them beside the weights.
    """

    fit: FitSettings = field(default_factory=FitSettings)
    steps: int = 100
    batch: int = 16
    folds: int = 0
    teacher: Path | None = None
    start: Path | None = None
    workers: int = 0
    cache: Path | None = None
    skip_unusable: bool = False
    progress: bool = True
