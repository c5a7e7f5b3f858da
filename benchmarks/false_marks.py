"""What a bundle marks in heads without blood, and what a detection limit and a rule for dense marks make of it.

    dicomnode cohort make normal-A -n 20 --seed 77 --arm normal --site A      (and normal-B, ich-A, trauma-A, ...)
    python -m benchmarks.false_marks normal-A normal-B ich-A trauma-A --real HEAD [--real HEAD] [--keep FILE]

Exams of the cohorts without any painted blood, and the real heads, count as blood-free; those with at least 1 mL as
bleeds; ``--paint`` adds the bleeds of ``benchmarks/painted_head.py``, painted into each real head. Every exam is read
once; all limits and rules are tried on what was marked: before and after stand in one run. ``--keep`` holds what
was marked, one exam a line, and a later call reads only what is not there yet.

The limit that comes out: of all that lose no bleed of at least 1 mL that the lowest one finds, the smallest that leaves
as few blood-free exams with a mark that counts as any of them does.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.painted_head import CASES
from dicomnode.decision import Decision, grounds_of
from dicomnode.errors import SeriesError
from dicomnode.images.volume import read_volume
from dicomnode.measure.density import dense_share
from dicomnode.measure.exam import exam_probability
from dicomnode.measure.lesions import components
from dicomnode.measure.parenchyma import commonest_soft_tissue_hu
from dicomnode.records import Inputs, Volume
from dicomnode.zoo.registry import Registry
from dicomnode.zoo.runner import Runner
from tests.tools.paint import paint_volume, room_for

LIMITS_ML = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 1.0, 1.5, 2.0)
ABOVE_BRAIN_HU = (50, 60, 65, 70, 75, 80, 90, 100)
SHARES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
LEAST_ML = 0.02
BLEED_ML = 1.0
FOUND_ML = 0.1
TRUE_SHARE = 0.1
"""A piece with a smaller share of painted voxels is a false mark."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One connected piece of a mask. ``dense``: share of its voxels above the brain by each of ``ABOVE_BRAIN_HU``."""

    ml: float
    true_ml: float
    mean_hu: float
    max_hu: float
    dense: tuple[float, ...]

    @property
    def is_true(self) -> bool:
        """Whether it lies on painted blood."""
        return self.true_ml > TRUE_SHARE * self.ml

    def is_dense(self, above_brain_hu: float, share: float) -> bool:
        """By a rule of ``ABOVE_BRAIN_HU``."""
        return self.dense[ABOVE_BRAIN_HU.index(int(above_brain_hu))] > share


@dataclass(frozen=True, slots=True)
class Exam:
    """What was marked in one exam, largest piece first; ``truth_ml``: painted blood."""

    name: str
    truth_ml: float
    probability: float
    pieces: tuple[Piece, ...]

    def counted(self, limit_ml: float, rule: tuple[float, float] | None) -> list[Piece]:
        """What is left by a limit and a rule."""
        large = [piece for piece in self.pieces if piece.ml >= limit_ml]
        return [piece for piece in large if rule is None or not piece.is_dense(*rule)]

    def decision(self, limit_ml: float, rule: tuple[float, float] | None, threshold: float | None) -> Decision:
        """As the node decides."""
        return grounds_of(bool(self.counted(limit_ml, rule)), self.probability, threshold).decision

    def is_found(self, limit_ml: float, rule: tuple[float, float] | None) -> bool:
        """Whether a counted piece lies on the blood."""
        return sum(piece.true_ml for piece in self.counted(limit_ml, rule)) >= FOUND_ML


def examine(runner: Runner, name: str, volume: Volume, truth: NDArray[np.bool_]) -> Exam:
    """Run the bundle on one exam.

    Raises
    ------
    SeriesError : the bundle refuses it.
    """
    output = runner.manifest.masks[0]
    probability = np.asarray(runner.outputs(Inputs(volume=volume))[output.name])
    exam = exam_probability(probability, volume, output.exam_slope, output.exam_intercept)
    brain_hu = commonest_soft_tissue_hu(volume.hu) or 0.0
    pieces = []
    for piece in components(probability > output.threshold, volume.stack):
        if piece.volume_ml < LEAST_ML:
            continue
        hu, painted = volume.hu[piece.box][piece.voxels], truth[piece.box] & piece.voxels
        true_ml = float(painted.sum(axis=(1, 2)) @ volume.stack.voxel_ml[piece.box[0]])
        dense = tuple(round(dense_share(hu, brain_hu, above), 4) for above in ABOVE_BRAIN_HU)
        pieces.append(Piece(piece.volume_ml, true_ml, float(hu.mean()), float(hu.max()), dense))
    return Exam(name, volume.stack.volume_ml(truth), exam, tuple(pieces))


