"""Synthetic patients with a bleed within the brain: coarse heads that no reader has seen, and records without images.

The reader of heads is that of the shipped model of oedema, frozen. It has learned from heads of other seeds, so that
what it tells of the heads that the fusions learn from is as good as of unseen ones. What it would have told of patients
without an image is drawn with the errors that it makes in the painted heads (``train/head_reader/telling.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from dicomnode.cohort.edition import Version
from dicomnode.cohort.make import make_cohort
from dicomnode.cohort.patients import Arm, Patient, Site
from dicomnode.cohort.second.words.indication import write_indication
from dicomnode.cohort.streams import derived_seed
from dicomnode.cohort.versions import RECIPES
from dicomnode.train.head_reader.features import OfHeads
from dicomnode.train.head_reader.painted import facts_of
from dicomnode.train.head_reader.telling import Errors
from dicomnode.train.importers.cohort import ARM, COHORT
from dicomnode.train.manifest import Case, Split, write_manifest
from dicomnode.train.prognosis.measured import as_variables, measured
from dicomnode.zoo.prognosis.bleed import LEAST_ML

OUTCOME, OF_COHORT = "prognosis", "prognosis_bad"
"""A poor outcome (GOS 1 to 3 at 90 days) as this model calls it, and as the cohort does."""
MATRIX, VALIDATION_SHARE = 96, 7
HEADS_SEED, RECORDS_SEED, READER_SEED = 6450, 6490, 6499
"""Of cohorts that no other experiment draws from."""
HEADS, WITHOUT_IMAGE = "heads", "records"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Patients of one site.

    Attributes
    ----------
    first : number of the first; no two groups share a seed and a number.
    painted : do their scans lie in the folder of heads? use : what they are for.
    """

    name: str
    site: Site
    seed: int
    first: int
    count: int
    painted: bool
    use: Split

    @property
    def numbers(self) -> range:
        """Of its patients."""
        return range(self.first, self.first + self.count)


def groups_of(heads: int, unseen: int, records: int, unseen_records: int) -> list[Group]:
    """All groups of the experiment; the unseen heads are the last of the one cohort of heads."""
    return [
        _group(HEADS, heads, HEADS_SEED, Split.TRAIN, painted=True),
        _group("unseen-heads", unseen, HEADS_SEED, Split.TEST, painted=True, first=heads + 1),
        _group(WITHOUT_IMAGE, records, RECORDS_SEED, Split.TRAIN),
        _group("unseen-A", unseen_records, RECORDS_SEED + 1, Split.TEST),
        _group("unseen-B", unseen_records, RECORDS_SEED + 2, Split.TEST, site=Site.B),
    ]


def _group(
    name: str, count: int, seed: int, use: Split, *, painted: bool = False, first: int = 1, site: Site = Site.A
) -> Group:
    return Group(name=name, site=site, seed=seed, first=first, count=count, painted=painted, use=use)


def patient_of(group: Group, number: int, seed: int | None = None) -> Patient:
    """A patient of a group, numbered from 1 as the cohort does; ``seed``: of another cohort than the group's own."""
    derived = derived_seed(group.seed if seed is None else seed, "patient", number)
    return RECIPES[Version.TWO].draw_patient(derived, Arm.ICH, group.site)


def made(folder: Path, heads: int, processes: int = 1) -> Path:
    """The cohort of all heads in a folder; what is there is kept."""
    place = folder / HEADS
    last = place / f"patient-{heads:04d}" / "contact_sheet.png"
    if heads and not last.exists():
        make_cohort(
            place,
            heads,
            HEADS_SEED,
            False,
            arm=Arm.ICH,
            site=Site.A,
            matrix=MATRIX,
            formats=("dicom",),
            processes=processes,
            version=Version.TWO,
            followup=False,
        )
    return place


def exams_of(folder: Path, group: Group, errors: Errors | None = None) -> Iterator[Case]:
    """An exam for each patient of a group whose measured bleed is large enough; texts lie below the folder.

    Parameters
    ----------
    errors : of the reader of heads: what it would have told of those without an image is drawn with them. None: nothing
        was read of theirs.
    """
    texts = folder / "requests" / group.name
    texts.mkdir(parents=True, exist_ok=True)
    for number in group.numbers:
        patient = patient_of(group, number)
        bleed = measured(patient) if patient.lesions.site_of_bleed else None
        if bleed is None or (bleed.volume_ml or 0.0) < LEAST_ML:
            continue
        text = texts / f"{number}.txt"
        text.write_text(write_indication(patient), encoding="utf-8")
        image = image_of(folder, number) if group.painted else None
        validates = group.use is Split.TRAIN and number % VALIDATION_SHARE == 0
        yield replace(
            _case(group, number, patient, text, image),
            split=Split.VALIDATION if validates else group.use,
            variables={**variables_of(patient), **as_variables(bleed), **_read(group, patient, errors)},
        )


def _read(group: Group, patient: Patient, errors: Errors | None) -> dict[str, float]:
    """What is read of a head that was not painted."""
    return (
        {} if group.painted or errors is None else errors.drawn(facts_of(patient.lesions), Arm.ICH.value, patient.seed)
    )


def errors_of(folder: Path, group: Group, heads: OfHeads, cache: Path) -> Errors:
    """How far the reader is off in the painted heads of a group, from which it has learned nothing.

    Raises
    ------
    ReadError, SeriesError : an image cannot be used.
    """
    people = [patient_of(group, number) for number in group.numbers]
    cases = [Case(id=str(number), patient=str(number), image=image_of(folder, number)) for number in group.numbers]
    facts = [list(facts_of(one.lesions).values()) for one in people]
    told = torch.stack([heads.of(case, cache) for case in cases])
    return Errors(torch.tensor(facts), told, [Arm.ICH.value] * len(people))


def image_of(folder: Path, number: int) -> Path:
    """Where the scan of a painted patient lies."""
    return folder / HEADS / f"patient-{number:04d}" / "ct"


def _case(group: Group, number: int, patient: Patient, text: Path, image: Path | None) -> Case:
    name = f"{group.name}-{number}"
    return Case(
        id=name,
        patient=name,
        image=image,
        text=text,
        labels={OUTCOME: float(RECIPES[Version.TWO].draw_outcomes(patient).labels[OF_COHORT])},
        site=group.site.value,
        groups={ARM: group.name, COHORT: Version.TWO.value},
        synthetic=True,
    )


def variables_of(patient: Patient) -> dict[str, float]:
    """What is recorded, as training manifests name it."""
    known = {name: float(value) for name, value in patient.variables.items() if value is not None}
    return {**known, "age": float(patient.age_years), "male": float(patient.sex == "M")}


def write_manifests(folder: Path, groups: Sequence[Group], errors: Errors) -> dict[str, Path]:
    """``whole``: all exams; ``folds``: what is learned from, without splits. What is there is kept."""
    counts = "-".join(str(group.count) for group in groups)
    paths = {name: folder / f"{name}-{counts}.csv" for name in ("whole", "folds")}
    if not all(path.exists() for path in paths.values()):
        cases = [case for group in groups for case in exams_of(folder, group, errors)]
        write_manifest(paths["folds"], [replace(case, split=None) for case in cases if case.split is not Split.TEST])
        write_manifest(paths["whole"], cases)
    return paths
