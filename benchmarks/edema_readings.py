"""What the readings of heads are worth for oedema, and what is missing, without any fusion of the zoo.

    python -m benchmarks.edema_readings --out FOLDER

FOLDER is that of ``python -m dicomnode.train.edema``, once its reader of heads is trained. Gradient boosting predicts
the probability of oedema of patients without an image from their records, from what would have been read of their heads
(the true facts with the reader's errors), and from both; then with single readings replaced by what is true. And: how
dark a rim or an infarct was painted, against the attenuation within its true mask on the grid that the reader sees.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from dicomnode.cohort.ceilings import Population, by_other_trees, population
from dicomnode.cohort.edition import Version
from dicomnode.cohort.patients import Arm, Patient, Site
from dicomnode.cohort.ranking import expected_auc
from dicomnode.train.edema import heads
from dicomnode.train.edema.heads import ARMS, OEDEMA
from dicomnode.train.head_reader.painted import PAINTED, Heads, facts_of, heads_of
from dicomnode.train.head_reader.telling import Errors, told_of_others
from dicomnode.train.importers.cohort import ARM
from dicomnode.train.manifest import Split
from dicomnode.zoo.networks.head_facts import KINDS
from dicomnode.zoo.networks.head_grid import above_brain_hu
from dicomnode.zoo.networks.head_reader import READ

PATIENTS = 8000
FLOORS_ML = {"oedema": 8.0, "infarct": 15.0}
LEAST_PLACES = 10
Table = NDArray[np.float64]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the experiment")
    parser.add_argument("--marked", type=int, default=3000, help="heads that its reader learned to mark in")
    parser.add_argument("--telling", type=int, default=2000, help="heads that it learned to tell in")
    given = parser.parse_args()
    cases = heads.cases_of(given.out / "heads", heads.training_groups(given.telling, before=given.marked), Split.TRAIN)
    found = heads_of(cases, given.out / "cache")
    summaries = load_file(given.out / "reader" / "summaries.safetensors")["summaries"]
    errors = Errors(found.facts, told_of_others(summaries, found.facts), [case.groups[ARM] for case in cases])
    print("AUC within the arms, gradient boosting on", PATIENTS, "patients")
    for says, auc in aucs(errors):
        print(f"  {says}: {auc:.3f}")
    print("correlation of the painted darkness with the attenuation in the true mask: mean, lowest tenth")
    for arm in ARMS:
        own = [place for place, case in enumerate(cases) if case.groups[ARM] == arm.value]
        print(f"  {arm.value}: {correlations(found, own, arm)}")


def aucs(errors: Errors) -> Iterator[tuple[str, float]]:
    """What each set of inputs is worth."""
    people = population(OEDEMA, Version.TWO, Site.A, PATIENTS)
    keep = np.isin(people.arms, [arm.value for arm in ARMS])
    patients = [patient for patient, kept in zip(people.patients, keep, strict=True) if kept]
    record = _record(people)[keep]
    true = np.array([list(facts_of(one.lesions).values()) for one in patients])
    read = np.array([_read(errors, one) for one in patients])
    p, arms = people.p[keep], people.arms[keep]
    sets: dict[str, list[Table]] = {
        "record": [record],
        "readings": [read],
        "readings and record": [read, record],
        "the same with the true darkness": [_with(read, true, ("darkness",)), record],
        "the same with the true volumes of dark tissue": [_with(read, true, ("oedema", "infarct")), record],
        "true facts and record": [true, record],
    }
    for says, tables in sets.items():
        yield says, _auc(np.concatenate(tables, axis=1), p, arms)


def _record(people: Population) -> Table:
    names = sorted({name for shown in people.shown for name in shown["variables"]})
    return np.array([[shown["variables"].get(name, 0.0) for name in names] for shown in people.shown])


def _read(errors: Errors, patient: Patient) -> list[float]:
    return list(errors.drawn(facts_of(patient.lesions), patient.arm.value, patient.seed).values())


def _with(read: Table, true: Table, names: tuple[str, ...]) -> Table:
    mixed, columns = read.copy(), [READ.index(name) for name in names]
    mixed[:, columns] = true[:, columns]
    return mixed


def _auc(table: Table, p: Table, arms: NDArray[np.str_]) -> float:
    known = arms[:, None] == np.array([arm.value for arm in ARMS])
    inputs = np.concatenate([table, known.astype(np.float64)], axis=1)
    given = by_other_trees(inputs, p)
    places = [arms == arm.value for arm in ARMS]
    return float(np.mean([expected_auc(p[at], given[at]) for at in places]))


def correlations(found: Heads, own: list[int], arm: Arm) -> str:
    """Of the heads of one arm with enough dark tissue."""
    kind = "oedema" if arm in (Arm.ICH, Arm.TRAUMA) else "infarct"
    large = np.log1p(FLOORS_ML[kind])
    rows = [
        row
        for place in own
        if float(found.facts[place, READ.index(kind)]) >= large and (row := _dark(found, place, kind)) is not None
    ]
    darkness, mean, lowest = np.array(rows).T
    told = ", ".join(f"{np.corrcoef(darkness, one)[0, 1]:.2f}" for one in (mean, lowest))
    return f"{told} ({len(rows)} heads with {kind} of {FLOORS_ML[kind]:g} mL and more)"


def _dark(found: Heads, place: int, kind: str) -> tuple[float, float, float] | None:
    hu = above_brain_hu(found.image[place : place + 1])[0]
    inside = found.shares[place, KINDS.index(kind)] > 0.6 * 255
    values = torch.nn.functional.avg_pool2d(hu, 2)[0][inside]
    if len(values) < LEAST_PLACES:
        return None
    darkness = float(found.facts[place, PAINTED.index("painted_darkness")])
    return darkness, float(values.mean()), float(torch.quantile(values, 0.1))


if __name__ == "__main__":
    main()
