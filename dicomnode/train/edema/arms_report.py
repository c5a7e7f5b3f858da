"""The arms of the experiment, each from several seeds, side by side and against each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

import numpy as np

from dicomnode.train.edema.experiment import (
    FUSED,
    HEADS_ALONE,
    IMAGE,
    MASKED,
    MEAN,
    NO_ATTENTION,
    NO_MIXER,
    RANDOM,
    RECORD,
)
from dicomnode.train.edema.judging import HALF, NONE, figure_of, lost_figure
from dicomnode.train.experiment.arms import Runs
from dicomnode.train.outputs.figures import Figure, by_group, mean_differences
from dicomnode.train.outputs.output import Section
from dicomnode.train.results import SITE, Results
from dicomnode.train.statistics import Difference, Estimate, bootstrap

RESAMPLES = 200
COLUMNS = ("score", HALF, NONE)
PAIRS = (
    (FUSED, IMAGE),
    (FUSED, RECORD),
    (FUSED, NO_ATTENTION),
    (FUSED, NO_MIXER),
    (FUSED, MEAN),
    (HEADS_ALONE, RANDOM),
    (HEADS_ALONE, MASKED),
)
"""A minus B."""


def arms_tables(runs: Runs, figures: dict[str, object]) -> Iterator[tuple[str, Section]]:
    """A sentence and a table each; nothing where nothing was trained.

    Parameters
    ----------
    figures : all numbers are put there, too.
    """
    sites = sorted({site for results in runs.values() for site in by_group(results, SITE)})
    for site in sites:
        own = {run: by_group(results, SITE)[site] for run, results in runs.items()}
        yield _values(own, site, figures)
        yield _differences(own, site, figures)


def _values(runs: Runs, site: str, figures: dict[str, object]) -> tuple[str, Section]:
    names = list(dict.fromkeys(arm for _, arm in runs))
    told = {name: [_mean(_of(runs, name), column) for column in COLUMNS] for name in names}
    figures[f"arms, {site}"] = {name: [asdict(one) for one in found] for name, found in told.items()}
    rows = [(name, *(one.text() for one in found)) for name, found in told.items()]
    says = f"AUC of each arm at site {site}, mean of the seeds."
    return says, Section(("arm", "whole record", "half of it missing", "all of it missing"), rows)


def _of(runs: Runs, name: str) -> Sequence[Results]:
    return [results for (_, arm), results in sorted(runs.items()) if arm == name]


def _mean(trainings: Sequence[Results], column: str) -> Estimate:
    """Of the trainings of an arm; every resample draws the same patients for all."""
    figure = figure_of(column)
    return bootstrap(
        lambda at: float(np.mean([figure.value(one, at) for one in trainings])), trainings[0].patients, 1, RESAMPLES
    )[0]


def _differences(runs: Runs, site: str, figures: dict[str, object]) -> tuple[str, Section]:
    found: dict[str, Difference] = {}
    for a, b in PAIRS:
        found |= _difference(runs, (a, b), f"{a} minus {b}", figure_of())
    for column, says in ((HALF, "half"), (NONE, "all")):
        found |= _difference(
            runs,
            (MEAN, FUSED),
            f"lost where {says} of the record is missing: {MEAN} minus {FUSED}",
            lost_figure(column),
        )
    figures[f"differences, {site}"] = {says: asdict(one) for says, one in found.items()}
    rows = [(says, one.estimate.text(), f"{one.p_value:.4f}") for says, one in found.items()]
    says = f"Arms against each other at site {site}, mean of the seeds."
    return says, Section(("difference of AUC", "value", "p"), rows)


def _difference(runs: Runs, arms: tuple[str, str], says: str, figure: Figure) -> Mapping[str, Difference]:
    a, b = arms
    seeds = sorted({seed for seed, _ in runs})
    pairs = [(runs[seed, a], runs[seed, b]) for seed in seeds if (seed, a) in runs and (seed, b) in runs]
    if not pairs:
        return {}
    known = mean_differences(pairs, (figure,), ("label",), 1, RESAMPLES)
    return {says: known[figure.key]} if figure.key in known else {}
