"""``python -m dicomnode.train.hemorrhage.detector``: the weights of the node.

Two networks of different seeds learn from labels alone: the second version of the cohort, with much blood outside the
brain and much contrast medium, and one real head without blood, as it is and with bleeds painted into it. The paper's
experiment, with its teacher and students, is :mod:`dicomnode.train.hemorrhage.experiment`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from dicomnode.train.bundle_files import write_exam_calibration
from dicomnode.train.engine import FitSettings
from dicomnode.train.experiment.arms import Arm
from dicomnode.train.experiment.command import run
from dicomnode.train.experiment.design import Experiment, Words
from dicomnode.train.ground.exams import make_exams
from dicomnode.train.hemorrhage.cohorts import DETECTOR_PARTS
from dicomnode.train.hemorrhage.committee import committee
from dicomnode.train.hemorrhage.recipes import BUNDLE, SEATS, detector_learner, detector_recipe
from dicomnode.train.manifest import Case
from dicomnode.train.settings import TrainSettings
from dicomnode.train.slices.tables import SHOWN, tables

PROGRAM = "python -m dicomnode.train.hemorrhage.detector"
DETECTOR = "detector"
GROUND_SEED = 301
AVERAGING = 0.998
MARKED_FROM = 0.4
"""Chosen on real slices and real heads without blood: as much blood is found as before, less is marked falsely."""
WORDS = Words(
    command=f"{PROGRAM} --out FOLDER --anatomy TEMPLATES --ground HEAD",
    title="Haemorrhage model: networks that learn what looks like blood, too",
    origin="2.5D residual U-Nets; the network and its training are this project's own.",
    made="Made by `{command}`. {exams} test exams of {patients} unseen patients of site B, {positive} with blood. "
    "Trained on labelled exams of sites A and C and, where the command names one, on a real head without blood, as it "
    "is and with painted bleeds.",
    figures="The figures are of the network on its planes, confined to the interior of the skull as in the node.",
    shipped="Mean of {members}, one reading the slices as they are, one mirrored, marks from a probability of 0.4, "
    "which is moved to 0.5; the figures from here on are of both together, as float16.",
    calibration="Other exams of A set how the exam score becomes a probability: log odds times {slope:g} plus "
    "{intercept:g}, threshold {threshold:g}.",
    left_out="as the node refuses them",
    cohorts="dicomnode/train/hemorrhage/cohorts.py",
)


def _on_ground(series: Path, out: Path, processes: int) -> Sequence[Case]:
    return make_exams(series, out, GROUND_SEED, processes)


EXPERIMENT = Experiment(
    parts=DETECTOR_PARTS,
    arms=(Arm(DETECTOR, detector_learner),),
    needed=(DETECTOR,),
    compared=(),
    shown=SHOWN,
    claimed=(),
    seats=SEATS,
    assemble=partial(committee, recipe=detector_recipe, marked_from=MARKED_FROM),
    weights="detectors.safetensors",
    words=WORDS,
    settings=TrainSettings(
        fit=FitSettings(epochs=12, learning_rate=1e-3, patience=0, averaging=AVERAGING),
        steps=250,
        batch=16,
        skip_unusable=True,
    ),
    tables=tables,
    corrected="exam",
    correct=write_exam_calibration,
    on_ground=_on_ground,
    bundle=BUNDLE,
    docs=Path(__file__).parents[3] / "docs" / "models" / "hemorrhage",
)

if __name__ == "__main__":
    run(EXPERIMENT, PROGRAM)
