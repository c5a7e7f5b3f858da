"""The report of the experiment: reader, arms, and what the shipped bundle is worth on unseen patients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from dicomnode.records import RESEARCH_NOTICE
from dicomnode.train import plots
from dicomnode.train.edema import judging, shipped
from dicomnode.train.edema.arms_report import arms_tables
from dicomnode.train.edema.experiment import Trained
from dicomnode.train.edema.judging import HALF, NONE
from dicomnode.train.edema.shipped import Unseen
from dicomnode.train.fused.document import Table, write_document
from dicomnode.train.outputs.figures import figures_of
from dicomnode.train.outputs.output import Section
from dicomnode.train.report import NO_ACCURACY
from dicomnode.train.results import Results
from dicomnode.train.statistics import auc, calibration, operating_point
from dicomnode.zoo.bundle import load_manifest
from dicomnode.zoo.edema.model import Edema

COMMAND = "python -m dicomnode.train.edema"
MOST_IMPORTANT = 15
RESAMPLES = 200


def write(out: Path, trained: Trained, model: Edema, people: Mapping[str, Unseen]) -> Path:
    """Write ``report.md``, ``figures.json`` and a plot into a folder.

    Parameters
    ----------
    people : unseen patients by site.

    Returns
    -------
    Path of ``report.md``.
    """
    out.mkdir(parents=True, exist_ok=True)
    figures: dict[str, object] = {}
    tables = [
        *_readings(trained, figures),
        *(Table(says, section) for says, section in arms_tables(trained.runs, figures)),
        *_shipped(trained, model, people, figures),
        *_important(model, people, figures),
    ]
    plots.reliability_plot(out / "reliability.png", _reliability(people), synthetic=True)
    closing = ["![Reliability of the shipped bundle](reliability.png)"]
    return write_document(out, _opening(trained, people), tables, figures, closing)


def _opening(trained: Trained, people: Mapping[str, Unseen]) -> Iterator[str]:
    yield "# Brain oedema: head, record, and both (synthetic)"
    yield f"{RESEARCH_NOTICE}. {NO_ACCURACY} A re-implementation after AttentionMixer; no figure here is theirs."
    seeds = ", ".join(map(str, sorted({seed for seed, _ in trained.runs})))
    unseen = " and ".join(f"{len(one.samples)} of site {site}" for site, one in people.items())
    marked, telling, count = trained.counts
    yield (
        f"Made by `{COMMAND} --out FOLDER`: of synthetic heads of site A the reader of heads learned to mark in "
        f"{marked} and to tell facts in {telling} others; the fusions learned from these {telling} and from {count} "
        f"patients without an image, of whose heads a reading was drawn with the reader's errors. Unseen are {unseen}. "
        f"Seeds of the arms: {seeds or 'none trained'}. AUCs are means over the AUC within each arm of the cohort, "
        f"unless another is named. Intervals: 95 %, paired bootstrap over patients."
    )


def _readings(trained: Trained, figures: dict[str, object]) -> Iterator[Table]:
    rows = [(name, f"{share:.2f}") for name, share in trained.told.items()]
    figures["facts told"] = dict(trained.told)
    says = "What the reader tells of unseen heads of site A: share of the variance of each fact."
    yield Table(says, Section(("fact", "explained"), rows))


def _reliability(people: Mapping[str, Unseen]) -> Mapping[str, plots.Pair]:
    return {f"site {site}": (one.results["label"], one.results["score"]) for site, one in people.items()}


def _shipped(
    trained: Trained, model: Edema, people: Mapping[str, Unseen], figures: dict[str, object]
) -> Iterator[Table]:
    """What the bundle is worth."""
    threshold = load_manifest(trained.out / "bundle").scores[0].threshold or 0.5
    columns = {site: dict(_measured(one.results, threshold)) for site, one in people.items()}
    rows = [(says, *(found[says] for found in columns.values())) for says in next(iter(columns.values()))]
    best = judging.ceilings()
    own = judging.within_arms(*(people["A"].results[name] for name in ("label", "score", "arm")))
    share = (own - 0.5) / (best["image and record"] - 0.5)
    seconds = shipped.seconds_a_case(model, people["A"])
    rest = [
        *((f"best from {channels} at A (cohort)", f"{value:.3f}") for channels, value in best.items()),
        ("share of the margin of image and record", f"{share:.3f}"),
        ("seconds a case, 30 slices of 512 x 512, all contributions and measures included", f"{seconds:.2f}"),
    ]
    rows += [(says, value, *[""] * (len(columns) - 1)) for says, value in rest]
    figures["shipped"] = columns | {"ceilings": dict(best), "share_of_margin": share, "seconds": seconds}
    says = "What ships: the mean of the five fusions of a cross-validation, calibrated by its out-of-fold patients."
    yield Table(says, Section(("shipped", *columns), rows))


def _measured(results: Results, threshold: float) -> Iterator[tuple[str, str]]:
    titles = {"score": "AUC", HALF: "AUC, half of the record missing", NONE: "AUC, the whole record missing"}
    for column, says in titles.items():
        figure = judging.figure_of(column)
        yield says, figures_of(results, (figure,), 1, RESAMPLES)[figure.key].text()
    label, score = results["label"], results["score"]
    yield "AUC in each arm", ", ".join(f"{arm} {value:.2f}" for arm, value in judging.by_arm(results).items())
    yield "AUC over all patients; who knows the arm alone", f"{auc(label, score):.3f}; {judging.arm_alone(results):.3f}"
    oracle = judging.within_arms(label, results["oracle"], results["arm"])
    yield "AUC of all that can be known of these patients, their requests included", f"{oracle:.3f}"
    for column, says in {"score": "", HALF: ", half missing", NONE: ", all missing"}.items():
        found = calibration(label, results[column])
        told = f"{found.slope:.3f}, {found.intercept:.3f}, {found.brier:.3f}"
        yield f"calibration slope, intercept, Brier score{says}", told
    point = operating_point(label, score, threshold)
    yield f"sensitivity, specificity at {threshold:g}", f"{point.sensitivity:.3f}, {point.specificity:.3f}"
    yield "oedema", f"{np.mean(label):.3f}"


def _important(model: Edema, people: Mapping[str, Unseen], figures: dict[str, object]) -> Iterator[Table]:
    found = shipped.importance(model, people["A"])
    figures["importance"] = found
    first: Sequence[tuple[str, tuple[float, float]]] = sorted(found.items(), key=lambda item: -item[1][0])
    rows = [(name, f"{a:.4f}", f"{b:.4f}") for name, (a, b) in first[:MOST_IMPORTANT]]
    says = f"Permutation importance at A, the largest {MOST_IMPORTANT}; {shipped.REPEATS} repeats."
    yield Table(says, Section(("input", "fall of the AUC", "deviation"), rows))
