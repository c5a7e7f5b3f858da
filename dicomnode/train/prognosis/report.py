"""The report of the experiment: what was trained, what ships, and what it is worth on unseen patients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from dicomnode.cohort.second.frozen import CEILINGS
from dicomnode.records import RESEARCH_NOTICE
from dicomnode.train import plots, statistics
from dicomnode.train.experiment.arms import Runs
from dicomnode.train.fused.document import Table, write_document
from dicomnode.train.importers.cohort import ARM
from dicomnode.train.outputs.figures import Figure, by_group, figures_of, mean_differences
from dicomnode.train.outputs.output import Section
from dicomnode.train.outputs.probability import Probability
from dicomnode.train.prognosis import judging
from dicomnode.train.prognosis.experiment import FUSED, Trained
from dicomnode.train.prognosis.judging import ICH, LOGISTIC, ORACLE, Unseen
from dicomnode.train.prognosis.learner import NONE
from dicomnode.train.prognosis.patients import OF_COHORT, OUTCOME
from dicomnode.train.prognosis.ship import auc_of, learned, regressed
from dicomnode.train.report import NO_ACCURACY
from dicomnode.train.results import Results
from dicomnode.train.statistics import calibration, operating_point
from dicomnode.zoo.bundle import load_manifest
from dicomnode.zoo.prognosis.model import Prognosis

COMMAND = "python -m dicomnode.train.prognosis"
_FIGURE: Figure = Probability(OUTCOME).figures[0]
WHERE = {
    "unseen-heads": "A, with heads",
    "unseen-A": "A, without heads",
    "unseen-B": "B, without heads",
}


def write(out: Path, trained: Trained, model: Prognosis, people: Mapping[str, Unseen]) -> Path:
    """Write ``report.md``, ``figures.json`` and a plot into a folder.

    Parameters
    ----------
    people : unseen patients by group.

    Returns
    -------
    Path of ``report.md``.
    """
    out.mkdir(parents=True, exist_ok=True)
    figures: dict[str, object] = {}
    tables = [
        *_ships(trained, model, figures),
        *_shipped(trained, model, people, figures),
        *_arms(trained.runs, figures),
        *_ablation(trained.runs, figures),
        *_differences(trained.runs, figures),
    ]
    told = {WHERE[name]: (one.results["label"], one.results["score"]) for name, one in people.items()}
    plots.reliability_plot(out / "reliability.png", told, synthetic=True)
    closing = ["![Reliability of the shipped bundle](reliability.png)"]
    return write_document(out, _opening(trained, people), tables, figures, closing)


def _opening(trained: Trained, people: Mapping[str, Unseen]) -> Iterator[str]:
    yield "# Outcome after intracerebral haemorrhage: head, measured bleed, record and request (synthetic)"
    yield f"{RESEARCH_NOTICE}. {NO_ACCURACY} A re-implementation after ICHPro; no figure here is theirs."
    seeds = ", ".join(map(str, sorted({seed for seed, _ in trained.runs})))
    unseen = ", ".join(f"{len(one.samples)} ({WHERE[name]})" for name, one in people.items())
    heads = sum(name == "heads" for name in trained.out_of_fold.groups[ARM])
    yield (
        f"The positive is a **poor** outcome (GOS 1 to 3 at 90 days); the paper's positive is a good one. Made by "
        f"`{COMMAND} --out FOLDER`: {heads} synthetic heads of site A and the records of "
        f"{len(trained.out_of_fold) - heads} patients without an image to learn from; unseen are {unseen}. "
        f"The arms learned from the same heads and the first {trained.compared} records; their seeds: "
        f"{seeds or 'none trained'}. The reader of heads is the frozen one of the model of oedema; it has seen none of "
        "these heads, and of patients without an image a reading is drawn with its errors. Volume and place of a bleed "
        "are the painted ones with the errors of `train/prognosis/measured.py`. Intervals: 95 %, bootstrap over "
        f"patients, {judging.RESAMPLES} resamples."
    )


def _ships(trained: Trained, model: Prognosis, figures: dict[str, object]) -> Iterator[Table]:
    """Which of the two models ships, by the patients that were learned from, each out of fold."""
    other = auc_of(regressed(learned(trained)))
    rows = [("fusions", f"{auc_of(trained.out_of_fold):.3f}"), ("logistic regression", f"{other:.3f}")]
    figures["out of fold"] = dict(rows)
    says = f"Out of fold, among the patients learned from; what ships by it: {model.network.ships}."
    yield Table(says, Section(("model", "AUC"), rows))


def _shipped(
    trained: Trained, model: Prognosis, people: Mapping[str, Unseen], figures: dict[str, object]
) -> Iterator[Table]:
    """What the bundle is worth."""
    threshold = load_manifest(trained.out / "bundle").scores[0].threshold or 0.5
    columns = {WHERE[name]: dict(_measured(trained, one, threshold)) for name, one in people.items()}
    rows = [(says, *(found[says] for found in columns.values())) for says in next(iter(columns.values()))]
    first, rest = people["unseen-heads"], [""] * (len(columns) - 1)
    whole, none = judging.widths(model, first)
    own, best = (judging.auc_of(people["unseen-A"], column).value - 0.5 for column in ("score", ORACLE))
    share = own / (CEILINGS[OF_COHORT]["image+text+variables"] - 0.5)
    more = {
        **{f"best from {channels} (cohort)": f"{value:.3f}" for channels, value in CEILINGS[OF_COHORT].items()},
        "share of the margin of image, text and variables, A without heads": f"{share:.3f}",
        "the same by what can be known of these very patients": f"{own / best:.3f}",
        "mean width of the interval, all that is recorded; nothing of it": f"{whole:.3f}; {none:.3f}",
    }
    figures["shipped"] = columns | more
    yield Table("What ships.", Section(("shipped", *columns), [*rows, *((a, b, *rest) for a, b in more.items())]))


def _measured(trained: Trained, people: Unseen, threshold: float) -> Iterator[tuple[str, str]]:
    label, score = people.results["label"], people.results["score"]
    titles = {
        "score": "AUC",
        NONE: "AUC, nothing known beside the CT",
        LOGISTIC: "AUC of the logistic regression",
        ICH: "AUC of the ICH Score, where its inputs are known",
        ORACLE: "AUC of all that can be known of these very patients",
    }
    for column, says in titles.items():
        yield says, judging.auc_of(people, column).text()
    for column, says in {LOGISTIC: "logistic regression", ICH: "ICH Score"}.items():
        yield f"AUC less that of the {says}", judging.better_than(people, column).estimate.text()
    for column, says in {"score": "", NONE: ", nothing known beside the CT"}.items():
        found = calibration(label, people.results[column])
        told = f"{found.slope:.3f}, {found.intercept:.3f}, {found.brier:.3f}"
        yield f"calibration slope, intercept, Brier score{says}", told
    point = operating_point(label, score, threshold)
    yield f"sensitivity, specificity at {threshold:g}", f"{point.sensitivity:.3f}, {point.specificity:.3f}"
    yield "poor outcome", f"{np.mean(label):.3f}"
    yield "symptoms told right in the requests", f"{judging.told_right(trained, people):.3f}"


def _groups(runs: Runs) -> Mapping[str, Runs]:
    """The unseen patients with heads, and those of site A without."""
    return {
        group: {run: by_group(results, ARM)[group] for run, results in runs.items()}
        for group in ("unseen-heads", "unseen-A")
    }


def _arms(runs: Runs, figures: dict[str, object]) -> Iterator[Table]:
    """AUC of each training."""
    for group, own in _groups(runs).items():
        if own:
            rows = [(f"{arm}, seed {seed}", _auc(one).text()) for (seed, arm), one in own.items()]
            figures[f"arms, {group}"] = dict(rows)
            says = f"Each training, on the unseen patients of {WHERE[group]}."
            yield Table(says, Section(("arm", "AUC"), rows))


def _ablation(runs: Runs, figures: dict[str, object]) -> Iterator[Table]:
    """The paper's form: accuracy, recall, precision, F1, AUC at 0.5; positive is a poor outcome."""
    own = _groups(runs)["unseen-A"]
    if own:
        rows = [(f"{arm}, seed {seed}", *_paper_row(one)) for (seed, arm), one in own.items()]
        figures["ablation"] = {row[0]: row[1:] for row in rows}
        header = ("arm", "accuracy", "recall", "precision", "F1", "AUC")
        says = "The table of the paper, at a probability of 0.5; its positive is the good outcome, ours the poor one."
        yield Table(says, Section(header, rows))


