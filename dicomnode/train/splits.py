"""Splits and folds by patient: no exam of a patient is ever on both sides.

Both are drawn from the seed alone, whatever the order of the rows, and keep the share of positive patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dicomnode.cohort.streams import stream
from dicomnode.errors import ManifestError
from dicomnode.train.manifest import Case, Manifest, Split

FOLDS = 5
SHARES: Mapping[Split, float] = {Split.TRAIN: 0.7, Split.VALIDATION: 0.15, Split.TEST: 0.15}


@dataclass(frozen=True, slots=True)
class Fold:
    """One part of a cross-validation; together the ``test`` of all folds hold every exam once."""

    index: int
    train: tuple[Case, ...]
    test: tuple[Case, ...]


def stratum_of(cases: Sequence[Case], label: str | None) -> str:
    """Stratum of one patient: positive when any of the exams is, unknown when no exam has the label.

    Without a label the stratum says whether any exam has a mask.
    """
    if label is None:
        return "mask" if any(case.masks for case in cases) else "no mask"
    known = [case.labels[label] for case in cases if label in case.labels]
    return "unknown" if not known else "positive" if max(known) >= 0.5 else "negative"


def draw_splits(
    manifest: Manifest, seed: int, label: str | None = None, shares: Mapping[Split, float] | None = None
) -> Manifest:
    """Give every exam a split, by patient and stratum; a manifest that has splits already is returned as it is.

    Parameters
    ----------
    label : to stratify by; None: by whether there is a mask.
    shares : of the patients, summing to 1; ``SHARES`` when None.

    Raises
    ------
    ManifestError : fewer patients than splits.
    """
    if all(case.split is not None for case in manifest.cases):
        return manifest
    shares = shares or SHARES
    names = list(shares)
    edges = np.cumsum([shares[name] for name in names])
    chosen: dict[str, Split] = {}
    for patients in _shuffled_strata(manifest.cases, seed, label, "splits"):
        places = (np.arange(len(patients)) + 0.5) / len(patients)
        for patient, place in zip(patients, places, strict=True):
            chosen[patient] = names[min(int(np.searchsorted(edges, place)), len(names) - 1)]
    if len(chosen) < len(names):
        raise ManifestError([f"{manifest.path.name}: {len(chosen)} patients are too few for {len(names)} splits"])
    _fill(chosen, names)
    return replace(manifest, cases=tuple(replace(case, split=chosen[case.patient]) for case in manifest.cases))


def _fill(chosen: dict[str, Split], names: Sequence[Split]) -> None:
    """Give a split that small strata left empty the last patient of the largest one."""
    for name in names:
        if name not in chosen.values():
            members = {other: [p for p, split in chosen.items() if split is other] for other in names}
            chosen[max(members.values(), key=len)[-1]] = name


def folds_of(cases: Sequence[Case], seed: int, label: str | None = None, count: int = FOLDS) -> tuple[Fold, ...]:
    """Cross-validation by patient, stratified.

    Raises
    ------
    ManifestError : fewer patients than folds.
    """
    fold_of: dict[str, int] = {}
    dealt = 0
    for patients in _shuffled_strata(cases, seed, label, "folds"):
        for patient in patients:
            # dealt on from stratum to stratum, so that fold sizes differ by one patient at most
            fold_of[patient] = dealt % count
            dealt += 1
    if dealt < count:
        raise ManifestError([f"{dealt} patients are too few for {count} folds"])
    return tuple(
        Fold(
            index,
            tuple(case for case in cases if fold_of[case.patient] != index),
            tuple(case for case in cases if fold_of[case.patient] == index),
        )
        for index in range(count)
    )


def _shuffled_strata(cases: Sequence[Case], seed: int, label: str | None, purpose: str) -> list[list[str]]:
    by_patient: dict[str, list[Case]] = {}
    for case in cases:
        by_patient.setdefault(case.patient, []).append(case)
    strata: dict[str, list[str]] = {}
    for patient in sorted(by_patient):
        strata.setdefault(stratum_of(by_patient[patient], label), []).append(patient)
    return [
        [patients[i] for i in stream(seed, purpose, name).permutation(len(patients))]
        for name, patients in sorted(strata.items())
    ]
