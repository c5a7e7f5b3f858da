"""What the shipped model of the scan to come makes of single heads: how long it takes, what it says, what it draws.

    python -m benchmarks.followup_heads OUT HEAD...

HEAD: a folder with one head CT, such as a real one without a thrombectomy, of which nothing should be invented. Prints
one line a head: seconds with two threads (the second of two runs), the probability of blood, the mean change within the
skull, and how much denser than 60 HU became that was not denser than 50. OUT: a folder; gets a picture a head, four
slices of the source, of the prediction, and four times their difference.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from dicomnode.app.known_head import known_context
from dicomnode.dicom.libraries import set_up_pydicom
from dicomnode.encode.pictures.slices import windowed
from dicomnode.images.volume import read_volume
from dicomnode.records import ImageFinding, Inputs, ScoreFinding, Volume
from dicomnode.zoo.followup.grid import brain_of
from dicomnode.zoo.registry import Registry
from dicomnode.zoo.runner import Runner

THREADS = 2
DENSE_HU, NOT_DENSE_HU = 60.0, 50.0
SHOWN = (0.3, 0.48, 0.67, 0.85)
"""Which slices a picture shows, as a share of all from below."""
DIFFERENCE_GAIN, GREY = 4.0, 128.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the model said of a head."""

    seconds: float
    scan: ImageFinding
    probability: float


def said_of(runner: Runner, volume: Volume) -> Said:
    """Run twice; the second run is timed."""
    inputs = Inputs(volume=volume, context=known_context(runner.manifest))
    runner.run(inputs)
    began = time.perf_counter()
    found = runner.run(inputs)
    took = time.perf_counter() - began
    scan = next(one for one in found if isinstance(one, ImageFinding))
    score = next(one for one in found if isinstance(one, ScoreFinding))
    return Said(seconds=took, scan=scan, probability=score.value)


def line(name: str, volume: Volume, said: Said) -> str:
    """The figures of a head."""
    brain = brain_of(volume)
    became = (said.scan.hu > DENSE_HU) & (volume.hu < NOT_DENSE_HU) & brain
    change = float(np.abs(said.scan.hu - volume.hu)[brain].mean())
    return (
        f"{name}: {len(volume.hu)} slices, {said.seconds:.1f} s, probability {said.probability:.2f}, "
        f"mean change {change:.1f} HU, {volume.stack.volume_ml(became):.1f} mL became dense"
    )


def picture(volume: Volume, predicted: NDArray[np.float32]) -> Image.Image:
    """Source, prediction and difference of four slices, a row each."""
    rows = []
    for share in SHOWN:
        index = int(share * len(volume.hu))
        before, after = volume.hu[index], predicted[index]
        difference = np.clip(GREY + DIFFERENCE_GAIN * (after - before), 0, 255).astype(np.uint8)
        rows.append(np.concatenate([windowed(before), windowed(after), difference], axis=1)[::2, ::2])
    return Image.fromarray(np.concatenate(rows))


def main() -> None:
    """Go through the heads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("heads", type=Path, nargs="+")
    given = parser.parse_args()
    set_up_pydicom()
    torch.set_num_threads(THREADS)
    given.out.mkdir(parents=True, exist_ok=True)
    runner = Runner(Registry().get("followup"), threads=THREADS)
    for folder in given.heads:
        volume = read_volume(sorted(folder.rglob("*.dcm")))
        said = said_of(runner, volume)
        print(line(folder.name, volume, said), flush=True)
        picture(volume, said.scan.hu).save(given.out / f"{folder.name}.png")


if __name__ == "__main__":
    main()
