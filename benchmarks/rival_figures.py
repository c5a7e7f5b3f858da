"""What bundles made of the exams of ``benchmarks/rivals.py``, and the figures of it, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich.table import Table
from sklearn.metrics import roc_auc_score

from benchmarks.rival_exams import Sort
from dicomnode.decision import Decision

BLEED_ML, LARGE_ML, FOUND_ML = 1.0, 4.9, 0.1
"""A bleed that is judged; one that must be touched (painted ones miss their 5 mL by a voxel); touched."""
SENSITIVITY = 0.9
EXTRA_AXIAL = ("subdural", "epidural")


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What one bundle made of one exam, or of one slice that counts as one.

    Attributes
    ----------
    marked_ml : of all that is above the threshold of a voxel; ``told_ml`` of it is told by the node.
    hit_ml : blood that is marked.
    stained_ml : stained by contrast medium; ``taken_ml`` of it is marked as blood.
    score : exam score before any calibration, 0 to 1.
    decision : of the node; empty for a slice.
    """

    sort: str
    group: str
    name: str
    true_ml: float
    marked_ml: float
    told_ml: float
    hit_ml: float
    stained_ml: float
    taken_ml: float
    score: float
    decision: str
    seconds: float

    @property
    def dice(self) -> float:
        """NaN where neither is."""
        total = self.true_ml + self.marked_ml
        return 2.0 * self.hit_ml / total if total else float("nan")

    @property
    def false_ml(self) -> float:
        """Marked, and no blood."""
        return self.marked_ml - self.hit_ml

    @property
    def is_bleed(self) -> bool:
        """Whether it is large enough to be judged."""
        return self.true_ml >= BLEED_ML


Reads = Sequence[Read]
Figure = Callable[[Reads], str]


def groups_table(reads: Mapping[str, Reads]) -> Table:
    """One row a group and figure, the bundles beside each other."""
    table = Table("exams", "", *reads)
    groups = dict.fromkeys(read.group for some in reads.values() for read in some)
    for group in groups:
        of_bundle = [[read for read in some if read.group == group] for some in reads.values()]
        _add(table, f"{group} ({max(map(len, of_bundle))})", _figures_of(of_bundle), of_bundle)
    return table


def summary_table(reads: Mapping[str, Reads]) -> Table:
    """What the bundles are judged by, one row each."""
    table = Table("exams", "", *reads)
    for title, (chosen, figures) in SUMMARY.items():
        of_bundle = [[read for read in some if chosen(read)] for some in reads.values()]
        if any(of_bundle):
            _add(table, f"{title} ({max(map(len, of_bundle))})", figures, of_bundle)
    return table


def _add(table: Table, title: str, figures: Mapping[str, Figure], of_bundle: Sequence[Reads]) -> None:
    rows = {says: [figure(some) for some in of_bundle] for says, figure in figures.items()}
    for says, row in rows.items():
        if any(row):
            table.add_row(title, says, *row)
            title = ""


def _figures_of(of_bundle: Sequence[Reads]) -> Mapping[str, Figure]:
    first = next(read for some in of_bundle for read in some)
    return OF_SLICES if first.sort == Sort.SLICE else OF_EXAMS


def _mean(values: Sequence[float]) -> str:
    return f"{np.mean(values):.2f}" if values else ""


def _dice(reads: Reads) -> str:
    return _mean([read.dice for read in reads if read.is_bleed])


def _least_dice(reads: Reads) -> str:
    return f"{min(read.dice for read in reads if read.is_bleed):.2f}" if any(read.is_bleed for read in reads) else ""


def _least_dice_outside(reads: Reads) -> str:
    """Of painted ones: what a group holds begins its name."""
    return _least_dice([read for read in reads if read.group.startswith(EXTRA_AXIAL)])


def _found(reads: Reads) -> str:
    return _share([read.hit_ml >= FOUND_ML for read in reads if read.is_bleed])


def _large_found(reads: Reads) -> str:
    return _share([read.hit_ml >= FOUND_ML for read in reads if read.true_ml >= LARGE_ML])


def _false_ml(reads: Reads) -> str:
    return _mean([read.false_ml for read in reads])


def _most_false_ml(reads: Reads) -> str:
    return f"{max(read.false_ml for read in reads):.2f}" if reads else ""


def _told_ml(reads: Reads) -> str:
    return _mean([read.told_ml for read in reads])


