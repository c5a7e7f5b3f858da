"""The synthetic cohorts of an experiment, and one manifest of all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dicomnode.cohort.edition import Version
from dicomnode.cohort.make import make_cohort
from dicomnode.train.importers import cohort
from dicomnode.train.manifest import Case, Split, read_manifest, write_manifest

MATRIX = 256
"""Rows and columns: networks read planes of 1 mm and coarser, finer images would only take longer."""
TEMPLATE_SEED = 1000
"""Added to the seed where heads are warped from a template, so that no two parts share a patient."""
LEARNED_FROM = (Split.TRAIN, Split.VALIDATION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One cohort and what its exams are for.

    Attributes
    ----------
    patients : for each kind of head, painted and, given a template, warped.
    use : ``TRAIN`` holds the validation patients too, as the cohort draws them.
    followups : is the second CT of each patient an exam too?
    version : of the cohort.
    """

    name: str
    site: str
    arm: str
    patients: int
    seed: int
    use: Split
    followups: bool
    version: Version = Version.TWO


def make_cohorts(
    out: Path,
    anatomy: Path | None,
    processes: int,
    parts: Sequence[Part],
    matrix: int = MATRIX,
    more: Sequence[Case] = (),
) -> Path:
    """Make what is not yet there, and the manifest of all.

    Parameters
    ----------
    out : folder; one cohort a folder, ``manifest.csv`` beside them.
    anatomy : folder with a CT template; then as many heads again are warped from it.
    processes : that make patients.
    matrix : rows and columns of the images.
    more : exams beside those of the cohorts.

    Returns
    -------
    Path of the manifest.

    Raises
    ------
    ValueError, FileNotFoundError : see :func:`dicomnode.cohort.make.make_cohort`.
    """
    cases: list[Case] = []
    for part in parts:
        for heads, template in (("painted", None), *((("template", anatomy),) if anatomy else ())):
            folder = out / f"{part.name}-{heads}"
            if not (folder / cohort.TABLE).exists():
                seed = part.seed + (TEMPLATE_SEED if template else 0)
                make_cohort(
                    folder,
                    part.patients,
                    seed,
                    arm=part.arm,
                    site=part.site,
                    anatomy=template,
                    matrix=matrix,
                    formats=("dicom",),
                    processes=processes,
                    version=part.version,
                )
            cases += exams_of(folder, part)
    return write_manifest(out / "manifest.csv", [*cases, *more])


def exams_of(folder: Path, part: Part) -> Iterator[Case]:
    """The exams of one cohort, named after its folder, in the split they are for.

    Unlabelled exams keep neither mask nor label nor target. The validation patients of a labelled cohort have one exam.
    """
    followups = cohort.read_followups(folder) if part.followups else []
    for case in [*cohort.read(folder, folder), *followups]:
        validates = part.use is Split.TRAIN and case.split is Split.VALIDATION
        if validates and case in followups:
            continue
        named = replace(case, id=f"{folder.name}/{case.id}", patient=f"{folder.name}/{case.patient}")
        if part.use is Split.UNLABELLED:
            named = replace(named, masks={}, labels={}, targets={})
        yield replace(named, split=Split.VALIDATION if validates else part.use)


def with_fewer(manifest: Path, exams: int) -> Path:
    """A manifest beside another, with the first so many of its exams to learn from and all others.

    Raises
    ------
    ManifestError : it cannot be read.
    """
    cases = read_manifest(manifest).cases
    beyond = {case.id for case in [case for case in cases if case.split in LEARNED_FROM][exams:]}
    kept = [case for case in cases if case.id not in beyond]
    return write_manifest(manifest.with_name(f"manifest-{exams}.csv"), kept)
