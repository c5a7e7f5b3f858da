"""What is kept of an experiment: the log of every epoch, and of what data it was made."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path

from dicomnode.train.experiment.arms import Run, folder_of
from dicomnode.train.run import history_of

LOG = "training.csv"
LOGGED = ("epoch", "loss", "score", "learning_rate")


def write_log(out: Path, runs: Iterable[Run], target: Path) -> None:
    """Write a CSV file with loss, validation score and learning rate of every epoch of every training."""
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("seed", "arm", *LOGGED))
        for run in runs:
            for entry in history_of(folder_of(out, run)):
                writer.writerow((*run, *(f"{entry[name]:.5g}" for name in LOGGED)))


def digests(cohorts: Path) -> dict[str, str]:
    """Cohort -> digest of all that it holds, of every cohort in a folder."""
    files = sorted(cohorts.glob("*/cohort.json"))
    return {file.parent.name: json.loads(file.read_text(encoding="utf-8"))["digest"] for file in files}
