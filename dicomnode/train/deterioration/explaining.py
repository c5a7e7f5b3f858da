"""What moves the shipped model: how requests are read, what a denial does, which inputs matter."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from dicomnode.cohort.streams import stream
from dicomnode.train import statistics
from dicomnode.train.deterioration.judging import TOLD, Unseen
from dicomnode.zoo.deterioration.model import Deterioration
from dicomnode.zoo.deterioration.reader import SYMPTOMS, Said
from dicomnode.zoo.deterioration.variables import VARIABLES

REPEATS = 30
"""Of each shuffle."""


def read_right(people: Unseen) -> Mapping[str, float]:
    """Share of the patients of whom the reader tells each symptom right."""
    shape = (len(people.labels), len(SYMPTOMS), len(TOLD))
    read, truth = people.read.view(shape), people.meant.view(shape)
    given, said = (torch.cat([1.0 - part.sum(-1, keepdim=True), part], -1).argmax(-1) for part in (read, truth))
    share = (given == said).double().mean(dim=0)
    return dict(zip(SYMPTOMS, share.tolist(), strict=True))


def turned_by_denial(model: Deterioration, people: Unseen) -> Mapping[str, tuple[float, float, float]]:
    """What a symptom does to the probability where it is present, and where it is denied, in the same patients.

    Returns
    -------
    Symptom -> mean change where present, where denied, and the share of patients in whom the two have opposite signs.
    """
    found = {}
    for place, name in enumerate(SYMPTOMS):
        with torch.inference_mode():
            silent, present, denied = (
                model.probabilities(people.variables, _with(people.meant, place, said))
                for said in (None, Said.PRESENT, Said.DENIED)
            )
        first, second = (present - silent), (denied - silent)
        found[name] = (float(first.mean()), float(second.mean()), float((first * second < 0).double().mean()))
    return found


def _with(features: torch.Tensor, place: int, said: Said | None) -> torch.Tensor:
    changed = features.clone().view(len(features), len(SYMPTOMS), len(TOLD))
    changed[:, place] = 0.0
    if said is not None:
        changed[:, place, TOLD.index(said)] = 1.0
    return changed.reshape(len(features), -1)


def importance(model: Deterioration, people: Unseen) -> dict[str, tuple[float, float]]:
    """By how much the AUC falls when one input is shuffled among the patients: mean and deviation over the repeats."""
    symptoms = {f"request: {label}": [place] for place, label in enumerate(SYMPTOMS.values())}
    symptoms["request: all"] = list(range(len(SYMPTOMS)))
    of_variables = {name: _fall(model, people, [place], []) for place, name in enumerate(VARIABLES)}
    return of_variables | {name: _fall(model, people, [], places) for name, places in symptoms.items()}


def _fall(model: Deterioration, people: Unseen, variables: list[int], symptoms: list[int]) -> tuple[float, float]:
    whole = statistics.auc(people.labels, people.p)
    falls = []
    for repeat in range(REPEATS):
        order = torch.from_numpy(stream(repeat, "importance").permutation(len(people.labels)))
        numbers, text = people.variables.clone(), people.read.clone().view(len(order), len(SYMPTOMS), -1)
        numbers[:, variables] = people.variables[order][:, variables]
        text[:, symptoms] = text[order][:, symptoms]
        with torch.inference_mode():
            p = model.probabilities(numbers, text.reshape(len(order), -1)).numpy()
        falls.append(whole - statistics.auc(people.labels, p))
    return float(np.mean(falls)), float(np.std(falls))
