"""The report of the experiment: every arm and seed, what the student gains, its figures by finding and by scanner."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from dicomnode.measure.exam import calibrated
from dicomnode.records import RESEARCH_NOTICE
from dicomnode.train.experiment.arms import MODEL, SECOND, STUDENT, TEACHER, UNRANKED, Plan
from dicomnode.train.plots import labels_and_scores
from dicomnode.train.report import FIGURES, figures_of, mean_differences, table_text
from dicomnode.train.results import ExamResult
from dicomnode.train.slices.exams import Exam
from dicomnode.train.statistics import Difference, Estimate, brier, operating_point

SHOWN = ("auc", "auc_large", "dice", "dice_large", "pixel_precision", "false_ml")
CLAIMED = ("auc", "dice", "pixel_precision")
"""What Lin and Yuh report of the student against the teacher."""
COMPARED = ((STUDENT, TEACHER), (STUDENT, UNRANKED), (SECOND, STUDENT), (SECOND, TEACHER))
RESAMPLES = 2000
SPACING_EDGES_MM = (0.0, 2.0, 3.5, 8.0)
Run = tuple[int, str]
"""Seed and arm."""
Runs = Mapping[Run, Sequence[ExamResult]]
Against = Mapping[tuple[str, str], Mapping[str, Difference]]


@dataclass(frozen=True, slots=True)
class ExamCalibration:
    """How the shipped score of an exam becomes a probability, and the threshold of that probability.

    Attributes
    ----------
    slope, intercept : see :func:`dicomnode.measure.exam.calibrated`.
    """

    slope: float
    intercept: float
    threshold: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What the experiment found.

    Attributes
    ----------
    runs : (seed, arm) -> results of the test exams.
    shipped : the students that ship together: the best validation scores.
    exam : of their exam probability, chosen on the calibration exams.
    findings : results of what ships by finding.
    offsets : HU added to every exam -> results of what ships.
    spacings_mm : exam -> median distance of its slices.
    left_out : sentences about exams that were not used.
    digests : cohort -> its digest.
    pictures : file names of plots, which lie beside the report.
    """

    plan: Plan
    runs: Runs
    shipped: Sequence[Run]
    exam: ExamCalibration
    findings: Mapping[str, Sequence[ExamResult]]
    offsets: Mapping[float, Sequence[ExamResult]]
    spacings_mm: Mapping[str, float]
    left_out: Sequence[str]
    digests: Mapping[str, str]
    pictures: Sequence[str] = ()


def spacings_of(exams: Sequence[Exam]) -> dict[str, float]:
    """Exam -> median distance of its slices in mm."""
    return {exam.case.id: float(np.median(np.abs(np.diff(exam.offsets_mm)))) for exam in exams}


def seeds_of(runs: Runs, arm: str) -> list[int]:
    """The seeds that an arm was trained from."""
    return sorted(seed for seed, trained in runs if trained == arm)


def seeds_of_both(runs: Runs, arm: str, other: str) -> list[int]:
    """The seeds that two arms were both trained from."""
    return sorted({*seeds_of(runs, arm)} & {*seeds_of(runs, other)})


def differences(runs: Runs, arm: str, other: str) -> dict[str, Difference]:
    """One arm minus another, mean over the seeds that both were trained from."""
    pairs = [(runs[seed, arm], runs[seed, other]) for seed in seeds_of_both(runs, arm, other)]
    return mean_differences(pairs, seed=1, resamples=RESAMPLES)


def verdict(found: Mapping[str, Difference]) -> str:
    """Which claimed figures an arm improves: interval above zero, below, or neither."""
    words = []
    for name in CLAIMED:
        if name in found:
            low, high = found[name].estimate.low, found[name].estimate.high
            said = "better" if low > 0 else "worse" if high < 0 else "no difference shown"
            words.append(f"{FIGURES[name]}: {said}")
    return "; ".join(words)