def _positive(reads: Reads) -> str:
    return _share([read.decision == Decision.POSITIVE for read in reads if read.decision])


def _share(said: Sequence[bool]) -> str:
    return f"{sum(said)} of {len(said)}" if said else ""


def _stained(reads: Reads) -> str:
    stained = sum(read.stained_ml for read in reads)
    taken = sum(read.taken_ml for read in reads)
    return f"{taken:.1f} of {stained:.1f} ({taken / stained:.0%})" if stained else ""


def _seconds(reads: Reads) -> str:
    return _mean([read.seconds for read in reads])


def _dice_of_slices(reads: Reads) -> str:
    return _mean([read.dice for read in reads if read.true_ml])


def _recall(reads: Reads) -> str:
    true_ml = sum(read.true_ml for read in reads)
    return f"{sum(read.hit_ml for read in reads) / true_ml:.0%}" if true_ml else ""


def _precision(reads: Reads) -> str:
    marked_ml = sum(read.marked_ml for read in reads)
    return f"{sum(read.hit_ml for read in reads) / marked_ml:.0%}" if marked_ml else ""


def _parted(reads: Reads) -> tuple[list[float], list[float]]:
    """Scores of bleeds, and of exams without blood."""
    return [read.score for read in reads if read.is_bleed], [read.score for read in reads if not read.true_ml]


def _auc(reads: Reads) -> str:
    bleeds, clean = _parted(reads)
    if not bleeds or not clean:
        return ""
    return f"{roc_auc_score([1] * len(bleeds) + [0] * len(clean), bleeds + clean):.3f}"


def _false_at_sensitivity(reads: Reads) -> str:
    bleeds, clean = _parted(reads)
    if not bleeds or not clean:
        return ""
    threshold = sorted(bleeds)[int(len(bleeds) * (1.0 - SENSITIVITY) + 1e-9)]
    return _share([score >= threshold for score in clean])


OF_EXAMS: Mapping[str, Figure] = {
    "Dice from 1 mL": _dice,
    "found from 1 mL": _found,
    "false mL": _false_ml,
    "positive": _positive,
    "stained mL marked": _stained,
    "seconds": _seconds,
}
OF_SLICES: Mapping[str, Figure] = {
    "Dice of a slice": _dice_of_slices,
    "of the blood marked": _recall,
    "of the marks blood": _precision,
}
SUMMARY: Mapping[str, tuple[Callable[[Read], bool], Mapping[str, Figure]]] = {
    "real heads without blood": (
        lambda read: read.sort == Sort.CLEAN,
        {"false mL, most": _most_false_ml, "told by the node, mean mL": _told_ml, "positive": _positive},
    ),
    "painted into real heads": (
        lambda read: read.sort == Sort.PAINTED,
        {
            "Dice": _dice,
            "least Dice": _least_dice,
            "least Dice, subdural and epidural": _least_dice_outside,
            "touched from 5 mL": _large_found,
            "false mL": _false_ml,
        },
    ),
    "synthetic heads without blood or stain": (
        lambda read: read.sort == Sort.SYNTHETIC and not read.true_ml and not read.stained_ml,
        {"false mL": _false_ml, "false mL, most": _most_false_ml, "positive": _positive},
    ),
    "synthetic bleeds from 1 mL": (
        lambda read: read.sort == Sort.SYNTHETIC and read.is_bleed,
        {"Dice": _dice, "found": _found, "positive": _positive, "false mL": _false_ml},
    ),
    "synthetic, these two by the exam score": (
        lambda read: read.sort == Sort.SYNTHETIC and (read.is_bleed or (not read.true_ml and not read.stained_ml)),
        {"AUC": _auc, f"false positives at a sensitivity of {SENSITIVITY:g}": _false_at_sensitivity},
    ),
    "stained by contrast medium": (
        lambda read: read.stained_ml > 0.0,
        {"stained mL marked": _stained, "positive without blood": lambda r: _positive([x for x in r if not x.true_ml])},
    ),
    "real slices": (lambda read: read.sort == Sort.SLICE, OF_SLICES),
    "all but films and slices": (
        lambda read: read.sort not in (Sort.FILM, Sort.SLICE),
        {"Dice from 1 mL": _dice, "false mL": _false_ml, "seconds": _seconds},
    ),
}
"""Title -> which exams, and their figures."""