def exams_in(folder: Path, followups: bool) -> Iterator[tuple[str, Path, Path | None]]:
    """Name, images and masks of the exams of a cohort (those of few slices first), or of a folder with one series."""
    if not (folder / "manifest.csv").exists():
        yield folder.name, folder, None
        return
    with (folder / "manifest.csv").open(encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: int(row["slices"]))
    for row in rows:
        for prefix in ("", "followup_") if followups else ("",):
            image = row[f"{prefix}image"]
            yield f"{folder.name}/{image}", folder / image, folder / row[f"{prefix}masks"]


def painted_in(head: Volume) -> Iterator[tuple[str, Volume, NDArray[np.bool_]]]:
    """Bleeds painted into a head: what they are, the volume and the painted blood."""
    for kind, volume_ml in CASES:
        hu, truth = paint_volume(head, room_for(head, kind), volume_ml=volume_ml, kind=kind)
        yield f"{kind} {volume_ml:g} mL", replace(head, hu=hu), truth


def read(images: Path, masks: Path | None) -> tuple[Volume, NDArray[np.bool_]]:
    """One exam and its painted blood."""
    volume = read_volume(sorted(path for path in images.iterdir() if path.suffix == ".dcm"))
    if masks is None:
        return volume, np.zeros(volume.hu.shape, np.bool_)
    return volume, np.load(masks)["mask"][list(volume.stack.order)]


