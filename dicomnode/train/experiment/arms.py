"""Seeds x arms: every arm is trained from every seed and scored on the same exams; what is trained stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dicomnode.train.learner import Learner
from dicomnode.train.results import Results, read_results
from dicomnode.train.run import BEST, REPORT, history_of, train_model
from dicomnode.train.settings import TrainSettings

Run = tuple[int, str]
"""Seed and arm."""
Runs = Mapping[Run, Results]


@dataclass(frozen=True, slots=True)
class Arm:
    """One way of training, to be compared with others.

    Attributes
    ----------
    learner : made anew for each training.
    taught_by : the arm whose weights of the same seed are its teacher; None learns from labels alone.
    ships : may its weights ship? An arm that is there for comparison does not.
    """

    name: str
    learner: Callable[[], Learner[Any]]
    taught_by: str | None = None
    ships: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be trained.

    Attributes
    ----------
    arms : names; whom an arm is taught by comes before it.
    settings : of every training; the seed is set for each.
    starts : seed -> weights that its trainings begin with, where nobody teaches them.
    """

    seeds: tuple[int, ...]
    arms: tuple[str, ...]
    settings: TrainSettings = field(default_factory=TrainSettings)
    starts: Mapping[int, Path] = field(default_factory=dict)


def folder_of(out: Path, run: Run) -> Path:
    """Where the weights and the report of a training lie."""
    seed, arm = run
    return out / f"seed-{seed}" / arm.replace(" ", "-")


def run_arms(
    manifest: Path, out: Path, arms: Sequence[Arm], plan: Plan, *, trained_only: bool = False
) -> Iterator[tuple[Run, Results]]:
    """Train what is not yet trained; or, with ``trained_only``, pass over it.

    Yields
    ------
    Seed and arm, and the results of its test exams.

    Raises
    ------
    ManifestError, TrainingError : see :func:`dicomnode.train.run.train_model`.
    """
    by_name = {arm.name: arm for arm in arms}
    for seed in plan.seeds:
        for name in plan.arms:
            results = folder_of(out, (seed, name)) / REPORT / "results.csv"
            if not results.exists():
                if trained_only:
                    continue
                arm = by_name[name]
                train_model(manifest, folder_of(out, (seed, name)), arm.learner(), _settings(out, arm, seed, plan))
            yield (seed, name), read_results(results)


def _settings(out: Path, arm: Arm, seed: int, plan: Plan) -> TrainSettings:
    teacher = folder_of(out, (seed, arm.taught_by)) / BEST if arm.taught_by else None
    fit = replace(plan.settings.fit, seed=seed)
    start = None if teacher else plan.starts.get(seed)
    return replace(plan.settings, fit=fit, cache=out / "cache", teacher=teacher, start=start)


def seeds_of_both(runs: Runs, arm: str, other: str) -> list[int]:
    """The seeds that two arms were both trained from."""
    return sorted(seed for seed, name in runs if name == arm and (seed, other) in runs)


def best_runs(out: Path, runs: Runs, arms: Sequence[Arm], count: int) -> list[Run]:
    """Those that ship: the best validation score first, each of another seed; test exams have no say."""
    may_ship = {arm.name for arm in arms if arm.ships}

    def score(run: Run) -> float:
        return max(float(entry["score"]) for entry in history_of(folder_of(out, run)))

    best_of_seed: dict[int, Run] = {}
    for run in sorted((run for run in runs if run[1] in may_ship), key=score, reverse=True):
        best_of_seed.setdefault(run[0], run)
    return list(best_of_seed.values())[:count]
