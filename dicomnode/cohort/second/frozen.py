"""Ceilings of the second version's outcomes, as ``dicomnode cohort report`` finds them: frozen with the cohort.

AUC of the best predictor from some channels alone at site A (:mod:`dicomnode.cohort.ceilings`).
"""

from __future__ import annotations

from collections.abc import Mapping

CEILINGS: Mapping[str, Mapping[str, float]] = {}
"""By outcome and channels (joined by ``+``); ``oracle`` is all that can be known."""
