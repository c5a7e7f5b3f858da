"""Teacher, students and the student without a ranker, from several seeds, each scored on the same unseen exams.

The claim of Lin and Yuh, tried on synthetic exams: a student that learns from unlabelled scans of another hospital is
better there than its teacher, and the ranker is what keeps the teacher's false marks out. A second student has the
first one as its teacher, as in Xie et al. (Self-training with Noisy Student, CVPR 2020).
"""

from __future__ import annotations

from functools import partial

from dicomnode.train.bundle_files import write_exam_calibration
from dicomnode.train.engine import FitSettings
from dicomnode.train.experiment.arms import Arm
from dicomnode.train.experiment.design import Experiment, Words
from dicomnode.train.hemorrhage.cohorts import PARTS
from dicomnode.train.hemorrhage.committee import committee
from dicomnode.train.hemorrhage.recipes import SEATS, student_learner
from dicomnode.train.settings import TrainSettings
from dicomnode.train.slices.tables import SHOWN, tables

PROGRAM = "python -m dicomnode.train.hemorrhage"
TEACHER, STUDENT, UNRANKED, SECOND = "teacher", "student", "student without ranker", "second student"
ARMS = (
    Arm(TEACHER, student_learner, ships=False),
    Arm(STUDENT, student_learner, taught_by=TEACHER),
    Arm(UNRANKED, partial(student_learner, ranked_share=1.0), taught_by=TEACHER, ships=False),
    Arm(SECOND, student_learner, taught_by=STUDENT),
)
CLAIMED = ("auc", "dice", "pixel_precision")
"""What Lin and Yuh report of the student against the teacher."""
WORDS = Words(
    command=f"{PROGRAM} --out FOLDER --anatomy TEMPLATES",
    title="Haemorrhage model: teacher, noisy student and ranker",
    origin="Re-implementation after Lin and Yuh; no figure here is theirs.",
    made="Made by `{command}`. {exams} test exams of {patients} unseen patients of site B, {positive} with blood. "
    "Teacher: labelled exams of site A. Student: the teacher's weights, the same exams and unlabelled ones of A and B. "
    "Second student: the same with the student as its teacher.",
    figures="The figures are of the network on its planes, confined to the interior of the skull as in the node.",
    shipped="Mean of {members}, chosen by the validation exams of site A, one reading the slices as they are, one "
    "mirrored; the figures from here on are of both together, as float16.",
    calibration="Other exams of A set how the exam score becomes a probability: log odds times {slope:g} plus "
    "{intercept:g}, threshold {threshold:g}.",
    left_out="as the node refuses them",
    cohorts="dicomnode/train/hemorrhage/cohorts.py",
)
EXPERIMENT = Experiment(
    parts=PARTS,
    arms=ARMS,
    needed=(TEACHER, STUDENT),
    compared=((STUDENT, TEACHER), (STUDENT, UNRANKED), (SECOND, STUDENT), (SECOND, TEACHER)),
    shown=SHOWN,
    claimed=CLAIMED,
    seats=SEATS,
    assemble=committee,
    weights="students.safetensors",
    words=WORDS,
    settings=TrainSettings(
        fit=FitSettings(epochs=7, learning_rate=2e-3, patience=0), steps=750, batch=16, skip_unusable=True
    ),
    tables=tables,
    corrected="exam",
    correct=write_exam_calibration,
)
