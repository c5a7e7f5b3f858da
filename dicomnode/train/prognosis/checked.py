"""The drawn errors of a measured bleed against those of the whole pipeline: a few heads are painted, marked, measured.

``python -m dicomnode.train.prognosis.checked --out FOLDER --heads 12``
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dicomnode.cohort.make import make_cohort
from dicomnode.cohort.patients import Arm, Patient
from dicomnode.images.files import read_image
from dicomnode.records import Finding, Inputs, MaskFinding, ScoreFinding
from dicomnode.train.prognosis.measured import VOLUME_SD
from dicomnode.train.prognosis.patients import OUTCOME, groups_of, patient_of
from dicomnode.zoo.prognosis.bleed import Bleed, bleed_of
from dicomnode.zoo.prognosis.looking import AT_BLEED
from dicomnode.zoo.prognosis.model import FINDING
from dicomnode.zoo.registry import Registry
from dicomnode.zoo.runner import Runner

MATRIX, SEED = 256, 6480
"""The haemorrhage model takes pixels of up to 1.2 mm."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A painted bleed and what the node made of it.

    Attributes
    ----------
    at_bleed : share of the Score-CAM of the shipped model near the bleed, percent; NaN where it tells nothing.
    """

    patient: Patient
    found: Bleed
    at_bleed: float


def main() -> None:
    """Print how the pipeline's volumes, regions and ventricles differ from the painted ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--heads", type=int, default=12)
    given = parser.parse_args()
    heads = list(checked(given.out, given.heads))
    marked = [one for one in heads if (one.found.volume_ml or 0.0) >= 1.0]
    ratio = np.log([(one.found.volume_ml or 0.0) / one.patient.lesions.iph_ml for one in marked])
    right = np.mean([str(one.found.part) == one.patient.lesions.site_of_bleed for one in marked])
    print(f"{len(heads)} bleeds painted, {len(marked)} marked with 1 mL or more")
    print(f"log ratio of volumes: mean {ratio.mean():+.2f}, deviation {ratio.std():.2f} (drawn: 0, {VOLUME_SD})")
    print(f"region right: {right:.2f}")
    print(f"Score-CAM within 10 mm of the bleed: mean {np.nanmean([one.at_bleed for one in heads]):.0f} %")
    for blood in (True, False):
        states = [one.found.ventricles for one in marked if (one.patient.lesions.ivh_ml > 0.0) == blood]
        print(f"ventricles {'with' if blood else 'without'} blood, told no/open/yes/not:", *_counts(states))


def checked(out: Path, heads: int) -> Iterator[Checked]:
    """Paint heads, let the shipped haemorrhage model mark them, and measure what it has marked."""
    place = out / f"checked-{heads}"
    if not (place / "manifest.csv").exists():
        make_cohort(
            place, heads, SEED, False, arm=Arm.ICH, matrix=MATRIX, formats=("dicom",), version="2", followup=False
        )
    marking, judging = (Runner(Registry().get(name), threads=1) for name in (FINDING, OUTCOME))
    group = groups_of(heads, 0, 0, 0)[0]
    for number in group.numbers:
        patient = patient_of(group, number, SEED)
        volume = read_image(place / f"patient-{number:04d}" / "ct")
        (mask,) = marking.run(Inputs(volume=volume))
        if patient.lesions.site_of_bleed and isinstance(mask, MaskFinding):
            (told,) = judging.run(Inputs(volume=volume, earlier=(mask,)))
            yield Checked(patient, bleed_of(mask), _at_bleed(told))


def _at_bleed(told: Finding) -> float:
    beside = told.reference if isinstance(told, ScoreFinding) else ()
    return next((one.value for one in beside if one.name == AT_BLEED and one.value is not None), float("nan"))


def _counts(states: list[float | None]) -> list[int]:
    return [states.count(state) for state in (0.0, 0.5, 1.0, None)]


if __name__ == "__main__":
    main()
