"""How much of what the image can tell of the exam to come does a forecast tell? By drawn labels, and on average.

    python -m benchmarks.followup_margin training/seed-2/both-tasks/report/results.csv training/cohorts

``results.csv`` is that of a report; the second folder holds its cohorts. Every synthetic patient has the probability p
that blood comes. The best that anything can do from the image alone is to rank patients by E[p | image], which trees
estimate that were fitted to others (``dicomnode.cohort.ceilings``). Beside the AUC of the labels that were drawn stands
the one to be expected if they were drawn again and again: of a few hundred labels an AUC is known to some 0.02. The
share is what lies above 0.5, of what lies there for the best.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from dicomnode.cohort.ceilings import Population, population, predicted
from dicomnode.cohort.edition import Version
from dicomnode.cohort.patients import Patient
from dicomnode.cohort.ranking import expected_auc
from dicomnode.cohort.versions import RECIPES
from dicomnode.train.followup.learner import LABEL
from dicomnode.train.importers import cohort
from dicomnode.train.results import Results, read_results

RECIPE = RECIPES[Version.TWO]
OTHERS = 20_000
EXAM = "score"


def patients_of(cohorts: Path) -> Iterator[tuple[str, Patient]]:
    """Every patient of some cohorts, by the name that a manifest of all gives."""
    for table in sorted(cohorts.glob(f"*/{cohort.TABLE}")):
        with table.open(encoding="utf-8", newline="") as rows:
            for row in csv.DictReader(rows):
                yield f"{table.parent.name}/{row['id']}", cohort.patient_of(row)


def with_others(patients: list[Patient]) -> Population:
    """Some patients, and behind them others to fit trees to."""
    others = population(LABEL, Version.TWO, patients=OTHERS)
    return Population(
        patients=[*patients, *others.patients],
        arms=np.concatenate([[one.arm.value for one in patients], others.arms]),
        shown=[*(RECIPE.facts(one) for one in patients), *others.shown],
        p=np.concatenate([RECIPE.probabilities(LABEL, patients), others.p]),
    )


def rows_of(results: Results, cohorts: Path) -> Iterator[tuple[str, float, float]]:
    """(what, AUC by labels, AUC to be expected) of the forecast and of the best."""
    known = dict(patients_of(cohorts))
    people = with_others([known[name] for name in results.ids])
    best = predicted(LABEL, people, ("image",), RECIPE)[: len(results)]
    p, label = people.p[: len(results)], results["label"]
    for what, scores in (("forecast", results[EXAM]), ("best from the image", best)):
        yield what, expected_auc(label, scores), expected_auc(p, scores)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="results.csv of a report")
    parser.add_argument("cohorts", type=Path, help="folder with the cohorts whose patients it scores")
    given = parser.parse_args()
    results = read_results(given.results)
    own, best = rows_of(results, given.cohorts)
    table = Table("AUC", "by drawn labels", "to be expected", title=f"{len(results)} exams")
    for what, drawn, expected in (own, best):
        table.add_row(what, f"{drawn:.3f}", f"{expected:.3f}")
    shares = [(mine - 0.5) / (most - 0.5) for mine, most in zip(own[1:], best[1:], strict=True)]
    table.add_row("share of the margin", *(f"{share:.0%}" for share in shares))
    Console().print(table)


if __name__ == "__main__":
    main()
