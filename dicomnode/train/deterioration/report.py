"""The report of the experiment: what was trained, what ships, and what it is worth on unseen patients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from dicomnode.cohort.second.frozen import CEILINGS
from dicomnode.records import RESEARCH_NOTICE
from dicomnode.train import statistics
from dicomnode.train.deterioration import explaining, judging
from dicomnode.train.deterioration.experiment import ENCODED, FUSED, STRUCTURED, TEXT, TF_IDF, TF_IDF_TEXT, Trained
from dicomnode.train.deterioration.judging import Unseen
from dicomnode.train.deterioration.patients import OUTCOME, UNSEEN
from dicomnode.train.experiment.arms import Runs
from dicomnode.train.fused.document import Table, write_document
from dicomnode.train.outputs.figures import Figure, by_group, figures_of, mean_differences
from dicomnode.train.outputs.output import Section
from dicomnode.train.outputs.probability import Probability
from dicomnode.train.report import NO_ACCURACY
from dicomnode.train.results import SITE, Results
from dicomnode.train.statistics import Difference, Estimate
from dicomnode.zoo.deterioration.model import Deterioration

COMMAND = "python -m dicomnode.train.deterioration"
PAIRS = ((FUSED, STRUCTURED), (FUSED, TEXT), (FUSED, TF_IDF), (TEXT, TF_IDF_TEXT), (FUSED, ENCODED))
OWN_CHANNELS = "text+variables"
MOST_IMPORTANT = 15
_FIGURE: Figure = Probability(OUTCOME).figures[0]


def write(out: Path, trained: Trained, model: Deterioration, people: Mapping[str, Unseen], threshold: float) -> Path:
    """Write ``report.md`` and ``figures.json`` into a folder.

    Parameters
    ----------
    people : unseen patients by site. threshold : of the bundle.

    Returns
    -------
    Path of ``report.md``.
    """
    figures: dict[str, object] = {}
    tables = [
        *_arms(trained.runs, figures, "arms"),
        *_shipped(model, people, threshold, figures),
        *_explained(model, people, figures),
        *_few(trained.few, figures),
    ]
    return write_document(out, _opening(trained), tables, figures)


def _opening(trained: Trained) -> Iterator[str]:
    yield "# Early neurological deterioration: variables, request, and both (synthetic)"
    yield f"{RESEARCH_NOTICE}. {NO_ACCURACY} A re-implementation after Sun et al.; no figure here is theirs."
    seeds = ", ".join(map(str, sorted({seed for seed, _ in trained.runs})))
    unseen = " and ".join(f"{group.count} of site {site}" for site, group in UNSEEN.items())
    yield (
        f"Made by `{COMMAND} --out FOLDER`: {len(trained.out_of_fold)} synthetic patients of site A to learn from; "
        f"unseen are {unseen}, which writes its requests in words of its own. Seeds of the arms: "
        f"{seeds or 'none trained'}. Intervals: 95 %, paired bootstrap over patients, {judging.RESAMPLES} resamples."
    )


def _of_site(runs: Runs, site: str) -> Runs:
    return {run: by_group(results, SITE)[site] for run, results in runs.items()}


def _arms(runs: Runs, figures: dict[str, object], key: str) -> Iterator[Table]:
    """AUC of each training, and the differences of the arms; nothing where nothing was trained."""
    if not runs:
        return
    rows, told = [], {}
    for (seed, arm), results in sorted(runs.items()):
        found = {site: _auc(part) for site, part in by_group(results, SITE).items()}
        told[f"{arm}, seed {seed}"] = found
        rows.append((f"{seed}, {arm}", *(estimate.text() for estimate in found.values())))
    yield Table("Each training, on unseen patients.", Section(("seed, arm", "AUC at A", "AUC at B"), rows))
    differences = {
        (a, b, site): _difference(_of_site(runs, site), a, b)
        for a, b in PAIRS
        for site in ("A", "B")
        if any(arm == a for _, arm in runs) and any(arm == b for _, arm in runs)
    }
    rows = [
        (f"{a} minus {b}, {site}", d.estimate.text(), f"{d.p_value:.4f}") for (a, b, site), d in differences.items()
    ]
    yield Table("Arms against each other, mean of the seeds.", Section(("difference of AUC", "value", "p"), rows))
    figures[key] = {name: {site: asdict(e) for site, e in found.items()} for name, found in told.items()}
    figures[f"{key}, differences"] = {", ".join(names): asdict(d) for names, d in differences.items()}


def _auc(results: Results) -> Estimate:
    return figures_of(results, (_FIGURE,), 1, judging.RESAMPLES)[_FIGURE.key]


def _difference(runs: Runs, a: str, b: str) -> Difference:
    seeds = sorted({seed for seed, _ in runs})
    pairs = [(runs[seed, a], runs[seed, b]) for seed in seeds if (seed, a) in runs and (seed, b) in runs]
    return mean_differences(pairs, (_FIGURE,), ("label",), 1, judging.RESAMPLES)[_FIGURE.key]


def _shipped(
    model: Deterioration, people: Mapping[str, Unseen], threshold: float, figures: dict[str, object]
) -> Iterator[Table]:
    """What the bundle is worth."""
    rows: list[tuple[str, ...]] = []
    for says, of in _measures(model, threshold).items():
        found = {site: of(one) for site, one in people.items()}
        rows.append((says, *found.values()))
    cost = judging.auc_of(people["A"]).value - judging.auc_of(people["B"]).value
    ceiling = CEILINGS[OUTCOME][OWN_CHANNELS]
    share = (judging.auc_of(people["A"]).value - 0.5) / (ceiling - 0.5)
    seconds = judging.seconds_a_case(model, people["A"])
    rows += [
        (f"share of the margin of text and variables together (AUC {ceiling:.3f} at A)", f"{share:.3f}", ""),
        ("AUC at A less AUC at B", f"{cost:.3f}", ""),
        ("seconds a case, all contributions included", f"{seconds:.3f}", ""),
    ]
    figures["shipped"] = {name: {"A": a, "B": b} for name, a, b in rows}
    yield Table(
        "What ships: the mean of the five networks of a cross-validation, calibrated by its out-of-fold patients.",
        Section(("shipped", "A", "B"), rows),
    )


def _measures(model: Deterioration, threshold: float) -> Mapping[str, Callable[[Unseen], str]]:
    def as_meant(one: Unseen) -> str:
        return judging.auc_of(one, judging.as_meant(model, one)).text()

    def without_text(one: Unseen) -> str:
        p = judging.without_text(model, one)
        return f"{judging.auc_of(one, p).text()}, {statistics.calibration(one.labels, p).slope:.3f}"

    def point(one: Unseen) -> str:
        at = statistics.operating_point(one.labels, one.p, threshold)
        return f"{at.sensitivity:.3f}, {at.specificity:.3f}"

    def slope(one: Unseen) -> str:
        found = statistics.calibration(one.labels, one.p)
        return f"{found.slope:.3f}, {found.intercept:.3f}, {found.brier:.3f}"

    return {
        "AUC": lambda one: judging.auc_of(one).text(),
        "AUC, were every request read without an error": as_meant,
        "AUC, slope, were there no request": without_text,
        "AUC less that of THRIVE, where its inputs are known": lambda one: judging.better_than(
            one, judging.thrive_of(one)
        ).estimate.text(),
        "calibration slope, intercept, Brier score": slope,
        f"sensitivity, specificity at {threshold:g}": point,
        "outcome": lambda one: f"{np.mean(one.labels):.3f}",
        "symptoms told right in the requests": lambda one: f"{np.mean(list(explaining.read_right(one).values())):.3f}",
    }


def _explained(model: Deterioration, people: Mapping[str, Unseen], figures: dict[str, object]) -> Iterator[Table]:
    """Symptoms present and denied; which inputs matter."""
    turned = explaining.turned_by_denial(model, people["A"])
    rows = [(name, f"{a:+.3f}", f"{b:+.3f}", f"{share:.2f}") for name, (a, b, share) in turned.items()]
    yield Table(
        "What a symptom does to the probability where the request affirms or denies it, at A.",
        Section(("symptom", "present", "denied", "share of patients in whom the two turn"), rows),
    )
    found = explaining.importance(model, people["A"])
    first = sorted(found.items(), key=lambda item: -item[1][0])[:MOST_IMPORTANT]
    yield Table(
        f"Permutation importance at A, the largest {MOST_IMPORTANT}; {explaining.REPEATS} repeats.",
        Section(("input", "fall of the AUC", "deviation"), [(name, f"{a:.4f}", f"{b:.4f}") for name, (a, b) in first]),
    )
    right = {site: explaining.read_right(one) for site, one in people.items()}
    yield Table("Symptoms told right.", Section(("symptom", *right), _by_symptom(right)))
    figures["denial"], figures["importance"], figures["symptoms told right"] = turned, found, right


def _by_symptom(right: Mapping[str, Mapping[str, float]]) -> Sequence[tuple[str, ...]]:
    names = next(iter(right.values()))
    return [(name, *(f"{shares[name]:.3f}" for shares in right.values())) for name in names]


def _few(runs: Runs, figures: dict[str, object]) -> Iterator[Table]:
    """The same from as few patients as the paper had."""
    for table in _arms(runs, figures, "few"):
        yield Table(f"Learned from 426 patients. {table.says}", table.section)