class Kept:
    """What was marked before, one exam a line."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path is not None and path.exists() else []
        self.exams = {exam.name: exam for exam in map(_exam_of, lines)}

    def add(self, exam: Exam) -> None:
        """Keep one more."""
        self.exams[exam.name] = exam
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(exam)) + "\n")


def _exam_of(line: str) -> Exam:
    values = json.loads(line)
    pieces = tuple(Piece(**{**piece, "dense": tuple(piece["dense"])}) for piece in values.pop("pieces"))
    return Exam(**values, pieces=pieces)


def read_all(folders: Sequence[Path], runner: Runner, kept: Kept, followups: bool) -> Iterator[Exam]:
    """Every exam of some folders; those that the bundle refuses are said."""
    for folder in folders:
        for name, images, masks in exams_in(folder, followups):
            if name not in kept.exams:
                try:
                    kept.add(examine(runner, name, *read(images, masks)))
                except SeriesError as refusal:
                    print(f"{name}: refused: {refusal}")
                    continue
            yield kept.exams[name]


def paint_all(heads: Sequence[Path], runner: Runner, kept: Kept) -> Iterator[Exam]:
    """Every painted bleed in every head."""
    for folder in heads:
        head, _ = read(folder, None)
        for what, volume, truth in painted_in(head):
            name = f"{folder.name} + {what}"
            if name not in kept.exams:
                kept.add(examine(runner, name, volume, truth))
            yield kept.exams[name]


def print_exams(exams: Sequence[Exam]) -> None:
    """What lies where."""
    print("exam                                 painted mL  probability  pieces mL (mean/max HU; + on blood)")
    for exam in exams:
        pieces = [f"{p.ml:.2f} ({p.mean_hu:.0f}/{p.max_hu:.0f}{'+' if p.is_true else ''})" for p in exam.pieces[:4]]
        print(f"{exam.name:<36} {exam.truth_ml:>10.2f}  {exam.probability:>11.2f}  {', '.join(pieces)}")


def print_dense(exams: Sequence[Exam], least_ml: float) -> None:
    """How many true and false pieces each rule removes."""
    pieces = [piece for exam in exams for piece in exam.pieces if piece.ml >= least_ml]
    true, false = [p for p in pieces if p.is_true], [p for p in pieces if not p.is_true]
    print(f"\nDense marks of at least {least_ml:g} mL: true removed of {len(true)} / false removed of {len(false)}")
    print("above brain  " + "".join(f"> {share:.0%}".rjust(12) for share in SHARES))
    for above in ABOVE_BRAIN_HU:
        cells = [
            f"{sum(p.is_dense(above, s) for p in true)} / {sum(p.is_dense(above, s) for p in false)}" for s in SHARES
        ]
        print(f"{above:>8} HU  " + "".join(cell.rjust(12) for cell in cells))


def print_limits(
    clean: Sequence[Exam], bleeds: Sequence[Exam], rule: tuple[float, float] | None, threshold: float | None
) -> None:
    """What each limit makes of blood-free exams and of bleeds, and the limit that follows."""
    print("\nlimit mL  marks per blood-free exam  with a mark  positive  uncertain | bleeds found  positive  uncertain")
    for limit_ml in LIMITS_ML:
        marks = sum(len(exam.counted(limit_ml, rule)) for exam in clean)
        marked = sum(bool(exam.counted(limit_ml, rule)) for exam in clean)
        found = sum(exam.is_found(limit_ml, rule) for exam in bleeds)
        said = [[exam.decision(limit_ml, rule, threshold) for exam in group] for group in (clean, bleeds)]
        counts = [[group.count(one) for one in (Decision.POSITIVE, Decision.UNCERTAIN)] for group in said]
        print(
            f"{limit_ml:>8g} {marks / max(1, len(clean)):>26.2f} {marked:>6} of {len(clean):<3} {counts[0][0]:>9}"
            f" {counts[0][1]:>10} | {found:>6} of {len(bleeds):<3} {counts[1][0]:>9} {counts[1][1]:>10}"
        )
    chosen = limit_that_follows(clean, bleeds, rule)
    print(f"smallest limit with as few marked blood-free exams as can be without losing a found bleed: {chosen:g} mL")


def limit_that_follows(clean: Sequence[Exam], bleeds: Sequence[Exam], rule: tuple[float, float] | None) -> float:
    """See above."""
    found = [sum(exam.is_found(limit_ml, rule) for exam in bleeds) for limit_ml in LIMITS_ML]
    losing_none = [limit_ml for limit_ml, count in zip(LIMITS_ML, found, strict=True) if count == found[0]]
    marked = {limit_ml: sum(bool(exam.counted(limit_ml, rule)) for exam in clean) for limit_ml in losing_none}
    return next(limit_ml for limit_ml in losing_none if marked[limit_ml] == min(marked.values()))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohorts", type=Path, nargs="*")
    parser.add_argument("--real", type=Path, action="append", default=[], help="one CT series without blood")
    parser.add_argument("--paint", action="store_true", help="bleeds painted into the real heads, too")
    parser.add_argument("--bundle", default="hemorrhage")
    parser.add_argument("--keep", type=Path, help="file of what was marked")
    parser.add_argument("--followups", action="store_true", help="the second exam of each patient, too")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    runner = Runner(Registry().get(given.bundle), threads=given.threads)
    output = runner.manifest.masks[0]
    kept = Kept(given.keep)
    exams = list(read_all([*given.cohorts, *given.real], runner, kept, given.followups))
    exams += paint_all(given.real, runner, kept) if given.paint else ()
    clean = [exam for exam in exams if exam.truth_ml == 0]
    bleeds = [exam for exam in exams if exam.truth_ml >= BLEED_ML]
    print_exams(exams)
    print_dense(exams, LEAST_ML)
    rule = None if output.dense is None else (output.dense.above_brain_hu, output.dense.share)
    print_dense(exams, output.detection_limit_ml)
    print(
        f"\n{len(clean)} blood-free exams, {len(bleeds)} bleeds of at least {BLEED_ML:g} mL. "
        "Without a rule for dense marks:"
    )
    print_limits(clean, bleeds, None, output.exam_threshold)
    if rule is not None:
        print(f"\nWith the bundle's rule (more than {rule[1]:.0%} of a mark over {rule[0]:g} HU above the brain):")
        print_limits(clean, bleeds, rule, output.exam_threshold)
    decisions = [exam.decision(output.detection_limit_ml, rule, output.exam_threshold) for exam in clean]
    counted = sum(len(exam.counted(output.detection_limit_ml, rule)) for exam in clean)
    said = ", ".join(f"{one} {decisions.count(one)}" for one in Decision)
    print(
        f"\nAs shipped, limit {output.detection_limit_ml:g} mL: {counted / max(1, len(clean)):.2f} false marks "
        f"per blood-free exam; of {len(clean)}: {said}"
    )


if __name__ == "__main__":
    main()
