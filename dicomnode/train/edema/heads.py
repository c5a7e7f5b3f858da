"""The synthetic heads of the experiment: coarse baseline scans of all arms with lesions, and records without images."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dicomnode.cohort.edition import Version
from dicomnode.cohort.make import make_cohort
from dicomnode.cohort.patients import Arm, Site
from dicomnode.cohort.versions import RECIPES
from dicomnode.train.head_reader.painted import facts_of
from dicomnode.train.importers import cohort
from dicomnode.train.manifest import Case, Split

OUTCOME, OEDEMA = "edema", "oedema"
"""The outcome as this model calls it, and as the cohort does."""
ARMS = (Arm.ICH, Arm.POST_EVT, Arm.STROKE_NO_EVT, Arm.TRAUMA)
"""With lesions: nobody else can have oedema."""
MATRIX = 96
PART = 250
"""Patients of an arm in each part of the training heads."""
SEED = 1700


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Heads of one arm and site. ``seed``: of the cohort; no two groups share one."""

    name: str
    site: str
    arm: Arm
    patients: int
    seed: int


def training_groups(heads: int, before: int = 0) -> list[Group]:
    """So many heads of site A to learn from, the arms in equal shares.

    Parameters
    ----------
    before : as many heads are passed over: others have learned from them.
    """
    first, last = (-(-count // (PART * len(ARMS))) for count in (before, before + heads))
    return [
        Group(name=f"a-{arm}-{part}", site="A", arm=arm, patients=PART, seed=SEED + 10 * part + place)
        for part in range(first + 1, last + 1)
        for place, arm in enumerate(ARMS)
    ]


def unseen_groups(at_a: int, at_b: int) -> list[Group]:
    """Whom figures are given for: nothing was learned from them, and nothing of site B."""
    return [
        Group(name=f"{site.lower()}-{arm}-unseen", site=site, arm=arm, patients=count, seed=first + place)
        for site, count, first in (("A", at_a, SEED + 100), ("B", at_b, SEED + 110))
        for place, arm in enumerate(ARMS)
    ]


def made(folder: Path, group: Group, processes: int = 1) -> Path:
    """The cohort of a group in a folder; what is there is kept."""
    place = folder / group.name
    if not (place / cohort.TABLE).exists():
        make_cohort(
            place,
            group.patients,
            group.seed,
            False,
            arm=group.arm,
            site=group.site,
            matrix=MATRIX,
            formats=("dicom",),
            processes=processes,
            version=Version.TWO,
            followup=False,
        )
    return place


def exams_of(place: Path, split: Split | None) -> Iterator[Case]:
    """The exams of a made cohort, with the outcome under this model's name and what is painted.

    Parameters
    ----------
    split : of all; of ``TRAIN`` every other one validates.

    Raises
    ------
    ManifestError : the cohort cannot be read.
    """
    facts = _facts(place)
    for number, case in enumerate(cohort.read(place, place)):
        validates = split is Split.TRAIN and number % 2 == 1
        yield replace(
            case,
            id=f"{place.name}/{case.id}",
            patient=f"{place.name}/{case.patient}",
            labels={OUTCOME: case.labels[OEDEMA]},
            variables={**case.variables, **facts[case.id]},
            split=Split.VALIDATION if validates else split,
        )


def _facts(place: Path) -> dict[str, dict[str, float]]:
    """What is painted in each exam: the patient is drawn again by its seed."""
    draw = RECIPES[Version.TWO].draw_patient
    with (place / cohort.TABLE).open(newline="", encoding="utf-8") as table:
        return {
            row["id"]: facts_of(draw(int(row["seed"]), Arm(row["arm"]), Site(row["site"])).lesions)
            for row in csv.DictReader(table)
        }


def oracle_of(place: Path) -> dict[str, float]:
    """Exam -> the probability that all of image, text and variables give it."""
    with (place / cohort.TABLE).open(newline="", encoding="utf-8") as table:
        return {f"{place.name}/{row['id']}": float(json.loads(row["oracle"])[OEDEMA]) for row in csv.DictReader(table)}


def cases_of(folder: Path, groups: Sequence[Group], split: Split, processes: int = 1) -> list[Case]:
    """The exams of some groups, made where they are not there yet."""
    return [case for group in groups for case in exams_of(made(folder, group, processes), split)]
