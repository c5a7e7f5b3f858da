"""What the shipped bundle is worth: figures of patients that nothing was learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dicomnode.clinical.scores.points import ich_score
from dicomnode.clinical.variables import Location
from dicomnode.cohort.edition import Version
from dicomnode.cohort.patients import Patient
from dicomnode.cohort.versions import RECIPES
from dicomnode.train import statistics
from dicomnode.train.importers.cohort import ARM
from dicomnode.train.manifest import Split, read_manifest
from dicomnode.train.prognosis.experiment import Trained
from dicomnode.train.prognosis.measured import from_variables
from dicomnode.train.prognosis.patients import OF_COHORT, groups_of, patient_of
from dicomnode.train.prognosis.reader import STATES, SYMPTOMS, load_taught, right_share
from dicomnode.train.prognosis.ship import scores_of
from dicomnode.train.results import Results
from dicomnode.train.statistics import Difference
from dicomnode.train.tabular import ExamTensors
from dicomnode.zoo.prognosis.model import Known, Prognosis

RESAMPLES, ASKED, REQUESTS, LOGISTIC, ICH = 200, 30, 2000, "logistic", "ich_score"
ORACLE = "oracle"


class Calibrated(torch.nn.Module):
    """Log odds of a bundle as it tells them.

    Parameters
    ----------
    model : of the bundle.
    """

    def __init__(self, model: Prognosis) -> None:
        super().__init__()
        self.network, self.slope, self.intercept = model.network, model.slope, model.intercept

    def forward(
        self, features: torch.Tensor, facts: torch.Tensor, variables: torch.Tensor, text: torch.Tensor
    ) -> torch.Tensor:
        """(patients,)"""
        logits: torch.Tensor = self.slope * self.network(features, facts, variables, text) + self.intercept
        return logits


@dataclass(frozen=True, slots=True)
class Unseen:
    """Unseen patients of one group.

    Attributes
    ----------
    results : ``label``, ``score``, ``score_none``, ``logistic``, ``ich_score`` (NaN where an input is not known),
        ``oracle``.
    """

    samples: Sequence[ExamTensors]
    results: Results


def unseen_of(model: Prognosis, trained: Trained) -> Mapping[str, Unseen]:
    """What a bundle says of the unseen patients, by group.

    Raises
    ------
    ManifestError : exams cannot be used.
    """
    learner, found = trained.learner, {}
    cases = read_manifest(trained.manifests["whole"]).of(Split.TEST)
    samples, _ = learner.samples(cases, trained.out / "features", skip_unusable=False, progress=False)
    for name in dict.fromkeys(case.groups[ARM] for case in cases):
        own = [one for one in samples if one.case.groups[ARM] == name]
        results = learner.judge(Calibrated(model), own, progress=False)
        more = {
            LOGISTIC: scores_of(model.network.logistic, own),
            ICH: [ich_points(one) for one in own],
            ORACLE: [oracle_of(one) for one in own],
        }
        found[name] = Unseen(own, results.with_columns(more))
    return found


def oracle_of(sample: ExamTensors) -> float:
    """The probability that all of image, text and variables give a patient of the experiment."""
    return RECIPES[Version.TWO].draw_outcomes(_patient(sample)).oracle[OF_COHORT]


def _patient(sample: ExamTensors) -> Patient:
    name, _, number = sample.case.id.rpartition("-")
    (group,) = (one for one in groups_of(0, 0, 0, 0) if one.name == name)
    return patient_of(group, int(number))


def told_right(trained: Trained, people: Unseen) -> float:
    """Share of what requests say of symptoms that the reader of texts tells right."""
    taught, vocabulary = load_taught(trained.reader)
    asked = people.samples[:REQUESTS]
    said = torch.tensor([[STATES.index(_patient(one).mentions[name]) for name in SYMPTOMS] for one in asked])
    return right_share(taught, vocabulary.encoded([trained.learner.text_of(one.case) for one in asked]), said)


def ich_points(sample: ExamTensors) -> float:
    """ICH Score from what the node has measured and what is recorded; NaN where age, GCS or ventricles are open."""
    known, bleed = sample.case.variables, from_variables(dict(sample.case.variables))
    if "gcs" not in known or bleed.ventricles == 0.5:
        return float("nan")
    deep = sample.tensors["facts"][5] > 0.5
    place = Location.INFRATENTORIAL if deep else Location.DEEP
    points = ich_score(known["gcs"], bleed.volume_ml or 0.0, bool(bleed.ventricles), place, known["age"])
    return float(sum(points.values()))


def auc_of(people: Unseen, column: str = "score") -> statistics.Estimate:
    """AUC of a column with its interval."""
    label, score = people.results["label"], people.results[column]
    known = np.flatnonzero(np.isfinite(score))
    return statistics.bootstrap(
        lambda at: statistics.auc(label[known][at], score[known][at]), known.tolist(), 1, RESAMPLES
    )[0]


def better_than(people: Unseen, column: str, by: str = "score") -> Difference:
    """AUC of one column less that of another, on the patients that have both."""
    label, a, b = (people.results[name] for name in ("label", by, column))
    known = np.flatnonzero(np.isfinite(a) & np.isfinite(b))
    truth, own, other = label[known], a[known], b[known]
    return statistics.compare(
        lambda values, at: statistics.auc(truth[at], values[at]), own, other, known.tolist(), 1, RESAMPLES
    )


def widths(model: Prognosis, people: Unseen) -> tuple[float, float]:
    """Mean width of the interval with all that is recorded, and with nothing of it."""
    found: list[NDArray[np.float64]] = []
    with torch.inference_mode():
        for one in people.samples[:ASKED]:
            features = one.tensors["features"][None]
            bleed = from_variables(dict(one.case.variables))
            nothing = torch.full_like(one.tensors["variables"], torch.nan)
            cases = [Known(bleed, one.tensors["variables"], _request(one)), Known(bleed, nothing, "")]
            found.append(np.array([_width(model, features, case) for case in cases]))
    whole, none = np.mean(found, axis=0)
    return float(whole), float(none)


def _width(model: Prognosis, features: torch.Tensor, case: Known) -> float:
    value = float(model.probabilities(features, [case])[0])
    low, high = model.interval(features, case, value)
    return high - low


def _request(sample: ExamTensors) -> str:
    path: Path | None = sample.case.text
    return "" if path is None else path.read_text(encoding="utf-8").strip()
