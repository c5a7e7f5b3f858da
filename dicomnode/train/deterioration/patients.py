"""Synthetic patients with an ischaemic stroke and no thrombectomy: record, request and outcome, without images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dicomnode.cohort.edition import Version
from dicomnode.cohort.patients import Arm, Patient, Site
from dicomnode.cohort.second.words.indication import write_indication
from dicomnode.cohort.streams import derived_seed
from dicomnode.cohort.versions import RECIPES
from dicomnode.train.importers import cohort
from dicomnode.train.importers.cohort import ARM, COHORT
from dicomnode.train.manifest import Case, Split, read_manifest, write_manifest

SEED = 17
VALIDATION_SHARE = 7
"""One of so many training patients validates."""
OUTCOME = "deterioration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Patients of one site. ``first``: number of the first; no two groups share one."""

    name: str
    site: Site
    first: int
    count: int


UNSEEN = {
    "A": Group(name="unseen-a", site=Site.A, first=1_000_000, count=3000),
    "B": Group(name="unseen-b", site=Site.B, first=2_000_000, count=3000),
}
"""Whom figures are given for; nothing was learned from them, and nothing of site B."""


def training_group(count: int) -> Group:
    """Patients of site A to learn from."""
    return Group(name="training", site=Site.A, first=0, count=count)


def drawn(group: Group) -> Iterator[Patient]:
    """The patients of a group."""
    draw = RECIPES[Version.TWO].draw_patient
    for number in range(group.first, group.first + group.count):
        yield draw(derived_seed(SEED, "patient", number), Arm.STROKE_NO_EVT, group.site)


def variables_of(patient: Patient) -> dict[str, float]:
    """What is recorded, as training manifests name it."""
    return cohort.variables_of(patient.recorded)


def exams_of(group: Group, folder: Path, split: Split | None) -> Iterator[Case]:
    """An exam for each patient of a group; its request lies below the folder.

    Parameters
    ----------
    split : of all; ``TRAIN`` gives every ``VALIDATION_SHARE``-th to validation.
    """
    texts = folder / "requests"
    texts.mkdir(parents=True, exist_ok=True)
    for number, patient in enumerate(drawn(group)):
        name = f"{group.name}-{number}"
        text = texts / f"{name}.txt"
        text.write_text(write_indication(patient), encoding="utf-8")
        outcome = RECIPES[Version.TWO].draw_outcomes(patient).labels[OUTCOME]
        validates = split is Split.TRAIN and number % VALIDATION_SHARE == 0
        yield Case(
            id=name,
            patient=name,
            variables=variables_of(patient),
            text=text,
            labels={OUTCOME: float(outcome)},
            split=Split.VALIDATION if validates else split,
            site=group.site.value,
            groups={ARM: patient.arm.value, COHORT: Version.TWO.value},
            synthetic=True,
        )


def write_manifests(folder: Path, patients: int, few: int) -> Mapping[str, Path]:
    """The manifests of the experiment; what is there is kept.

    Parameters
    ----------
    patients : to learn from. few : the first of them, as many as the paper had.

    Returns
    -------
    ``whole``: all that is learned from, and the unseen; ``few``: the same with few patients to learn from;
    ``folds``: what is learned from alone, without splits, for a cross-validation.
    """
    paths = {name: folder / f"{name}-{patients}.csv" for name in ("whole", "few", "folds")}
    if not all(path.exists() for path in paths.values()):
        training = list(exams_of(training_group(patients), folder, Split.TRAIN))
        unseen = [case for group in UNSEEN.values() for case in exams_of(group, folder, Split.TEST)]
        write_manifest(paths["folds"], [replace(case, split=None) for case in training])
        write_manifest(paths["few"], [*training[:few], *unseen])
        write_manifest(paths["whole"], [*training, *unseen])
    return paths


def requests_in(manifest: Path) -> Iterator[str]:
    """The requests of a manifest's exams.

    Raises
    ------
    ManifestError : the manifest is at fault.
    """
    for case in read_manifest(manifest).cases:
        if case.text is not None:
            yield case.text.read_text(encoding="utf-8")
