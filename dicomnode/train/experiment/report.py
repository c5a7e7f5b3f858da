"""The report of an experiment: every arm and seed, how arms differ, and what ships, by subgroup."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dicomnode.records import RESEARCH_NOTICE
from dicomnode.train.calibrate import Corrections
from dicomnode.train.experiment.arms import Plan, Run, Runs, seeds_of_both
from dicomnode.train.experiment.design import Experiment
from dicomnode.train.experiment.records import LOG
from dicomnode.train.outputs.figures import Figure, figures_of, mean_differences, titles_of
from dicomnode.train.outputs.output import CALIBRATED, Output, Section, figures_of_all, truths_of_all
from dicomnode.train.outputs.probability import Probability
from dicomnode.train.plots import SYNTHETIC
from dicomnode.train.report import NO_ACCURACY, picture_text, section_text, subgroup_sections
from dicomnode.train.results import Results
from dicomnode.train.statistics import RESAMPLES, Difference, Estimate, brier, operating_point

Pair = tuple[str, str]
"""An arm, and the one it is compared with."""
DIGITS = 2
DIFFERENCE_HEADER = ("difference (95 % interval, over patients)", "p", "of each seed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What an experiment found.

    Attributes
    ----------
    outputs : of its learner.
    runs : (seed, arm) -> results of the test exams.
    shipped : the trainings that ship together.
    results : of what ships, corrected.
    corrections : of what ships.
    tables : of the experiment's own.
    left_out : sentences about exams that were not used.
    digests : cohort -> its digest.
    pictures : file names of plots, which lie beside the report.
    """

    experiment: Experiment
    outputs: Sequence[Output]
    plan: Plan
    runs: Runs
    synthetic: bool
    shipped: Sequence[Run]
    results: Results
    corrections: Corrections
    tables: Sequence[Section]
    left_out: Sequence[str]
    digests: Mapping[str, str]
    pictures: Sequence[str] = ()

    @property
    def shown(self) -> list[Figure]:
        """The figures that tables show."""
        return [figure for figure in figures_of_all(self.outputs) if figure.key in self.experiment.shown]


@dataclass(frozen=True, slots=True)
class Compared:
    """Figures of every training, and the differences of arms."""

    per_run: Mapping[Run, Mapping[str, Estimate]]
    against: Mapping[Pair, Mapping[str, Difference]]


def write_summary(out: Path, summary: Summary) -> Path:
    """Write ``report.md`` and ``figures.json``.

    Returns
    -------
    Path of ``report.md``.
    """
    compared = _compared(summary)
    (out / "figures.json").write_text(json.dumps(_content(summary, compared), indent=1) + "\n", encoding="utf-8")
    (out / "report.md").write_text("\n\n".join(_sections(summary, compared)) + "\n", encoding="utf-8")
    return out / "report.md"


def _compared(summary: Summary) -> Compared:
    figures, runs = figures_of_all(summary.outputs), summary.runs
    pairs = [pair for pair in summary.experiment.compared if seeds_of_both(runs, *pair)]
    return Compared(
        {run: figures_of(results, figures, run[0], RESAMPLES) for run, results in runs.items()},
        {pair: differences(runs, summary.outputs, pair) for pair in pairs},
    )


def differences(runs: Runs, outputs: Sequence[Output], pair: Pair) -> dict[str, Difference]:
    """One arm minus another, mean over the seeds that both were trained from."""
    first, second = pair
    both = [(runs[seed, first], runs[seed, second]) for seed in seeds_of_both(runs, first, second)]
    return mean_differences(both, figures_of_all(outputs), truths_of_all(outputs), seed=1, resamples=RESAMPLES)


def _content(summary: Summary, compared: Compared) -> dict[str, object]:
    return {
        "notice": RESEARCH_NOTICE,
        "synthetic": summary.synthetic,
        "shipped": [{"seed": seed, "arm": arm} for seed, arm in summary.shipped],
        "as_shipped": _plain(figures_of(summary.results, figures_of_all(summary.outputs), 1, RESAMPLES)),
        # how each output is corrected stands under its name
        **{name: dict(correction) for name, correction in summary.corrections.items()},
        "cohorts": dict(summary.digests),
        "arms": {f"seed {seed}, {arm}": _plain(figures) for (seed, arm), figures in compared.per_run.items()},
        "differences": {
            f"{arm} minus {other}": {n: [*_rounded(item.estimate), round(item.p_value, 4)] for n, item in found.items()}
            for (arm, other), found in compared.against.items()
        },
    }


def _plain(figures: Mapping[str, Estimate]) -> dict[str, list[float | None]]:
    return {name: _rounded(item) for name, item in figures.items()}


def _rounded(item: Estimate) -> list[float | None]:
    return [round(x, 4) if np.isfinite(x) else None for x in (item.value, item.low, item.high)]


