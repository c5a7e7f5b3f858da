"""One report folder: ``report.json``, ``report.md``, ``results.csv`` and the plots as PNG."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicomnode.errors import ManifestError
from dicomnode.records import RESEARCH_NOTICE
from dicomnode.train import plots, statistics
from dicomnode.train.results import ExamResult, matched, write_results
from dicomnode.train.statistics import Calibration, Difference, Estimate, OperatingPoint

LARGE_ML = 1.0
"""Dice is also given over the exams with at least this much."""
FIGURES: Mapping[str, str] = {
    "auc": "exam AUC",
    "auc_large": f"exam AUC, no blood against at least {LARGE_ML:g} mL",
    "dice": "Dice, mean",
    "dice_large": f"Dice, mean, at least {LARGE_ML:g} mL",
    "pixel_precision": "average precision over voxels, mean",
    "volume_bias_ml": "marked minus true volume in mL, mean",
    "false_ml": "marked without being true in mL, mean",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a report is about.

    Attributes
    ----------
    synthetic : every figure of the report then says so.
    settings : what else shapes the figures, JSON-able.
    """

    title: str
    model: str
    data: str
    synthetic: bool
    seed: int = 1
    resamples: int = statistics.RESAMPLES
    settings: Mapping[str, object] = field(default_factory=dict)


Table = Mapping[str, NDArray[np.float64]]


def _table(results: Sequence[ExamResult]) -> Table:
    """Columns of the results, with the derived ones."""
    names = ("label", "score", "dice", "truth_ml", "marked_ml", "false_ml", "pixel_precision")
    table = {name: np.array([getattr(result, name) for result in results], dtype=float) for name in names}
    table["dice_large"] = np.where(table["truth_ml"] >= LARGE_ML, table["dice"], np.nan)
    # where nothing is marked in an exam without a true voxel, Dice is not defined and the exam says nothing about it
    table["dice"] = np.where(table["truth_ml"] > 0, table["dice"], np.nan)
    table["volume_bias_ml"] = table["marked_ml"] - table["truth_ml"]
    return table


def _figure(name: str, table: Table, indices: NDArray[np.intp]) -> float:
    if name in ("auc", "auc_large"):
        known = indices[np.isfinite(table["label"][indices])]
        small = (table["label"][known] == 1) & (table["truth_ml"][known] < LARGE_ML)
        known = known[~small] if name == "auc_large" else known
        return statistics.auc(table["label"][known], table["score"][known])
    values = table[name][indices]
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else float("nan")


def figures_of(results: Sequence[ExamResult], seed: int, resamples: int) -> dict[str, Estimate]:
    """Every figure of ``FIGURES`` that is defined, with its patient-level bootstrap interval."""
    table, patients = _table(results), [result.patient for result in results]
    made = {
        name: statistics.bootstrap(_bound(name, table), patients, seed, resamples)[0]
        for name in FIGURES
        if np.isfinite(_figure(name, table, np.arange(len(results))))
    }
    return made


def _bound(name: str, table: Table) -> Callable[[NDArray[np.intp]], float]:
    return lambda indices: _figure(name, table, indices)


def differences_of(
    a: Sequence[ExamResult], b: Sequence[ExamResult], seed: int, resamples: int
) -> dict[str, Difference]:
    """A minus B on the exams both have, by the paired bootstrap over patients; AUC also by DeLong.

    Raises
    ------
    ManifestError : the two share no exam or differ about a label.
    """
    a, b = matched(a, b)
    first, second, patients = _table(a), _table(b), [result.patient for result in a]
    made: dict[str, Difference] = {}
    for name in FIGURES:

        def difference(indices: NDArray[np.intp], name: str = name) -> float:
            return _figure(name, first, indices) - _figure(name, second, indices)

        if np.isfinite(difference(np.arange(len(a)))):
            made[name] = statistics.difference_of(difference, patients, seed, resamples)
    known = np.isfinite(first["label"])
    if "auc" in made:
        made["auc_delong"] = statistics.delong(first["label"][known], first["score"][known], second["score"][known])
    return made


def mean_differences(
    pairs: Sequence[tuple[Sequence[ExamResult], Sequence[ExamResult]]], seed: int, resamples: int
) -> dict[str, Difference]:
    """As :func:`differences_of`, of the mean over several trainings; every resample draws the same patients for all.

    Parameters
    ----------
    pairs : (A, B) of each training; all of the same exams.

    Raises
    ------
    ManifestError : the exams of the trainings differ, or a label does.
    """
    first = [result.id for result in pairs[0][0]]
    both = [matched(matched(pairs[0][0], one)[1], matched(pairs[0][0], other)[1]) for one, other in pairs]
    if any([result.id for result in one] != first for one, _ in both):
        raise ManifestError(["the trainings were not scored on the same exams"])
    tables = [(_table(one), _table(other)) for one, other in both]
    patients = [result.patient for result in pairs[0][0]]
    made: dict[str, Difference] = {}
    for name in FIGURES:

        def difference(indices: NDArray[np.intp], name: str = name) -> float:
            return float(np.mean([_figure(name, a, indices) - _figure(name, b, indices) for a, b in tables]))

        if np.isfinite(difference(np.arange(len(first)))):
            made[name] = statistics.difference_of(difference, patients, seed, resamples)
    return made


