"""Bundles that mark blood, side by side on the same heads: what they find, what they mark falsely, how long they take.

    python -m benchmarks.rivals --bundle hemorrhage --bundle OTHER=FOLDER \\
        --real HEAD [--real HEAD] --paint --cohort normal-A --cohort trauma-B ... --keep rivals.jsonl

``--real`` names series of real heads without blood; ``--paint`` paints the bleeds of ``benchmarks/painted_head.py``
into the last of them, too. ``--cohort`` names folders of ``dicomnode cohort make``; what is stained by contrast medium
there is counted apart. A bundle is one of the node's, or NAME=FOLDER. Blood is all that a bundle marks but oedema, at
its own thresholds, without the rules by which the node leaves marks out; whether an exam is positive is the node's
decision, where the bundle allows one. Every exam is read once by every bundle; ``--keep`` holds what was found, one
line each, and a later call reads only what is not there yet.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.blood import blood_in, masks_of
from benchmarks.painted_head import CASES
from dicomnode.cohort.findings import Finding
from dicomnode.decision import Decision, worst
from dicomnode.dicom.libraries import set_up_pydicom
from dicomnode.errors import SeriesError
from dicomnode.images.files import read_image
from dicomnode.records import Inputs, Volume
from dicomnode.train.importers import cohort
from dicomnode.train.manifest import Case, MaskFile
from dicomnode.train.masks import read_mask
from dicomnode.zoo.orientation import orientation_of
from dicomnode.zoo.registry import Registry, open_bundle
from dicomnode.zoo.runner import Runner
from tests.tools.paint import paint_volume, room_for

BLEED_ML = 1.0
FOUND_ML = 0.1
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Exam:
    """One exam; ``read`` gives the volume, its blood and what contrast medium stains, (slices, rows, columns)."""

    group: str
    name: str
    read: Callable[[], tuple[Volume, Mask, Mask]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What one bundle made of one exam.

    Attributes
    ----------
    hit_ml : blood that is marked; ``stained_ml``: stained, and ``taken_ml`` of it marked as blood.
    decision : of the node; empty where there is none.
    """

    bundle: str
    group: str
    name: str
    true_ml: float
    marked_ml: float
    hit_ml: float
    stained_ml: float
    taken_ml: float
    decision: str
    seconds: float

    @property
    def dice(self) -> float:
        """NaN where neither is."""
        total = self.true_ml + self.marked_ml
        return 2.0 * self.hit_ml / total if total else float("nan")


def real_exams(folders: Sequence[Path], paint: bool) -> Iterator[Exam]:
    """Real heads as they are, and with painted bleeds."""
    for folder in folders:
        yield Exam("real, clean", folder.name, partial(_clean, folder))
    if paint and folders:
        for kind, volume_ml in CASES:
            yield Exam(f"painted {kind}", f"{volume_ml:g} mL", partial(_painted, folders[-1], kind, volume_ml))


def _clean(folder: Path) -> tuple[Volume, Mask, Mask]:
    volume = read_image(folder)
    nothing = np.zeros(volume.hu.shape, np.bool_)
    return volume, nothing, nothing


def _painted(folder: Path, kind: str, volume_ml: float) -> tuple[Volume, Mask, Mask]:
    volume = read_image(folder)
    hu, truth = paint_volume(volume, room_for(volume, kind), volume_ml=volume_ml, kind=kind)
    return Volume(hu, volume.stack, volume.sop_instance_uids), truth, np.zeros_like(truth)


def cohort_exams(folder: Path, beside: Path) -> Iterator[Exam]:
    """The baseline of every patient, grouped by the folder and by whether there is blood."""
    for case in cohort.read(folder, beside):
        group = f"{folder.name}, {'blood' if case.labels['hemorrhage'] else 'no blood'}"
        yield Exam(group, case.id, partial(_of_cohort, case))


def _of_cohort(case: Case) -> tuple[Volume, Mask, Mask]:
    assert case.image is not None
    volume = read_image(case.image)
    stained = MaskFile(case.masks["hemorrhage"].path, (int(Finding.STAINING),))
    turn = orientation_of(volume.stack).from_canonical
    return volume, turn(read_mask(case.masks["hemorrhage"], volume)), turn(read_mask(stained, volume))


