"""Bundles that mark blood, side by side on the same heads: what they find, what they mark falsely, how long they take.

    dicomnode cohort make normal-A -n 20 --seed 77 --arm normal --site A --baseline-only    (normal-B, evt-B, ...)
    dicomnode zoo import --layout blast-ct model_1.pt --name blast_ct_1 --into models
    python -m benchmarks.rivals --bundle hemorrhage --ours detector=best.safetensors \\
        --bundle one=models/blast_ct_1 --real HEAD --paint HEAD --cohort normal-A --slices FOLDER --keep rivals.jsonl

Options may be given again. ``--bundle`` names one of the node's, or NAME=FOLDER; ``--ours`` takes weights of a training
that nobody has installed, see ``benchmarks/rival_weights.py``. ``--real`` names series of real heads without blood,
``--paint`` those to paint the bleeds of ``benchmarks/painted_head.py`` into, ``--cohort`` folders of
``dicomnode cohort make``, where what is stained by contrast medium is counted apart, ``--slices`` those of
``benchmarks/real_slices.py``.

Blood is all that a bundle marks but oedema, at its own thresholds, without the rules by which the node leaves marks
out; whether an exam is positive is what the node makes of it, the gravest of all kinds of blood. Two rows look at the
exam score instead, before any calibration: they ask the same of bundles that give a probability out and of those that
do not, and their threshold is chosen on these very exams.

``--keep`` holds what was found, a line each, by the digests of bundle and exam: a later call reads only what is not
there yet, whatever a bundle is called. A change of the node's own code is not seen: begin a new file then.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from benchmarks.blood import blood_in, masks_of
from benchmarks.rival_exams import Exam, Known, Mask, clean_exam, cohort_exams, painted_exams, slice_exams
from benchmarks.rival_figures import Read, groups_table, summary_table
from benchmarks.rival_weights import bundle_of
from dicomnode.decision import worst
from dicomnode.dicom.libraries import set_up_pydicom
from dicomnode.errors import SeriesError
from dicomnode.measure.exam import exam_score
from dicomnode.records import PROBABILITY_SCALE, Inputs, MaskFinding
from dicomnode.zoo.registry import RegisteredBundle, Registry, open_bundle
from dicomnode.zoo.runner import Runner


class Kept:
    """What was found before, one exam a line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self._found = {(one["bundle"], one["exam"]): one["reads"] for one in map(json.loads, lines)}

    def of(self, bundle: RegisteredBundle, exam: Exam) -> list[Read] | None:
        """None where it was not read yet; named as it is called today."""
        found = self._found.get((bundle.digest, exam.digest))
        return None if found is None else [Read(**{**one, "group": exam.group, "sort": exam.sort}) for one in found]

    def add(self, bundle: RegisteredBundle, exam: Exam, reads: list[Read]) -> None:
        """Keep some more."""
        line = {"bundle": bundle.digest, "exam": exam.digest, "reads": [asdict(read) for read in reads]}
        self._found[bundle.digest, exam.digest] = line["reads"]
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")


def judge(runner: Runner, exam: Exam) -> list[Read]:
    """Run a bundle on an exam: what it made of the exam, or of each of its slices that count as one.

    Raises
    ------
    ValueError : there is no room for the bleed.
    SeriesError : the bundle refuses the exam.
    """
    known = exam.read()
    start = time.monotonic()
    masks = masks_of(runner, Inputs(volume=known.volume))
    seconds = time.monotonic() - start
    if not known.counted:
        return [_read(exam, exam.name, known, masks, np.ones(known.blood.shape[0], np.bool_), seconds)]
    numbers = np.arange(known.blood.shape[0])
    each = seconds / len(known.counted)
    return [_read(exam, name, known, masks, numbers == index, each) for index, name in known.counted]


def _read(exam: Exam, name: str, known: Known, masks: list[MaskFinding], within: Mask, seconds: float) -> Read:
    marked, told = blood_in(masks), np.any([mask.mask for mask in masks], axis=0)
    decided = worst(mask.decision for mask in masks) if within.all() else None

    def ml(mask: Mask) -> float:
        return known.volume.stack.volume_ml(mask & within[:, None, None])

    return Read(
        sort=exam.sort,
        group=exam.group,
        name=name,
        true_ml=ml(known.blood),
        marked_ml=ml(marked),
        told_ml=ml(told),
        hit_ml=ml(known.blood & marked),
        stained_ml=ml(known.stained),
        taken_ml=ml(known.stained & marked),
        score=_score_of(known, masks),
        decision=decided or "",
        seconds=seconds,
    )


def _score_of(known: Known, masks: list[MaskFinding]) -> float:
    """Of the likeliest kind of blood at each voxel."""
    steps = np.max([mask.probability for mask in masks if mask.probability is not None], axis=0)
    return exam_score(np.asarray(steps / PROBABILITY_SCALE, np.float32), known.volume.stack.voxel_ml)


def exams_of(given: argparse.Namespace) -> Iterator[Exam]:
    """All that the command line asks for."""
    yield from map(clean_exam, given.real)
    for folder in given.paint:
        yield from painted_exams(folder)
    for folder in given.cohort:
        yield from islice(cohort_exams(folder, given.keep.parent), given.most)
    if given.slices:
        yield from slice_exams(given.slices)


def bundles_of(given: argparse.Namespace, scratch: Path) -> Iterator[tuple[str, RegisteredBundle]]:
    """By the name that the table gives them."""
    for words in given.bundle:
        name, _, folder = words.partition("=")
        yield name, open_bundle(Path(folder)) if folder else Registry().get(name)
    for number, words in enumerate(given.ours):
        name, _, weights = words.partition("=")
        yield name, open_bundle(bundle_of(Path(weights), scratch / f"ours-{number}"))


def read_all(name: str, bundle: RegisteredBundle, exams: list[Exam], kept: Kept, threads: int) -> None:
    """Read what was not read yet; what has no room for a bleed, or is refused, is said."""
    missing = [exam for exam in exams if kept.of(bundle, exam) is None]
    runner = Runner(bundle, threads=threads) if missing else None
    for exam in track(missing, description=name):
        assert runner is not None
        try:
            kept.add(bundle, exam, judge(runner, exam))
        except (ValueError, SeriesError) as error:
            print(f"{exam.group}, {exam.name}: left out, {error}")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", action="append", default=[], help="NAME, or NAME=FOLDER")
    parser.add_argument("--ours", action="append", default=[], help="NAME=WEIGHTS of a training")
    parser.add_argument("--real", type=Path, action="append", default=[])
    parser.add_argument("--paint", type=Path, action="append", default=[])
    parser.add_argument("--cohort", type=Path, action="append", default=[])
    parser.add_argument("--most", type=int, help="exams of each cohort, the first ones; default: all")
    parser.add_argument("--slices", type=Path)
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    set_up_pydicom()
    torch.manual_seed(0)
    exams, kept = list(exams_of(given)), Kept(given.keep)
    found: dict[str, list[Read]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, bundle in bundles_of(given, Path(scratch)):
            read_all(name, bundle, exams, kept, given.threads)
            found[name] = [read for exam in exams for read in kept.of(bundle, exam) or ()]
    for table in (groups_table(found), summary_table(found)):
        Console().print(table)


if __name__ == "__main__":
    main()