def points_of(results: Sequence[ExamResult]) -> tuple[dict[str, OperatingPoint], Calibration | None]:
    """Operating points and calibration; nothing where only one class is present."""
    labels, scores = plots.labels_and_scores(results)
    if len(set(labels)) < 2:
        return {}, None
    points = {
        "0.5": statistics.operating_point(labels, scores, 0.5),
        "Youden": statistics.youden_point(labels, scores),
        "sensitivity 95 %": statistics.sensitivity_point(labels, scores),
    }
    return points, statistics.calibration(labels, scores)


def write_report(
    out: Path,
    about: About,
    results: Sequence[ExamResult],
    history: Sequence[Mapping[str, float]] = (),
    other: tuple[str, Sequence[ExamResult]] | None = None,
) -> Path:
    """Write the report folder.

    Parameters
    ----------
    history : per epoch ``epoch``, ``loss``, ``score``, as ``engine.fit`` gives it.
    other : name and results of a second model, to compare with on the same exams.

    Returns
    -------
    Path of ``report.md``.

    Raises
    ------
    ManifestError : the other model's results share no exam with these.
    """
    out.mkdir(parents=True, exist_ok=True)
    figures = figures_of(results, about.seed, about.resamples)
    points, agreement = points_of(results)
    differences = differences_of(results, other[1], about.seed, about.resamples) if other else {}
    content = {
        "notice": RESEARCH_NOTICE,
        "about": asdict(about),
        "exams": len(results),
        "patients": len({result.patient for result in results}),
        "positive": sum(result.label == 1 for result in results),
        "figures": {name: asdict(figure) for name, figure in figures.items()},
        "operating_points": {name: asdict(point) for name, point in points.items()},
        "calibration": asdict(agreement) if agreement else None,
        "compared_with": other[0] if other else None,
        "differences": {name: asdict(difference) for name, difference in differences.items()},
        "history": [dict(entry) for entry in history],
    }
    write_results(out / "results.csv", results)
    (out / "report.json").write_text(json.dumps(_finite(content), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    drawn = _draw(out, about, results, history, other)
    text = _markdown(about, content, figures, points, agreement, differences, other, drawn)
    (out / "report.md").write_text(text, encoding="utf-8")
    return out / "report.md"


def _finite(value: object) -> object:
    """JSON knows no NaN: what is not defined becomes null."""
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def _draw(
    out: Path,
    about: About,
    results: Sequence[ExamResult],
    history: Sequence[Mapping[str, float]],
    other: tuple[str, Sequence[ExamResult]] | None,
) -> list[str]:
    sets = {about.model: results, **({other[0]: other[1]} if other else {})}
    drawn = []
    if len(set(plots.labels_and_scores(results)[0])) == 2:
        plots.roc_plot(out / "roc.png", sets, about.synthetic)
        plots.reliability_plot(out / "reliability.png", sets, about.synthetic)
        drawn += ["roc.png", "reliability.png"]
    if any(result.truth_ml > 0 for result in results):
        plots.dice_plot(out / "dice_over_volume.png", sets, about.synthetic)
        drawn.append("dice_over_volume.png")
    if history:
        plots.training_plot(out / "training.png", history, about.synthetic)
        drawn.append("training.png")
    return drawn


def _markdown(
    about: About,
    content: Mapping[str, object],
    figures: Mapping[str, Estimate],
    points: Mapping[str, OperatingPoint],
    agreement: Calibration | None,
    differences: Mapping[str, Difference],
    other: tuple[str, Sequence[ExamResult]] | None,
    drawn: Sequence[str],
) -> str:
    kind = f" ({plots.SYNTHETIC})" if about.synthetic else ""
    says = "All figures come from **synthetic** exams; they say nothing about accuracy on patients." * about.synthetic
    parts = [
        f"# {about.title}{kind}",
        f"{RESEARCH_NOTICE}. {says}".strip(),
        f"Model: {about.model}. Data: {about.data}: {content['exams']} exams of {content['patients']} patients, "
        f"{content['positive']} positive. Intervals: 95 %, bootstrap over patients, {about.resamples} resamples, seed "
        f"{about.seed}.",
        table_text(
            (f"figure{kind}", "value (95 % interval)"),
            [(FIGURES[name], figure.text()) for name, figure in figures.items()],
        ),
    ]
    if agreement:
        numbers = [_number(value) for value in asdict(agreement).values()]
        parts.append(table_text((f"Brier score{kind}", "calibration slope", "calibration intercept"), [numbers]))
        header: tuple[str, ...] = (f"operating point{kind}", "threshold", "sensitivity", "specificity", "PPV", "NPV")
        parts.append(
            table_text(header, [(name, *map(_number, asdict(point).values())) for name, point in points.items()])
        )
    if other:
        header = (f"{about.model} minus {other[0]}{kind}", "difference (95 % interval)", "p")
        named = {**FIGURES, "auc_delong": "exam AUC, DeLong"}
        rows = [(named[name], item.estimate.text(), _p_value(item.p_value)) for name, item in differences.items()]
        parts.append(table_text(header, rows))
    parts += [f"![{name.removesuffix('.png').replace('_', ' ')}{kind}]({name})" for name in drawn]
    return "\n\n".join(parts) + "\n"


def _number(value: float) -> str:
    return "not defined" if np.isnan(value) else f"{value:.3f}"


def _p_value(value: float) -> str:
    return "not defined" if np.isnan(value) else f"{value:.4f}"


def table_text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
