"""Seconds to find blood on 40 slices of 512 x 512 on two CPU cores; the wanted most is 4 s.

    python benchmarks/segment.py --repeats 5

The whole of ``Runner.run``: from HU in memory, by way of the planes and the bundle's networks, to probabilities on the
series' own slices. In turn with it the networks alone, all of the bundle's committee and one of them, so that the price
of the second is seen, and what is done before and after them. The first call of each is warm-up and not counted.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import dicomnode.zoo
from dicomnode.cohort.acquire import AcquiredSeries, Acquisition, acquire
from dicomnode.cohort.dicom_series import write_acquired
from dicomnode.cohort.head import BleedOrder, make_head
from dicomnode.cohort.statistics import BleedKind
from dicomnode.images.volume import read_volume
from dicomnode.records import Inputs, Volume
from dicomnode.zoo.head_check import brain_mask, interior_mask
from dicomnode.zoo.hemorrhage.committee import Committee
from dicomnode.zoo.parts import load_parts, load_weights
from dicomnode.zoo.plain import head_of, on_slices
from dicomnode.zoo.planes import to_planes
from dicomnode.zoo.registry import open_bundle
from dicomnode.zoo.runner import Runner

BUNDLE = Path(dicomnode.zoo.__file__).parent / "hemorrhage" / "bundle"
WANTED_S = 4.0
SLICES, SPACING_MM, PIXEL_MM = 40, 3.75, 0.46


def head() -> Volume:
    """A synthetic head with a bleed of 30 mL, read back from DICOM."""
    return painted_head()[0]


def painted_head(slices: int = SLICES, *, seed: int = 7, bleed_ml: float = 30.0) -> tuple[Volume, NDArray[np.bool_]]:
    """The same in so many slices, and where blood was painted in it, (slices, rows, columns)."""
    with tempfile.TemporaryDirectory() as folder:
        acquired, paths = written_head(Path(folder), slices, seed=seed, bleed_ml=bleed_ml)
        volume = read_volume(sorted(paths))
    return volume, acquired.mask[list(volume.stack.order)]


def written_head(
    folder: Path, slices: int = SLICES, *, seed: int = 7, bleed_ml: float = 30.0
) -> tuple[AcquiredSeries, list[Path]]:
    """The same as it is acquired, and its files, one a slice."""
    bleeds = (BleedOrder(BleedKind.INTRAPARENCHYMAL, bleed_ml, 64.0),) if bleed_ml else ()
    made = make_head(seed, bleeds=bleeds, spacing_mm=1.2)
    spacing_mm = SLICES * SPACING_MM / slices
    positions = tuple(float(z) for z in np.arange(slices) * spacing_mm - 62.0)
    how = Acquisition(positions_mm=positions, thickness_mm=spacing_mm, pixel_mm=PIXEL_MM)
    acquired = acquire(made, how, seed=seed)
    return acquired, write_acquired(acquired, folder)


def steps(volume: Volume) -> dict[str, Callable[[], object]]:
    """What is measured, by name."""
    runner, parts = Runner(open_bundle(BUNDLE)), load_parts(BUNDLE)
    load_weights(parts.network, BUNDLE)
    committee = parts.network.eval()
    assert isinstance(committee, Committee)
    found, hu = head_of(volume, parts.plane_size, parts.plane_pixel_mm)
    image = torch.as_tensor(parts.preprocessing(parts.calibration({"image": hu}))["image"])[None]
    return {
        "whole run": lambda: runner.outputs(Inputs(volume=volume)),
        f"its {len(committee.members)} networks": lambda: parts.inferer(image, committee),
        "one network": lambda: parts.inferer(image, committee.members[0]),
        "where is the head": lambda: (brain_mask(volume), interior_mask(volume)),
        "to planes": lambda: to_planes(volume, found.grid),
        "back to slices": lambda: on_slices(hu[0], found),
    }


def seconds(step: Callable[[], object]) -> float:
    """Of one call."""
    start = time.perf_counter()
    with torch.inference_mode():
        step()
    return time.perf_counter() - start


def main() -> int:
    """Measure and print; exit 1 where the wanted time is not met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="counted calls of each")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    measured = steps(head())
    rounds = [{name: seconds(step) for name, step in measured.items()} for _ in range(arguments.repeats + 1)][1:]
    medians = {name: statistics.median(each[name] for each in rounds) for name in measured}
    for name, median in medians.items():
        values = [each[name] for each in rounds]
        print(f"{name:<18} median {median:.2f} s   min {min(values):.2f}   max {max(values):.2f}")
    met = medians["whole run"] <= WANTED_S
    print(f"goal: at most {WANTED_S:g} s for the whole run: {'met' if met else 'NOT MET'}")
    return int(not met)


if __name__ == "__main__":
    raise SystemExit(main())
