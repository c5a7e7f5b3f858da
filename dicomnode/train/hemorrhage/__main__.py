"""``python -m dicomnode.train.hemorrhage``: the experiment behind the shipped weights."""

from __future__ import annotations

from dicomnode.train.experiment.command import run
from dicomnode.train.hemorrhage.experiment import EXPERIMENT, PROGRAM

if __name__ == "__main__":
    run(EXPERIMENT, PROGRAM)
