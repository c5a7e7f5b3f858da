"""``python -m dicomnode.train.followup``: the experiment of the predicted follow-up scan."""

from __future__ import annotations

from dicomnode.train.experiment.command import run
from dicomnode.train.followup.experiment import EXPERIMENT, PROGRAM

if __name__ == "__main__":
    run(EXPERIMENT, PROGRAM)
