"""Ceilings of the second version's outcomes, as ``dicomnode cohort report`` finds them: frozen with the cohort.

AUC of the best predictor from some channels alone at site A (:mod:`dicomnode.cohort.ceilings`).
"""

from __future__ import annotations

from collections.abc import Mapping

CEILINGS: Mapping[str, Mapping[str, float]] = {
    "prognosis_bad": {
        "image": 0.782,
        "text": 0.659,
        "variables": 0.829,
        "text+variables": 0.841,
        "image+text": 0.814,
        "image+variables": 0.881,
        "image+text+variables": 0.901,
        "oracle": 0.901,
    },
    "expansion": {
        "image": 0.681,
        "text": 0.595,
        "variables": 0.688,
        "text+variables": 0.717,
        "image+text": 0.725,
        "image+variables": 0.787,
        "image+text+variables": 0.822,
        "oracle": 0.822,
    },
    "deterioration": {
        "image": 0.669,
        "text": 0.645,
        "variables": 0.767,
        "text+variables": 0.843,
        "image+text": 0.725,
        "image+variables": 0.785,
        "image+text+variables": 0.859,
        "oracle": 0.859,
    },
    "oedema": {
        "image": 0.832,
        "text": 0.606,
        "variables": 0.784,
        "text+variables": 0.788,
        "image+text": 0.843,
        "image+variables": 0.893,
        "image+text+variables": 0.899,
        "oracle": 0.899,
    },
    "haemorrhage_followup": {
        "image": 0.809,
        "text": 0.572,
        "variables": 0.703,
        "text+variables": 0.720,
        "image+text": 0.843,
        "image+variables": 0.886,
        "image+text+variables": 0.910,
        "oracle": 0.910,
    },
}
"""By outcome and channels (joined by ``+``); ``oracle`` is all that can be known."""