def write_summary(out: Path, summary: Summary) -> Path:
    """Write ``report.md`` and ``figures.json``.

    Returns
    -------
    Path of ``report.md``.
    """
    out.mkdir(parents=True, exist_ok=True)
    per_arm = {run: figures_of(results, run[0], RESAMPLES) for run, results in summary.runs.items()}
    pairs = [pair for pair in COMPARED if seeds_of_both(summary.runs, *pair)]
    against = {pair: differences(summary.runs, *pair) for pair in pairs}
    (out / "figures.json").write_text(json.dumps(_content(summary, per_arm, against), indent=1) + "\n")
    text = "\n\n".join(_sections(summary, per_arm, against)) + "\n"
    (out / "report.md").write_text(text, encoding="utf-8")
    return out / "report.md"


def _content(
    summary: Summary,
    per_arm: Mapping[Run, Mapping[str, Estimate]],
    against: Against,
) -> dict[str, object]:
    def plain(item: Estimate) -> list[float | None]:
        return [round(x, 4) if np.isfinite(x) else None for x in (item.value, item.low, item.high)]

    return {
        "notice": RESEARCH_NOTICE,
        "synthetic": True,
        "shipped": [{"seed": seed, "arm": arm} for seed, arm in summary.shipped],
        "as_shipped": {name: plain(item) for name, item in figures_of(_as_shipped(summary), 1, RESAMPLES).items()},
        "exam": asdict(summary.exam),
        "cohorts": dict(summary.digests),
        "arms": {
            f"seed {seed}, {arm}": {name: plain(item) for name, item in figures.items()}
            for (seed, arm), figures in per_arm.items()
        },
        "differences": {
            f"{arm} minus {other}": {n: [*plain(item.estimate), round(item.p_value, 4)] for n, item in found.items()}
            for (arm, other), found in against.items()
        },
    }


def _sections(
    summary: Summary,
    per_arm: Mapping[Run, Mapping[str, Estimate]],
    against: Against,
) -> list[str]:
    plan, first = summary.plan, next(iter(summary.runs.values()))
    positive = sum(result.label == 1 for result in first)
    seeds, arms = " ".join(map(str, plan.seeds)), " ".join(map(repr, plan.arms))
    command = f"python -m dicomnode.train.hemorrhage --out FOLDER --anatomy TEMPLATES --seeds {seeds} --arms {arms}"
    members = " and ".join(f"{arm} of seed {seed}" for seed, arm in summary.shipped)
    return [
        "# Haemorrhage model: teacher, noisy student and ranker (synthetic)",
        f"{RESEARCH_NOTICE}. All figures come from **synthetic** exams; they say nothing about accuracy on patients. "
        "Re-implementation after Lin and Yuh; no figure here is theirs.",
        f"Made by `{command} --epochs {plan.epochs} --steps {plan.steps}`. {len(first)} test exams of "
        f"{len({result.patient for result in first})} unseen patients of site B, {positive} with blood. Teacher: "
        "labelled exams of site A. Student: the teacher's weights, the same exams and unlabelled ones of A and B. "
        "Second student: the same with the student as its teacher. "
        f"Intervals: 95 %, paired bootstrap over patients, {RESAMPLES} resamples. The figures are of the network on "
        "its planes, confined to the interior of the skull as in the node.",
        table_text(
            ("seed, arm (synthetic)", *(FIGURES[name] for name in SHOWN)),
            [
                (f"{seed}, {arm}", *(figures[name].text(2) if name in figures else "" for name in SHOWN))
                for (seed, arm), figures in per_arm.items()
            ],
        ),
        *[
            _difference_section(pair, found, _by_seed(per_arm, pair, seeds_of_both(summary.runs, *pair)))
            for pair, found in against.items()
        ],
        *not_trained(plan, summary.runs),
        f"## The shipped weights\n\nMean of {members}, chosen by the validation exams of site A, one reading the "
        "slices as they are, one mirrored; the figures from here on are of both together, as float16. "
        f"Other exams of A set how the exam score becomes a probability: log odds times {summary.exam.slope:g} plus "
        f"{summary.exam.intercept:g}, threshold {summary.exam.threshold:g}. {_operating(summary)}",
        table_text(
            ("finding (synthetic)", "exams with it", "exam AUC", "Dice, mean", "Dice, mean, at least 1 mL"),
            [_finding_row(name, results) for name, results in summary.findings.items()],
        ),
        table_text(
            ("calibration offset (synthetic)", *(FIGURES[name] for name in SHOWN)),
            [_figure_row(f"{offset:+g} HU", results) for offset, results in summary.offsets.items()],
        ),
        table_text(
            ("distance of slices (synthetic)", "exams", *(FIGURES[name] for name in SHOWN)),
            list(_spacing_rows(summary)),
        ),
        *(f"![{name.removesuffix('.png').replace('_', ' ')} (synthetic)]({name})" for name in summary.pictures),
        "Loss, validation score and learning rate of every epoch of every training: [training.csv](training.csv).",
        _left_out(summary.left_out),
        "Cohorts (version and arguments in `dicomnode/train/hemorrhage/cohorts.py`), digests:\n\n"
        + "\n".join(f"- {name}: `{digest}`" for name, digest in summary.digests.items()),
    ]


