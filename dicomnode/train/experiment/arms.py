"""Teacher, students and the student without a ranker, from several seeds, each scored on the same unseen exams.

The claim of Lin and Yuh, tried on synthetic exams: a student that learns from unlabelled scans of another hospital is
better there than its teacher, and the ranker is what keeps the teacher's false marks out. A second student has the
first one as its teacher, as in Xie et al. (Self-training with Noisy Student, CVPR 2020).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from dicomnode.train.engine import FitSettings
from dicomnode.train.results import ExamResult, read_results
from dicomnode.train.run import TrainSettings, train_model
from dicomnode.train.slices.noisy_student import RANKED_SHARE

MODEL = "hemorrhage"
TEACHER, STUDENT, UNRANKED, SECOND = "teacher", "student", "student without ranker", "second student"
ARMS = (TEACHER, STUDENT, UNRANKED, SECOND)
TAUGHT_BY = {STUDENT: TEACHER, UNRANKED: TEACHER, SECOND: STUDENT}
STUDENTS = (STUDENT, SECOND)
"""Those that may ship; the student without a ranker is there for comparison."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What every training of the experiment has in common.

    Attributes
    ----------
    arms : those to train; whom an arm is taught by comes before it.
    steps : batches of an epoch.
    workers : processes that prepare batches beside the training.
    """

    seeds: tuple[int, ...] = (1, 2, 3)
    arms: tuple[str, ...] = ARMS
    epochs: int = 7
    steps: int = 750
    batch: int = 16
    learning_rate: float = 2e-3
    workers: int = 0
    progress: bool = True


def folder_of(out: Path, arm: str, seed: int) -> Path:
    """Where an arm's weights and report lie."""
    return out / f"seed-{seed}" / arm.replace(" ", "-")


def run_arms(
    manifest: Path, out: Path, plan: Plan, *, trained_only: bool = False
) -> Iterator[tuple[int, str, list[ExamResult]]]:
    """Train what is not yet trained; or, with ``trained_only``, pass over it.

    Yields
    ------
    Seed, arm and the results of its test exams.

    Raises
    ------
    ManifestError, TrainingError : see :func:`dicomnode.train.run.train_model`.
    """
    for seed in plan.seeds:
        for arm in plan.arms:
            results = folder_of(out, arm, seed) / "report" / "results.csv"
            if not results.exists():
                if trained_only:
                    continue
                train_model(manifest, folder_of(out, arm, seed), _settings(out, arm, seed, plan))
            yield seed, arm, read_results(results)


def _settings(out: Path, arm: str, seed: int, plan: Plan) -> TrainSettings:
    fit = FitSettings(epochs=plan.epochs, learning_rate=plan.learning_rate, patience=0, seed=seed)
    common = TrainSettings(
        model=MODEL,
        fit=fit,
        steps=plan.steps,
        batch=plan.batch,
        workers=plan.workers,
        cache=out / "cache",
        skip_unusable=True,
        progress=plan.progress,
    )
    if arm == TEACHER:
        return common
    teacher = folder_of(out, TAUGHT_BY[arm], seed) / "best.safetensors"
    return replace(common, teacher=teacher, ranked_share=1.0 if arm == UNRANKED else RANKED_SHARE)