def _sections(summary: Summary, compared: Compared) -> list[str]:
    kind, words = f" ({SYNTHETIC})" if summary.synthetic else "", summary.experiment.words
    about_data = f" {NO_ACCURACY}" if summary.synthetic else ""
    return [
        f"# {words.title}{kind}",
        f"{RESEARCH_NOTICE}.{about_data} {words.origin}",
        _made(summary),
        section_text(_arms_section(summary, compared), kind),
        *(_difference_text(summary, compared, pair, kind) for pair in compared.against),
        *not_trained(summary.plan, summary.runs),
        _shipped_text(summary),
        *(section_text(section, kind) for section in summary.tables),
        *(section_text(section, kind) for section in subgroup_sections(summary.results, summary.shown, 1, RESAMPLES)),
        *(picture_text(name, kind) for name in summary.pictures),
        f"Loss, validation score and learning rate of every epoch of every training: [{LOG}]({LOG}).",
        _left_out(summary),
        *_digests(summary),
    ]


def _made(summary: Summary) -> str:
    plan, words, first = summary.plan, summary.experiment.words, next(iter(summary.runs.values()))
    seeds, arms = " ".join(map(str, plan.seeds)), " ".join(map(repr, plan.arms))
    fit = plan.settings.fit
    made = words.made.format(
        command=f"{words.command} --seeds {seeds} --arms {arms} --epochs {fit.epochs} --steps {plan.settings.steps}",
        exams=len(first),
        patients=len({*first.patients}),
        positive=summary.outputs[0].account(first).content.get("positive", ""),
    )
    return f"{made} Intervals: 95 %, paired bootstrap over patients, {RESAMPLES} resamples. {words.figures}"


def _arms_section(summary: Summary, compared: Compared) -> Section:
    rows = [
        (f"{seed}, {arm}", *(_text(figures, figure.key) for figure in summary.shown))
        for (seed, arm), figures in compared.per_run.items()
    ]
    return Section(("seed, arm", *titles_of(summary.shown).values()), rows)


def _text(figures: Mapping[str, Estimate], key: str) -> str:
    return figures[key].text(DIGITS) if key in figures else ""


def not_trained(plan: Plan, runs: Runs) -> list[str]:
    """A sentence that names what was planned and is not in the report; nothing where all of it is."""
    missing = [f"{arm} of seed {seed}" for arm in plan.arms for seed in plan.seeds if (seed, arm) not in runs]
    return [f"Not trained, so nothing is said of it: {', '.join(missing)}."] if missing else []


def _difference_text(summary: Summary, compared: Compared, pair: Pair, kind: str) -> str:
    found, seeds = compared.against[pair], seeds_of_both(summary.runs, *pair)
    trained = f"{len(seeds)} seed{'s' * (len(seeds) > 1)}"
    header = (f"{pair[0]} minus {pair[1]}, mean of {trained}", *DIFFERENCE_HEADER)
    each = [[compared.per_run[seed, arm] for arm in pair] for seed in seeds]
    rows = [
        (figure.title, *_difference_row(found[figure.key], [[arm[figure.key] for arm in arms] for arms in each]))
        for figure in summary.shown
        if figure.key in found
    ]
    said = verdict(found, [figure for figure in summary.shown if figure.key in summary.experiment.claimed])
    table = section_text(Section(header, rows), kind)
    return f"## {pair[0].capitalize()} against {pair[1]}\n\n{table}\n\n{said}."


def _difference_row(found: Difference, each: Sequence[Sequence[Estimate]]) -> tuple[str, ...]:
    of_each_seed = ", ".join(f"{one.value - other.value:+.3f}" for one, other in each)
    return found.estimate.text(), f"{found.p_value:.4f}", of_each_seed


def verdict(found: Mapping[str, Difference], claimed: Sequence[Figure]) -> str:
    """Which claimed figures an arm improves: interval above zero, below, or neither."""
    words = []
    for figure in claimed:
        if figure.key in found:
            low, high = found[figure.key].estimate.low, found[figure.key].estimate.high
            said = "better" if low > 0 else "worse" if high < 0 else "no difference shown"
            words.append(f"{figure.title}: {said}")
    return "; ".join(words)


def _shipped_text(summary: Summary) -> str:
    words, main = summary.experiment.words, summary.outputs[0]
    members = " and ".join(f"{arm} of seed {seed}" for seed, arm in summary.shipped)
    said = [f"## The shipped weights\n\n{words.shipped.format(members=members)}"]
    if main.name in summary.corrections:
        said.append(words.calibration.format(**summary.corrections[main.name]))
        said += [_operating(main, summary)] if isinstance(main, Probability) else []
    return " ".join(said)


def _operating(main: Probability, summary: Summary) -> str:
    labels, probabilities = main.pairs(summary.results, CALIBRATED)
    point = operating_point(labels, probabilities, summary.corrections[main.name]["threshold"])
    return (
        f"There the test exams have sensitivity {point.sensitivity:.2f} and specificity {point.specificity:.2f}, "
        f"and a Brier score of {brier(labels, probabilities):.3f}."
    )


def _left_out(summary: Summary) -> str:
    if not summary.left_out:
        return "No exam was left out."
    lines = "\n".join(f"- {sentence}" for sentence in summary.left_out)
    return f"{len(summary.left_out)} exams were left out, {summary.experiment.words.left_out}:\n\n{lines}"


def _digests(summary: Summary) -> list[str]:
    if not summary.digests:
        return []
    lines = "\n".join(f"- {name}: `{digest}`" for name, digest in summary.digests.items())
    return [f"Cohorts (version and arguments in `{summary.experiment.words.cohorts}`), digests:\n\n{lines}"]