def _as_shipped(summary: Summary) -> Sequence[ExamResult]:
    return summary.findings[MODEL]


def _operating(summary: Summary) -> str:
    labels, scores = labels_and_scores(_as_shipped(summary))
    exam = summary.exam
    probabilities = [calibrated(score, exam.slope, exam.intercept) for score in scores]
    point = operating_point(labels, probabilities, exam.threshold)
    return (
        f"There the test exams have sensitivity {point.sensitivity:.2f} and specificity {point.specificity:.2f}, "
        f"and a Brier score of {brier(labels, probabilities):.3f}."
    )


def not_trained(plan: Plan, runs: Runs) -> list[str]:
    """A sentence that names what was planned and is not in the report; nothing where all of it is."""
    missing = [f"{arm} of seed {seed}" for arm in plan.arms for seed in plan.seeds if (seed, arm) not in runs]
    return [f"Not trained, so nothing is said of it: {', '.join(missing)}."] if missing else []


def _by_seed(
    per_arm: Mapping[Run, Mapping[str, Estimate]], pair: tuple[str, str], seeds: Sequence[int]
) -> list[dict[str, float]]:
    """Differences of two arms for each seed."""
    arms = [[per_arm[seed, arm] for arm in pair] for seed in seeds]
    return [{name: one[name].value - other[name].value for name in one} for one, other in arms]


def _difference_section(
    pair: tuple[str, str], found: Mapping[str, Difference], by_seed: Sequence[Mapping[str, float]]
) -> str:
    rows = [
        (
            FIGURES[name],
            found[name].estimate.text(),
            f"{found[name].p_value:.4f}",
            ", ".join(f"{of_seed[name]:+.3f}" for of_seed in by_seed),
        )
        for name in SHOWN
        if name in found
    ]
    trained = f"{len(by_seed)} seed{'s' * (len(by_seed) > 1)}"
    header = (
        f"{pair[0]} minus {pair[1]}, mean of {trained} (synthetic)",
        "difference (95 % interval, over patients)",
        "p",
        "of each seed",
    )
    return f"## {pair[0].capitalize()} against {pair[1]}\n\n{table_text(header, rows)}\n\n{verdict(found)}."


def _finding_row(name: str, results: Sequence[ExamResult]) -> tuple[str, ...]:
    figures = figures_of(results, 1, RESAMPLES)
    shown = [figures[key].text(2) if key in figures else "" for key in ("auc", "dice", "dice_large")]
    return (name, str(sum(result.truth_ml > 0 for result in results)), *shown)


def _figure_row(name: str, results: Sequence[ExamResult]) -> tuple[str, ...]:
    figures = figures_of(results, 1, RESAMPLES)
    return (name, *(figures[key].text(2) if key in figures else "" for key in SHOWN))


def _spacing_rows(summary: Summary) -> list[tuple[str, ...]]:
    rows = []
    results = _as_shipped(summary)
    for low, high in pairwise(SPACING_EDGES_MM):
        part = [result for result in results if low < summary.spacings_mm[result.id] <= high]
        if part:
            name, *figures = _figure_row(f"{low:g} to {high:g} mm", part)
            rows.append((name, str(len(part)), *figures))
    return rows


def _left_out(sentences: Sequence[str]) -> str:
    if not sentences:
        return "No exam was left out."
    return f"{len(sentences)} exams were left out, as the node refuses them:\n\n" + "\n".join(
        f"- {s}" for s in sentences
    )