def _paper_row(results: Results) -> tuple[str, ...]:
    label, given = results["label"] == 1, results["score"] >= 0.5
    hit, called, there = float((label & given).sum()), float(given.sum()), float(label.sum())
    values = (np.mean(label == given), hit / there, hit / max(called, 1.0), 2 * hit / (called + there))
    return (*(f"{value:.3f}" for value in values), f"{statistics.auc(results['label'], results['score']):.3f}")


def _differences(runs: Runs, figures: dict[str, object]) -> Iterator[Table]:
    names = list(dict.fromkeys(arm for _, arm in runs if arm != FUSED))
    for group, own in _groups(runs).items():
        rows = []
        for name in names:
            seeds = sorted(seed for seed, arm in own if arm == name and (seed, FUSED) in own)
            pairs = [(own[seed, FUSED], own[seed, name]) for seed in seeds]
            if pairs:
                found = mean_differences(pairs, (_FIGURE,), ("label",), 1, judging.RESAMPLES)[_FIGURE.key]
                rows.append((f"{FUSED} minus {name}", found.estimate.text(), f"{found.p_value:.4f}"))
                figures[f"differences, {group}, {name}"] = asdict(found)
        if rows:
            says = f"Arms against each other, mean of the seeds, {WHERE[group]}."
            yield Table(says, Section(("difference of AUC", "value", "p"), rows))


def _auc(results: Results) -> statistics.Estimate:
    return figures_of(results, (_FIGURE,), 1, judging.RESAMPLES)[_FIGURE.key]
