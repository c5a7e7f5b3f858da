"""What a report shows of a model of slices beside what every report does: by finding, scanner error and slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dicomnode.train.experiment.design import Shipped
from dicomnode.train.outputs.figures import Figures, by_range, titles_of
from dicomnode.train.outputs.output import Section, figures_of_all
from dicomnode.train.report import figure_row
from dicomnode.train.results import Results
from dicomnode.train.slices.learner import SliceLearner
from dicomnode.train.statistics import RESAMPLES
from dicomnode.zoo.calibration import brain_offset_hu

SHOWN = ("auc", "auc_large", "dice", "dice_large", "pixel_precision", "false_ml")
OF_A_FINDING = ("auc", "dice", "dice_large")
OFFSETS_HU = (-15.0, 0.0, 15.0)
SPACING_EDGES_MM = (0.0, 2.0, 3.5, 8.0)
SPACING = "spacing_mm"


def tables(shipped: Shipped) -> list[Section]:
    """The figures of each finding, where every scanner is off by some HU, and by the distance of slices.

    Raises
    ------
    TypeError : what ships reads no slices.
    """
    learner = shipped.learner
    if not isinstance(learner, SliceLearner):
        raise TypeError(f"{learner.name} reads no slices")
    shown = [figure for figure in figures_of_all(learner.outputs) if figure.key in SHOWN]
    titles = titles_of(shown)
    offsets = [(f"{offset:+g} HU", *_row(_shifted(learner, shipped, offset), shown)[1:]) for offset in OFFSETS_HU]
    spacings = [float(np.median(np.abs(np.diff(exam.offsets_mm)))) for exam in shipped.samples]
    by_spacing = by_range(shipped.results.with_columns({SPACING: spacings}), SPACING, SPACING_EDGES_MM)
    slices = [(f"{low:g} to {high:g} mm", *_row(part, shown)) for (low, high), part in by_spacing.items()]
    of_a_finding = [titles[key] for key in OF_A_FINDING]
    return [
        Section(("finding", "exams with it", *of_a_finding), _findings(learner, shipped.results)),
        Section(("calibration offset", *titles.values()), offsets),
        Section(("distance of slices", "exams", *titles.values()), slices),
    ]


def _row(results: Results, shown: Figures) -> tuple[str, ...]:
    return figure_row(results, shown, 1, RESAMPLES)


def _findings(learner: SliceLearner, results: Results) -> Sequence[Sequence[str]]:
    rows = []
    for finding in learner.recipe.planes.findings:
        exam, mask = outputs = learner.outputs_of(finding)
        keys = [exam.prefix + key for key in OF_A_FINDING]
        shown = [figure for figure in figures_of_all(outputs) if figure.key in keys]
        with_it = int((results[mask.truth_ml] > 0).sum())
        rows.append((finding, str(with_it), *_row(results, shown)[1:]))
    return rows


def _shifted(learner: SliceLearner, shipped: Shipped, offset_hu: float) -> Results:
    """Results where every scanner is off by ``offset_hu``, and the exam is read with that error."""
    if not offset_hu:
        return shipped.results
    reference_hu = learner.recipe.planes.reference_hu
    moved = [replace(exam, hu=_read_again(exam.hu + np.int16(offset_hu), reference_hu)) for exam in shipped.samples]
    return learner.judge(shipped.network, moved, progress=shipped.progress)


def _read_again(hu: NDArray[np.int16], reference_hu: float | None) -> NDArray[np.int16]:
    offset_hu = 0.0 if reference_hu is None else brain_offset_hu(hu, reference_hu)
    return np.asarray(np.rint(hu - offset_hu), np.int16)