def judge(bundle: str, runner: Runner, exam: Exam) -> Read:
    """Run one bundle on one exam."""
    volume, truth, stained = exam.read()
    ml, start = volume.stack.volume_ml, time.monotonic()
    masks = masks_of(runner, Inputs(volume=volume))
    seconds, marked = time.monotonic() - start, blood_in(masks)
    decided = [mask.decision for mask in masks if mask.exam_threshold is not None]
    return Read(
        bundle=bundle,
        group=exam.group,
        name=exam.name,
        true_ml=ml(truth),
        marked_ml=ml(marked),
        hit_ml=ml(truth & marked),
        stained_ml=ml(stained),
        taken_ml=ml(stained & marked),
        decision=worst(decided) or "",
        seconds=seconds,
    )


def table_of(reads: Sequence[Read]) -> Table:
    """One row a group, the figures of every bundle beside each other."""
    bundles = list(dict.fromkeys(read.bundle for read in reads))
    table = Table("exams", "", *bundles)
    for group in dict.fromkeys(read.group for read in reads):
        of_bundle = [[read for read in reads if (read.bundle, read.group) == (bundle, group)] for bundle in bundles]
        for says, figure in FIGURES.items():
            row = [figure(some) for some in of_bundle]
            if any(row):
                table.add_row(f"{group} ({len(of_bundle[0])})" if says == "seconds" else "", says, *row)
    return table


def _mean(values: Sequence[float]) -> str:
    return f"{np.mean(values):.2f}" if values else ""


def _dice(reads: Sequence[Read]) -> str:
    return _mean([read.dice for read in reads if read.true_ml >= BLEED_ML])


def _found(reads: Sequence[Read]) -> str:
    large = [read for read in reads if read.true_ml >= BLEED_ML]
    return f"{sum(read.hit_ml >= FOUND_ML for read in large)} of {len(large)}" if large else ""


def _false_ml(reads: Sequence[Read]) -> str:
    return _mean([read.marked_ml - read.hit_ml for read in reads])


def _positive(reads: Sequence[Read]) -> str:
    said = [read for read in reads if read.decision]
    return f"{sum(read.decision == Decision.POSITIVE for read in said)} of {len(said)}" if said else ""


def _stained(reads: Sequence[Read]) -> str:
    stained = sum(read.stained_ml for read in reads)
    return f"{sum(read.taken_ml for read in reads):.1f} of {stained:.1f}" if stained else ""


FIGURES = {
    "seconds": lambda reads: _mean([read.seconds for read in reads]),
    "Dice from 1 mL": _dice,
    "found from 1 mL": _found,
    "false mL": _false_ml,
    "positive": _positive,
    "stained mL marked": _stained,
}


def runner_named(words: str, threads: int) -> tuple[str, Runner]:
    """``NAME`` of the node's bundles, or ``NAME=FOLDER``."""
    name, _, folder = words.partition("=")
    registered = open_bundle(Path(folder)) if folder else Registry().get(name)
    return name, Runner(registered, threads=threads)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", action="append", required=True, help="NAME, or NAME=FOLDER")
    parser.add_argument("--real", type=Path, action="append", default=[])
    parser.add_argument("--paint", action="store_true")
    parser.add_argument("--cohort", type=Path, action="append", default=[])
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    set_up_pydicom()
    torch.manual_seed(0)
    exams = list(real_exams(given.real, given.paint))
    for folder in given.cohort:
        exams += cohort_exams(folder, given.keep.parent)
    lines = given.keep.read_text(encoding="utf-8").splitlines() if given.keep.exists() else []
    reads = [Read(**json.loads(line)) for line in lines]
    known = {(read.bundle, read.group, read.name) for read in reads}
    for words in given.bundle:
        name, runner = runner_named(words, given.threads)
        missing = [exam for exam in exams if (name, exam.group, exam.name) not in known]
        for exam in track(missing, description=name):
            try:
                reads.append(judge(name, runner, exam))
            except (ValueError, SeriesError) as error:
                print(
                    f"{exam.group}, {exam.name}: left out, {error}"
                )  # no room for a bleed, or refused as the node refuses it
                continue
            with given.keep.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(asdict(reads[-1])) + "\n")
    Console().print(table_of(reads))


if __name__ == "__main__":
    main()
