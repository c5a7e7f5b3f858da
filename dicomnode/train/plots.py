"""Plots of a report. Every figure made from synthetic exams says so in its title."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dicomnode.train import statistics
from dicomnode.train.results import Floats

Pair = tuple[Floats, Floats]
"""Two numbers of each exam."""
SYNTHETIC = "synthetic"
SIZE_INCH = (5.2, 4.4)
DPI = 110
SMALLEST_ML = 0.05
"""Volumes are drawn on a logarithmic axis; smaller ones stand here."""


@contextmanager
def _plot(path: Path, title: str, synthetic: bool) -> Iterator[Axes]:
    # pyplot keeps global state and looks for a screen; a figure with its own canvas does neither
    figure = Figure(figsize=SIZE_INCH, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title_of(title, synthetic), fontsize=10)
    axes.grid(alpha=0.3)
    yield axes
    figure.savefig(path, metadata={"Title": title_of(title, synthetic)})


def title_of(title: str, synthetic: bool) -> str:
    """The title of a plot, which is also written into the PNG's metadata."""
    return f"{title} ({SYNTHETIC} exams)" if synthetic else title


def roc_plot(path: Path, sets: Mapping[str, Pair], synthetic: bool) -> None:
    """ROC curve of each named (labels, scores)."""
    with _plot(path, "ROC", synthetic) as axes:
        axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
        for name, (labels, scores) in sets.items():
            alarms, hits, _ = statistics.roc_curve(labels, scores)
            axes.plot(alarms, hits, label=f"{name}, AUC {statistics.auc(labels, scores):.3f}")
        axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.01, 1.0), ylim=(0.0, 1.01))
        axes.legend(loc="lower right", fontsize=8)


def reliability_plot(path: Path, sets: Mapping[str, Pair], synthetic: bool) -> None:
    """Of each named (labels, scores): observed share over mean probability in bins of equally many exams."""
    with _plot(path, "Reliability", synthetic) as axes:
        axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
        for name, pair in sets.items():
            mean, share, _ = statistics.reliability_curve(*pair)
            axes.plot(mean, share, marker="o", markersize=4, label=name)
        axes.set(xlabel="mean probability", ylabel="observed share", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.legend(loc="upper left", fontsize=8)


def dice_plot(path: Path, sets: Mapping[str, Pair], synthetic: bool) -> None:
    """Of each named (true volumes in mL, Dice): Dice of each exam over its true volume."""
    with _plot(path, "Dice over true volume", synthetic) as axes:
        for name, (volumes, dice) in sets.items():
            axes.scatter(np.maximum(volumes, SMALLEST_ML), dice, s=14, alpha=0.7, label=name)
        axes.set_xscale("log")
        axes.set(xlabel="true volume, mL", ylabel="Dice", ylim=(-0.02, 1.02))
        axes.legend(loc="lower right", fontsize=8)


def value_plot(
    path: Path,
    sets: Mapping[str, Pair],
    quantity: str,
    synthetic: bool,
    across: tuple[str, str] = ("true", "given"),
) -> None:
    """Of each named pair, such as (true, given): the second over the first, beside the line on which they are equal."""
    with _plot(path, quantity[:1].upper() + quantity[1:], synthetic) as axes:
        values = np.concatenate([part for pair in sets.values() for part in pair])
        ends = [float(values.min()), float(values.max())]
        axes.plot(ends, ends, color="grey", linewidth=0.8, linestyle=":")
        for name, (first, second) in sets.items():
            axes.scatter(first, second, s=14, alpha=0.7, label=name)
        axes.set(xlabel=f"{quantity}: {across[0]}", ylabel=f"{quantity}: {across[1]}")
        axes.legend(loc="upper left", fontsize=8)


def training_plot(path: Path, history: Sequence[Mapping[str, float]], synthetic: bool) -> None:
    """Training loss and validation score over the epochs."""
    with _plot(path, "Training", synthetic) as axes:
        epochs = [entry["epoch"] for entry in history]
        axes.plot(epochs, [entry["loss"] for entry in history], label="training loss", marker=".")
        axes.set(xlabel="epoch", ylabel="loss")
        right = axes.twinx()
        right.plot(
            epochs, [entry["score"] for entry in history], color="tab:orange", label="validation score", marker="."
        )
        right.set_ylabel("validation score")
        lines = [*axes.get_lines(), *right.get_lines()]
        axes.legend(lines, [str(line.get_label()) for line in lines], fontsize=8)
