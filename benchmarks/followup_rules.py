"""What simple rules make of the CT after thrombectomy: is there more to learn than a constant for each kind of voxel?

    python -m benchmarks.followup_rules --patients 40

Noise-free heads in one frame, both versions of the cohort. Judged in the changed region without blood: voxels of the
brain that change by 2 HU or more and hold no blood on the second scan. Mean absolute error in HU of
- identity: nothing changes;
- constants: each kind of voxel (stained, dead, other) changes by its mean over other patients (two folds);
- constants by hours: the same, a mean each for up to 12, 24, 48 and 72 hours;
- expected (version 2): ``expected_follow_up``, what can be known at best.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from dicomnode.cohort.edition import Version
from dicomnode.cohort.findings import BLOOD, Finding
from dicomnode.cohort.patients import Arm, Site
from dicomnode.cohort.scene import make_anatomy, make_scene
from dicomnode.cohort.second.expected import expected_follow_up
from dicomnode.cohort.streams import derived_seed
from dicomnode.cohort.versions import RECIPES

SPACING_MM, CHANGED_HU = 3.0, 2.0
HOURS = (12.0, 24.0, 48.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The changed voxels of one patient.

    Attributes
    ----------
    kind : (voxels,) finding on the first scan: none, staining or infarct.
    change_hu : (voxels,) what the second scan adds; expected_hu : what was to be expected, if known.
    """

    hours: float
    kind: NDArray[np.uint8]
    change_hu: NDArray[np.float32]
    expected_hu: NDArray[np.float32] | None


def pair_of(version: Version, seed: int) -> Pair:
    """Paint both scans of one patient, unmoved."""
    recipe = RECIPES[version]
    patient = recipe.draw_patient(seed, Arm.POST_EVT, Site.A)
    later = recipe.follow_up(patient, recipe.draw_outcomes(patient))
    base = make_anatomy(patient.seed, patient.lesions, spacing_mm=SPACING_MM, edition=recipe.edition)
    first, second = (make_scene(base, lesions, recipe.edition) for lesions in (later.first, later.lesions))
    change = second.head.hu - first.head.hu
    changed = (np.abs(change) >= CHANGED_HU) & first.head.cavity & ~np.isin(second.findings, BLOOD)
    expected = None
    if version is not Version.ONE:
        expected = (expected_follow_up(patient, later.hours, spacing_mm=SPACING_MM).hu - first.head.hu)[changed]
    kind = np.where(np.isin(first.findings, (Finding.STAINING, Finding.INFARCT)), first.findings, 0)[changed]
    return Pair(hours=later.hours, kind=kind.astype(np.uint8), change_hu=change[changed], expected_hu=expected)


def _by_constants(pairs: Sequence[Pair], key: Callable[[Pair], int]) -> float:
    """Mean absolute error of one constant for each kind of voxel and key, learned from the other half."""
    errors = []
    for fold in (0, 1):
        known: dict[tuple[int, int], list[NDArray[np.float32]]] = {}
        for pair in pairs[1 - fold :: 2]:
            for kind in np.unique(pair.kind):
                known.setdefault((int(kind), key(pair)), []).append(pair.change_hu[pair.kind == kind])
        mean = {place: float(np.concatenate(values).mean()) for place, values in known.items()}
        for pair in pairs[fold::2]:
            told = np.array([mean.get((int(kind), key(pair)), 0.0) for kind in pair.kind])
            errors.append(np.abs(pair.change_hu - told))
    return float(np.concatenate(errors).mean())


def _hours_class(pair: Pair) -> int:
    return int(np.searchsorted(HOURS, pair.hours))


def measure(pairs: Sequence[Pair]) -> dict[str, float]:
    """Mean absolute error of each rule, over the changed voxels of all patients."""
    found = {
        "identity": float(np.abs(np.concatenate([pair.change_hu for pair in pairs])).mean()),
        "constants": _by_constants(pairs, lambda pair: 0),
        "constants by hours": _by_constants(pairs, _hours_class),
    }
    known = [np.abs(pair.change_hu - pair.expected_hu) for pair in pairs if pair.expected_hu is not None]
    return {**found, "expected": float(np.concatenate(known).mean())} if known else found


def main() -> None:
    """Print one line of JSON a version."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=40)
    count = parser.parse_args().patients
    for version in Version:
        seeds = [derived_seed(9, "patient", index) for index in range(1, count + 1)]
        pairs = [pair_of(version, seed) for seed in track(seeds, f"version {version.value}")]
        told = {name: round(error, 2) for name, error in measure(pairs).items()}
        below = {name: f"{100 * (1 - error / told['identity']):.0f} %" for name, error in told.items()}
        print(json.dumps({"version": version.value, "patients": count, "error_hu": told, "below identity": below}))


if __name__ == "__main__":
    main()
