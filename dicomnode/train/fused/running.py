"""The command of such an experiment, and what it says while it runs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from dicomnode.train.engine import BEST
from dicomnode.train.results import Results
from dicomnode.train.settings import TrainSettings

FOLDS = 5
"""Of the cross-validation whose members ship together."""


def parser_of(command: str, says: str | None, seeds: Sequence[int]) -> argparse.ArgumentParser:
    """The command line of an experiment, with the options that all of them have."""
    parser = argparse.ArgumentParser(prog=command, description=says)
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder; the same call goes on where it stopped")
    add("--seeds", type=int, nargs="+", default=seeds, help="of the trainings of each arm")
    add("--epochs", type=int, help="of the fusions")
    add("--threads", type=int, default=1, help="of torch")
    add("--trained-only", action="store_true", help="train no arm; report on those that are trained already")
    add("--install", action="store_true", help="copy bundle and report to their places in the project")
    return parser


def with_epochs(settings: TrainSettings, epochs: int | None) -> TrainSettings:
    """Settings with another number of epochs; None: as they are."""
    return replace(settings, fit=replace(settings.fit, epochs=epochs or settings.fit.epochs))


def members_of(folds: Path, count: int = FOLDS) -> list[Path]:
    """Weights of the folds of a cross-validation."""
    return [folds / f"fold-{number}" / BEST for number in range(1, count + 1)]


def said(runs: Iterator[tuple[tuple[int, str], Results]]) -> Iterator[tuple[tuple[int, str], Results]]:
    """Trainings as they come, each said."""
    for (seed, arm), results in runs:
        say(f"seed {seed}, {arm}: trained")
        yield (seed, arm), results


def say(text: str) -> None:
    """Tell how far it is."""
    print(text, flush=True)
