"""The arms of the predicted follow-up scan: both tasks or one, attention shared or apart, with variables or without.

The claim of Jiang et al., tried on synthetic pairs: scan and outcome, learned together through one map of attention,
are each better for it. It is reported either way.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from dicomnode.train.engine import FitSettings
from dicomnode.train.experiment.arms import Arm
from dicomnode.train.experiment.cohorts import Part
from dicomnode.train.experiment.design import Experiment, Words
from dicomnode.train.followup.learner import BLOOD_TO_COME, FollowUpLearner, fast_learner
from dicomnode.train.followup.ship import BUNDLE, kept
from dicomnode.train.manifest import Split
from dicomnode.train.settings import TrainSettings
from dicomnode.zoo.followup.sizes import FollowUpParts

PROGRAM = "python -m dicomnode.train.followup"
MATRIX = 96
VARIABLES = ("age", "nihss", "glucose_mmol_l", "sbp_mmhg", "platelets_10e9_l", "inr", "onset_to_ct_h")
BOTH, SCAN, EXAM, APART, TOLD = "both tasks", "scan alone", "outcome alone", "attention apart", "with variables"
ARMS = (
    Arm(BOTH, fast_learner),
    Arm(SCAN, partial(FollowUpLearner, parts=FollowUpParts(classifies=False)), ships=False),
    Arm(EXAM, partial(FollowUpLearner, parts=FollowUpParts(generates=False)), ships=False),
    Arm(APART, partial(FollowUpLearner, parts=FollowUpParts(shares=False)), ships=False),
    Arm(TOLD, partial(FollowUpLearner, variables=VARIABLES), ships=False),
)
PARTS = (
    *(
        Part(name=f"a-{k}", site="A", arm="post_evt", patients=150, seed=2300 + k, use=Split.TRAIN, followups=False)
        for k in range(1, 8)
    ),
    Part(name="a-apart", site="A", arm="post_evt", patients=150, seed=2320, use=Split.CALIBRATION, followups=False),
    *(
        Part(name=f"b-{k}", site="B", arm="post_evt", patients=80, seed=2400 + k, use=Split.TEST, followups=False)
        for k in range(1, 6)
    ),
)
SHOWN = (
    "auc",
    "metallic_auc",
    "auc_above_metallic",
    "changed_mae",
    "below_unchanged",
    "below_constants",
    "outside_more",
    "psnr_db",
    "ssim",
    "voxel_brier",
)
WORDS = Words(
    command=f"{PROGRAM} --out FOLDER",
    title="The predicted follow-up scan: two tasks that share attention",
    origin="Re-implementation after Jiang et al.; no figure here is theirs.",
    made="Made by `{command}`. {exams} test pairs of {patients} unseen patients of site B, {positive} with blood on "
    "the second scan; learned from pairs of site A.",
    figures="The figures are of the network on its grid of 6 x 3 x 3 mm, the second scan laid onto the first.",
    shipped="{members}; the figures from here on are of it.",
    calibration="Other pairs of A set how the exam score becomes a probability: log odds times {slope:g} plus "
    "{intercept:g}, threshold {threshold:g}.",
    left_out="as they show no head or cannot be laid onto each other",
    cohorts="dicomnode/train/followup/experiment.py",
)


def alone(weights: Sequence[Path], out: Path) -> torch.nn.Module:
    """The best training as it ships."""
    return kept(weights[0], out)


EXPERIMENT = Experiment(
    parts=PARTS,
    arms=ARMS,
    needed=(BOTH,),
    compared=((BOTH, SCAN), (BOTH, EXAM), (BOTH, APART), (TOLD, BOTH)),
    shown=SHOWN,
    claimed=("auc", "below_unchanged"),
    seats=1,
    assemble=alone,
    weights="followup.safetensors",
    bundle=BUNDLE,
    corrected=BLOOD_TO_COME,
    docs=Path(__file__).parents[3] / "docs" / "models" / "followup",
    words=WORDS,
    settings=TrainSettings(
        fit=FitSettings(
            epochs=18, learning_rate=2e-3, weight_decay=0.02, patience=0, mixed_precision=False, averaging=0.99
        ),
        batch=2,
        skip_unusable=True,
    ),
    matrix=MATRIX,
)
