"""What the shipped bundle says of patients that nothing was learned from."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from dicomnode.cohort.make import make_demo_study
from dicomnode.cohort.streams import stream
from dicomnode.images.volume import read_volume
from dicomnode.records import ContextSource, ContextValue, Inputs, PatientContext
from dicomnode.train.edema.heads import oracle_of
from dicomnode.train.edema.judging import within_arms
from dicomnode.train.edema.learner import EdemaLearner
from dicomnode.train.head_reader.features import OfHeads
from dicomnode.train.manifest import Split, read_manifest
from dicomnode.train.results import Results
from dicomnode.train.tabular import ExamTensors, stacked
from dicomnode.zoo.deterioration.variables import VARIABLES
from dicomnode.zoo.edema.model import Edema

REPEATS, TIMED = 3, 10
ALL_OF_IMAGE = "image, all features"


class Calibrated(torch.nn.Module):
    """Log odds of a bundle as it tells them.

    Parameters
    ----------
    model : of the bundle.
    """

    def __init__(self, model: Edema) -> None:
        super().__init__()
        self.network, self.slope, self.intercept = model.network, model.slope, model.intercept

    def forward(self, features: torch.Tensor, variables: torch.Tensor) -> torch.Tensor:
        """(patients,)"""
        logits: torch.Tensor = self.slope * self.network(features, variables) + self.intercept
        return logits


@dataclass(frozen=True, slots=True)
class Unseen:
    """Unseen patients of one site.

    Attributes
    ----------
    results : ``label``, ``score``, ``score_half``, ``score_none``, ``arm``, and ``oracle``, all that can be known.
    """

    samples: Sequence[ExamTensors]
    results: Results


def unseen_of(model: Edema, manifest: Path, out: Path) -> Mapping[str, Unseen]:
    """What a bundle says of the unseen heads of a manifest, by site.

    Parameters
    ----------
    out : of the experiment; it holds the cohorts and what is cached.

    Raises
    ------
    ManifestError : exams cannot be used.
    """
    learner = EdemaLearner(OfHeads(model.network.heads, "shipped", out / "cache"))
    cases = read_manifest(manifest, learner.needs.label_ranges).of(Split.TEST)
    samples, _ = learner.samples(cases, out / "features", skip_unusable=False, progress=False)
    oracle: dict[str, float] = {}
    for name in sorted({case.id.partition("/")[0] for case in cases}):
        oracle |= oracle_of(manifest.parent / name)
    found = {}
    for site in sorted({case.site for case in cases}):
        own = [one for one in samples if one.case.site == site]
        results = learner.judge(Calibrated(model), own, progress=False)
        found[site] = Unseen(own, results.with_columns({"oracle": [oracle[name] for name in results.ids]}))
    return found


def importance(model: Edema, people: Unseen) -> dict[str, tuple[float, float]]:
    """By how much the AUC within the arms falls when one input is shuffled among patients: mean and deviation."""
    network, tensors = Calibrated(model), stacked(people.samples)
    places: dict[str, list[int] | None] = {name: [place] for place, name in enumerate(VARIABLES)}
    return {
        name: _fall(network, people.results, tensors, columns)
        for name, columns in {**places, ALL_OF_IMAGE: None}.items()
    }


def _fall(
    network: Calibrated, results: Results, tensors: Mapping[str, torch.Tensor], columns: list[int] | None
) -> tuple[float, float]:
    """Of some variables; None: of the image."""
    whole, falls = within_arms(results["label"], results["score"], results["arm"]), []
    for repeat in range(REPEATS):
        order = torch.from_numpy(stream(repeat, "importance").permutation(len(results)))
        features, variables = tensors["features"], tensors["variables"].clone()
        if columns is None:
            features = features[order]
        else:
            variables[:, columns] = variables[order][:, columns]
        with torch.inference_mode():
            p = network(features, variables).double().numpy()
        falls.append(whole - within_arms(results["label"], p, results["arm"]))
    return float(np.mean(falls)), float(np.std(falls))


def seconds_a_case(model: Edema, people: Unseen) -> float:
    """Mean time of a whole answer on 30 slices of 512 x 512, with all contributions and what stands beside."""
    with tempfile.TemporaryDirectory() as folder:
        volume = read_volume(make_demo_study(Path(folder)).paths)
    known = people.samples[0].case.variables
    values = tuple(
        ContextValue(name=name, value=known[read.trained_as], source=ContextSource.FILE)
        for name, read in VARIABLES.items()
        if read.trained_as in known and name != "sex"
    )
    inputs = Inputs(volume=volume, context=PatientContext(values=values))
    started = time.perf_counter()
    with torch.inference_mode():
        for _ in range(TIMED):
            model(inputs)
    return (time.perf_counter() - started) / TIMED
