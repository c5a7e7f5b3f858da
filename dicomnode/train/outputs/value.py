"""An output that is a number: a volume to come, a score of a scale, a grade."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from dicomnode.train import agreement, plots
from dicomnode.train.outputs.figures import Figure, known_pairs
from dicomnode.train.outputs.output import CALIBRATED, Account, Calibration, Output, Section, having, number
from dicomnode.train.results import Floats, Results


class Value(Output):
    """A number.

    Parameters
    ----------
    truth, given : columns: what is true, NaN where not known; what the model gave.
    unit : such as ``mL``; empty for a number without one.
    ordinal : grades in order, such as the modified Rankin scale: judged by rank and by weighted kappa.
    prefix : of its figures' keys and its files' names, for models with several outputs.
    """

    def __init__(
        self, name: str, truth: str, given: str, unit: str = "", *, ordinal: bool = False, prefix: str = ""
    ) -> None:
        self.name, self.truth, self.given, self.prefix = name, truth, given, prefix
        self.axis = f"{name}, {unit}" if unit else name
        self.truths = (truth,)
        error = self._figure("mae", f"{self.axis}: mean absolute error", agreement.mean_absolute_error)
        bias = self._figure("bias", f"{self.axis}: given minus true, mean", agreement.bias)
        ranks = self._figure("rank_correlation", f"{name}: Spearman's correlation", agreement.rank_correlation)
        kappa = self._figure("kappa", f"{name}: kappa, quadratic weights", agreement.weighted_kappa)
        linear = self._figure("correlation", f"{name}: Pearson's correlation", agreement.correlation)
        self.figures = (error, bias, kappa, ranks) if ordinal else (error, bias, linear)

    def _figure(self, key: str, title: str, compute: Callable[[Floats, Floats], float]) -> Figure:
        def known(truth: Floats, given: Floats) -> float:
            return compute(*known_pairs(truth, given))

        return Figure(self.prefix + key, title, (self.truth, self.given), known)

    def _columns(self, results: Results) -> dict[str, str]:
        columns = {self.name: self.given, f"{self.name}, calibrated": self.given + CALIBRATED}
        return {says: column for says, column in columns.items() if column in results.columns}

    def account(self, results: Results) -> Account:
        """Limits of agreement, and the line that what was given lies on."""
        pairs = {
            says: known_pairs(results[self.truth], results[column]) for says, column in self._columns(results).items()
        }
        known = len(pairs[self.name][0])
        content: dict[str, object] = {"known": known}
        rows = []
        for says, pair in pairs.items():
            found = (*agreement.limits_of_agreement(*pair), *agreement.regression(*pair))
            content[says] = dict(zip(("limit_low", "limit_high", "slope", "intercept"), found, strict=True))
            rows.append((says, *map(number, found)))
        header = (self.axis, "limits of agreement, from", "to", "slope", "intercept")
        return Account(f"{self.name} known in {known}", content, (Section(header, rows),))

    def draw(self, out: Path, sets: Mapping[str, Results], synthetic: bool) -> list[str]:
        """Given over true, where the first set has an exam in which both are known."""
        used = having(sets, self.truth, self.given)
        shown = {name: known_pairs(results[self.truth], results[self.given]) for name, results in used.items()}
        if not shown or not len(next(iter(shown.values()))[0]):
            return []
        name = f"{self.prefix}given_over_true.png"
        plots.value_plot(out / name, shown, self.axis, synthetic)
        return [name]

    def calibration(self, results: Results) -> Calibration | None:
        """Slope and intercept by least squares; None where what was given never varies, or falls with the truth."""
        slope, intercept = agreement.regression(*known_pairs(results[self.truth], results[self.given]))
        return {"slope": slope, "intercept": intercept} if np.isfinite(slope) and slope > 0.0 else None

    def calibrated(self, results: Results, by: Calibration) -> Results:
        """Adds the number on that line."""
        return results.with_columns({self.given + CALIBRATED: results[self.given] * by["slope"] + by["intercept"]})
