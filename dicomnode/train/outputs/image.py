"""An output that is an image, judged beside the floor that every prediction must pass: that nothing changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from dicomnode.train import plots
from dicomnode.train.outputs.figures import Figure, known_pairs, mean_of
from dicomnode.train.outputs.output import Account, Output, having
from dicomnode.train.results import Floats, Results

UNCHANGED = "unchanged_"
"""Begins the names of the columns that hold the same measures of the image that went in."""
MEASURES = {"psnr_db": "PSNR in dB, mean", "ssim": "SSIM, mean"}


class ImageOutput(Output):
    """An image; its columns are those of :func:`dicomnode.train.agreement.image_measures`.

    The same columns, named with ``UNCHANGED``, hold what the image that went in would reach as a prediction.

    Parameters
    ----------
    unit : of the mean absolute error.
    prefix : of its columns, its figures' keys and its files' names, for models with several outputs.
    """

    def __init__(self, name: str, unit: str = "HU", prefix: str = "") -> None:
        self.name, self.unit, self.prefix = name, unit, prefix
        self.truths = ()
        title = f"{name}: mean absolute error in {unit}"
        self.pair = (f"{prefix}mae", f"{prefix}{UNCHANGED}mae")
        self.figures = (
            Figure(self.pair[0], title, self.pair[:1], mean_of),
            Figure(f"{self.pair[0]}_gain", f"{title}, less than unchanged", self.pair, _gain),
            *(self._mean(key, f"{name}: {says}") for key, says in MEASURES.items()),
        )

    def _mean(self, key: str, title: str) -> Figure:
        compute: Callable[..., float] = mean_of
        return Figure(self.prefix + key, title, (self.prefix + key,), compute)

    def account(self, results: Results) -> Account:
        """Nothing beside the figures."""
        return Account()

    def draw(self, out: Path, sets: Mapping[str, Results], synthetic: bool) -> list[str]:
        """Error of the prediction over that of the unchanged image, where the first set has an exam with both."""
        used = having(sets, *self.pair)
        shown = {name: known_pairs(results[self.pair[1]], results[self.pair[0]]) for name, results in used.items()}
        if not shown or not len(next(iter(shown.values()))[0]):
            return []
        name = f"{self.prefix}error_over_unchanged.png"
        plots.value_plot(
            out / name, shown, f"mean absolute error in {self.unit}", synthetic, ("unchanged", "predicted")
        )
        return [name]


def _gain(error: Floats, unchanged: Floats) -> float:
    return mean_of(np.asarray(unchanged - error))
