"""The exams of the haemorrhage model: labelled ones of site A, unlabelled ones of A and B, unseen patients of B.

Labelled exams hold more bleeds than a hospital meets (arms ``ich``, ``trauma`` and ``post_evt`` beside the site's own
mix; thin blood outside the brain is the hardest to learn), as the hand-picked scans of a labelled set do; the
unlabelled ones, the test exams and those that set the threshold of the exam probability are the sites' own mix.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from dicomnode.cohort.make import make_cohort
from dicomnode.train.importers import cohort
from dicomnode.train.manifest import Case, Split, write_manifest

MATRIX = 256
"""Rows and columns: the network reads planes of 1 mm, finer images would only take longer."""
TEMPLATE_SEED = 1000
"""Added to the seed where heads are warped from a template, so that no two parts share a patient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One cohort and what its exams are for.

    Attributes
    ----------
    patients : for each kind of head, painted and, given a template, warped.
    use : ``TRAIN`` holds the validation patients too, as the cohort draws them.
    followups : is the second CT of each patient an exam too?
    """

    name: str
    site: str
    arm: str
    patients: int
    seed: int
    use: Split
    followups: bool


PARTS = (
    Part(name="a-labelled", site="A", arm="mixed", patients=50, seed=101, use=Split.TRAIN, followups=True),
    Part(name="a-ich", site="A", arm="ich", patients=60, seed=105, use=Split.TRAIN, followups=True),
    Part(name="a-trauma", site="A", arm="trauma", patients=140, seed=106, use=Split.TRAIN, followups=True),
    Part(name="a-evt", site="A", arm="post_evt", patients=30, seed=108, use=Split.TRAIN, followups=True),
    Part(name="a-calibration", site="A", arm="mixed", patients=60, seed=107, use=Split.CALIBRATION, followups=False),
    Part(name="a-pool", site="A", arm="mixed", patients=20, seed=102, use=Split.UNLABELLED, followups=False),
    Part(name="b-pool", site="B", arm="mixed", patients=70, seed=103, use=Split.UNLABELLED, followups=False),
    Part(name="b-test", site="B", arm="mixed", patients=53, seed=104, use=Split.TEST, followups=True),
)


def make_cohorts(out: Path, anatomy: Path | None, processes: int, parts: tuple[Part, ...] = PARTS) -> Path:
    """Make what is not yet there, and the manifest of all.

    Parameters
    ----------
    out : folder; one cohort a folder, ``manifest.csv`` beside them.
    anatomy : folder with a CT template; then as many heads again are warped from it.

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
                    matrix=MATRIX,
                    formats=("dicom",),
                    processes=processes,
                )
            cases += exams_of(folder, part)
    return write_manifest(out / "manifest.csv", cases)


def exams_of(folder: Path, part: Part) -> Iterator[Case]:
    """The exams of one cohort, named after its folder, in the split they are for.

    Unlabelled exams keep neither mask nor label. The validation patients of a labelled cohort have one exam.
    """
    followups = cohort.read_followups(folder) if part.followups else []
    for case in [*cohort.read(folder, folder), *followups]:
        validates = part.use is Split.TRAIN and case.split is Split.VALIDATION
        if validates and case in followups:
            continue
        named = replace(case, id=f"{folder.name}/{case.id}", patient=f"{folder.name}/{case.patient}")
        if part.use is Split.UNLABELLED:
            named = replace(named, masks={}, labels={})
        yield replace(named, split=Split.VALIDATION if validates else part.use, text=None)
