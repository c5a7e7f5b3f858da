"""What a bundle marks in a real head that has no bleed, and in the same head with bleeds painted into it.

    python -m benchmarks.painted_head FOLDER_WITH_ONE_CT_SERIES [--bundle NAME] [--weights FILE]

Several types and volumes, each at calibration offsets of -15, 0 and +15 HU. The head itself must be free of blood.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dicomnode.images.volume import read_volume
from dicomnode.measure.exam import exam_probability
from dicomnode.records import Inputs, Volume
from dicomnode.zoo.registry import Registry, open_bundle
from dicomnode.zoo.runner import Runner
from tests.tools.paint import Kind, paint_volume, room_for

OFFSETS_HU = (-15.0, 0.0, 15.0)
CLEAN = "none"
FILM: Kind = "film"
"""Shown, and counted apart: blood spread thinner than in real subdurals of its volume."""
CASES: tuple[tuple[Kind, float], ...] = (
    ("intraparenchymal", 2.0),
    ("intraparenchymal", 10.0),
    ("intraparenchymal", 30.0),
    ("intraparenchymal", 60.0),
    ("subdural", 10.0),
    ("subdural", 25.0),
    ("subdural", 60.0),
    (FILM, 10.0),
    ("epidural", 5.0),
    ("epidural", 20.0),
    ("epidural", 60.0),
    ("intraventricular", 2.0),
    ("intraventricular", 6.0),
    ("subarachnoid", 5.0),
    ("subarachnoid", 15.0),
)
FOUND_ML = 0.1


@dataclass(frozen=True, slots=True)
class Marked:
    """One run.

    Attributes
    ----------
    dice : NaN without a painted bleed.
    hit_ml : painted and marked.
    exam : probability that the exam shows blood at all, as the bundle calibrates it.
    """

    kind: str
    volume_ml: float
    offset_hu: float
    dice: float
    marked_ml: float
    hit_ml: float
    exam: float


def mark(runner: Runner, volume: Volume, truth: NDArray[np.bool_], kind: str, offset_hu: float) -> Marked:
    """Run the bundle on a volume whose calibration is off by ``offset_hu``."""
    output = runner.manifest.gives[0]
    probability = runner.outputs(Inputs(volume=replace(volume, hu=volume.hu + np.float32(offset_hu))))[output.name]
    marked = probability > output.threshold
    total = np.count_nonzero(marked) + np.count_nonzero(truth)
    dice = 2.0 * np.count_nonzero(marked & truth) / total if truth.any() else float("nan")
    painted_ml, marked_ml, hit_ml = (volume.stack.volume_ml(m) for m in (truth, marked, marked & truth))
    exam = exam_probability(probability, volume, output.exam_slope, output.exam_intercept)
    return Marked(kind, painted_ml, offset_hu, dice, marked_ml, hit_ml, exam)


def try_all(runner: Runner, volume: Volume) -> Iterator[Marked]:
    """The head as it is, then every case, each at every offset."""
    room = {kind: room_for(volume, kind) for kind in dict.fromkeys(kind for kind, _ in CASES)}
    cases = [(CLEAN, volume.hu, np.zeros(volume.hu.shape, np.bool_))]
    cases += [(kind, *paint_volume(volume, room[kind], volume_ml=ml, kind=kind)) for kind, ml in CASES]
    for kind, hu, truth in cases:
        for offset_hu in OFFSETS_HU:
            yield mark(runner, replace(volume, hu=hu), truth, kind, offset_hu)


def runner_of(bundle: str, weights: Path | None, threads: int) -> Runner:
    """A bundle, with weights in place of its own where given."""
    registered = Registry().get(bundle)
    if weights is None:
        return Runner(registered, threads=threads)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(registered.manifest.path, Path(folder) / "bundle"))
        shutil.copyfile(weights, copy / "models/model.safetensors")
        return Runner(open_bundle(copy), threads=threads)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bundle", default="hemorrhage")
    parser.add_argument("--weights", type=Path, help="in place of the bundle's own")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    runner = runner_of(given.bundle, given.weights, given.threads)
    torch.manual_seed(0)
    volume = read_volume(sorted(path for path in given.folder.iterdir() if path.suffix == ".dcm"))
    print("type              painted mL  offset HU   Dice  marked mL   exam  found")
    results = []
    for one in try_all(runner, volume):
        found = "" if np.isnan(one.dice) else "yes" if one.hit_ml >= FOUND_ML else "NO"
        print(
            f"{one.kind:<17} {one.volume_ml:>10.1f} {one.offset_hu:>10.0f} {one.dice:>6.2f} {one.marked_ml:>10.2f}"
            f" {one.exam:>6.2f}  {found}",
            flush=True,
        )
        results.append(one)
    painted = [one for one in results if one.kind not in (CLEAN, FILM)]
    large = [one for one in painted if one.volume_ml >= 4.9]
    print(f"mean Dice {np.mean([one.dice for one in painted]):.3f} over {len(painted)} painted bleeds")
    for kind in dict.fromkeys(one.kind for one in painted):
        print(f"  {kind}: {np.mean([one.dice for one in painted if one.kind == kind]):.3f}")
    print(f"found, of at least 5 mL: {sum(one.hit_ml >= FOUND_ML for one in large)} of {len(large)}")
    films = [one for one in results if one.kind == FILM]
    print(
        f"found, of films thinner than real subdurals: {sum(one.hit_ml >= FOUND_ML for one in films)} of {len(films)}"
    )
    clean = [one for one in results if one.kind == CLEAN]
    print(f"marked without a bleed: at most {max(one.marked_ml for one in clean):.2f} mL")
    threshold = runner.manifest.gives[0].exam_threshold
    said = f"threshold {threshold:g}" if threshold is not None else "the bundle gives none out"
    print(f"exam probability without a bleed: at most {max(one.exam for one in clean):.2f} ({said})")


if __name__ == "__main__":
    main()
