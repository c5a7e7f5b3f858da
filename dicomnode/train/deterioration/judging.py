"""What the shipped bundle is worth: figures of patients that nothing was learned from."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dicomnode.clinical.scores.points import thrive
from dicomnode.cohort.edition import Version
from dicomnode.cohort.patients import Patient
from dicomnode.cohort.second.words.indication import write_indication
from dicomnode.cohort.versions import RECIPES
from dicomnode.records import ContextSource, ContextText, ContextValue, Inputs, PatientContext
from dicomnode.train import statistics
from dicomnode.train.deterioration.patients import OUTCOME, Group, drawn, variables_of
from dicomnode.train.statistics import Difference, Estimate
from dicomnode.zoo.deterioration.model import Deterioration
from dicomnode.zoo.deterioration.reader import SYMPTOMS, Said, features_of
from dicomnode.zoo.deterioration.variables import VARIABLES, numbers_of_manifest

RESAMPLES, TIMED = 200, 100
THRIVE = ("nihss", "age", "hypertension", "diabetes", "atrial_fibrillation")
TOLD = list(Said)[1:]
"""What may be said of a symptom, in the order of the features."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """Unseen patients of one site with what the bundle says.

    Attributes
    ----------
    labels : (patients,) 0 or 1. p : (patients,) calibrated.
    variables, read, meant : (patients, ...) the network's inputs; the request as read, and as it was meant.
    texts : requests.
    """

    patients: Sequence[Patient]
    labels: NDArray[np.float64]
    p: NDArray[np.float64]
    variables: torch.Tensor
    read: torch.Tensor
    meant: torch.Tensor
    texts: Sequence[str]

    @property
    def names(self) -> list[int]:
        """Who is drawn in a bootstrap."""
        return list(range(len(self.labels)))


def unseen(model: Deterioration, group: Group) -> Unseen:
    """Draw unseen patients and ask the model about all of them."""
    patients = list(drawn(group))
    texts = [write_indication(patient) for patient in patients]
    variables = torch.stack([numbers_of_manifest(variables_of(patient)) for patient in patients])
    with torch.inference_mode():
        read = features_of(model.network.reader, texts)
        p = model.probabilities(variables, read).double().numpy()
    return Unseen(
        patients=patients,
        labels=np.array([RECIPES[Version.TWO].draw_outcomes(one).labels[OUTCOME] for one in patients], np.float64),
        p=p,
        variables=variables,
        read=read,
        meant=torch.stack([meant(patient) for patient in patients]),
        texts=texts,
    )


def meant(patient: Patient) -> torch.Tensor:
    """(FEATURES,) what a perfect reader reads in the request of a patient."""
    rows = [[float(str(patient.mentions[name]) == said) for said in TOLD] for name in SYMPTOMS]
    return torch.tensor(rows).reshape(-1)


def auc_of(people: Unseen, p: NDArray[np.float64] | None = None) -> Estimate:
    """AUC with its interval, of what the bundle says or of other probabilities."""
    values = people.p if p is None else p
    figure = statistics.bootstrap(lambda at: statistics.auc(people.labels[at], values[at]), people.names, 1, RESAMPLES)
    return figure[0]


def better_than(people: Unseen, other: NDArray[np.float64]) -> Difference:
    """AUC of the bundle less that of another score, on the patients that have one; NaN: has none."""
    known = np.flatnonzero(np.isfinite(other))
    labels = people.labels[known]
    return statistics.compare(
        lambda values, at: statistics.auc(labels[at], values[at]),
        people.p[known],
        other[known],
        known.tolist(),
        1,
        RESAMPLES,
    )


def thrive_of(people: Unseen) -> NDArray[np.float64]:
    """(patients,) THRIVE; NaN where an input of it is not recorded."""
    at = [list(VARIABLES).index(name) for name in THRIVE]
    values = people.variables[:, at].double().numpy()
    known = np.isfinite(values).all(axis=1)
    points = [sum(thrive(*row[:2], *(bool(x) for x in row[2:])).values()) for row in values[known]]
    result: NDArray[np.float64] = np.full(len(values), np.nan)
    result[known] = points
    return result


def as_meant(model: Deterioration, people: Unseen) -> NDArray[np.float64]:
    """(patients,) what the bundle would say, did it read every request without an error."""
    with torch.inference_mode():
        return np.asarray(model.probabilities(people.variables, people.meant).double().numpy())


def without_text(model: Deterioration, people: Unseen) -> NDArray[np.float64]:
    """(patients,) what the bundle would say, were there no request of anybody."""
    with torch.inference_mode():
        nothing = torch.full_like(people.read, torch.nan)
        return np.asarray(model.probabilities(people.variables, nothing).double().numpy())


def seconds_a_case(model: Deterioration, people: Unseen) -> float:
    """Mean time of a whole answer with its contributions, on one patient at a time."""
    cases = list(_inputs(people))
    started = time.perf_counter()
    with torch.inference_mode():
        for case in cases:
            model(case)
    return (time.perf_counter() - started) / len(cases)


def _inputs(people: Unseen) -> Iterator[Inputs]:
    for patient, text in list(zip(people.patients, people.texts, strict=True))[:TIMED]:
        known = variables_of(patient)
        values = [
            ContextValue(name=name, value=known[read.trained_as], source=ContextSource.FILE)
            for name, read in VARIABLES.items()
            if read.trained_as in known and name != "sex"
        ]
        request = ContextText(section="indication", text=text, source=ContextSource.FILE)
        yield Inputs(context=PatientContext(values=tuple(values), texts=(request,)))
