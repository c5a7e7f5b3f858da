"""What bundles mark on real slices of epidural, subarachnoid and ventricular blood: a slice-level check.

    python -m benchmarks.real_slices FOLDER [--bundle NAME ...] [--weights FILE] [--picture FILE]

``FOLDER`` holds ``images`` and ``masks`` of the same names, from PhysioNet CT-ICH 1.0.0 (Hssayeni 2019, CC BY 4.0):
8-bit slices of about four patients in a brain window, without HU, header or pixel size. Grey is taken for -20 to
100 HU, the window of level 40 and width 120 in which the paper of the data set (Data 2020, 5(1), 14) made its images:
read so, the darkest ventricles measure water, not 15 HU. The saturated ring is taken for bone, what lies outside for
air, 145 mm for the width of the skull and 5 mm for the distance of consecutive slices; the ends of a stack are repeated
until it is as high as a head. Nothing here is ever trained on.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from benchmarks.blood import blood_in, masks_of
from benchmarks.painted_head import runner_of
from dicomnode.records import Inputs, Volume
from tests.unit.zoo.volumes import make_volume

LOW_HU, HIGH_HU, BONE_HU, AIR_HU = -20.0, 100.0, 800.0, -1000.0
SATURATED = 250
SKULL_MM, SLICE_MM = 145.0, 5.0
MARKED_GREY = 20
PADDING = 8
TOGETHER = ((10185, 10186), (10187, 10197), (10198, 10198), (10199, 10207), (10208, 10209))
"""First and last number of slices that belong together."""
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Slices:
    """Slices of one patient; ``truth`` (slices, rows, columns), ``volume`` with ``PADDING`` slices more at each end."""

    numbers: tuple[int, ...]
    volume: Volume
    truth: Mask


def grey_of(path: Path) -> NDArray[np.uint8]:
    """(rows, columns)."""
    return np.asarray(Image.open(path).convert("L"))


def hounsfield(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """HU by value within the head, by place for bone and air."""
    saturated, _ = ndimage.label(grey >= SATURATED)
    sizes = np.bincount(saturated.ravel())
    sizes[0] = 0
    skull = saturated == int(sizes.argmax())
    head = ndimage.binary_fill_holes(ndimage.binary_closing(skull, iterations=6))
    outside = (grey < MARKED_GREY) & ~head
    hu = LOW_HU + grey / 255.0 * (HIGH_HU - LOW_HU)
    return np.where(skull, BONE_HU, np.where(outside, AIR_HU, hu)).astype(np.float32)


def pixel_mm_of(grey: NDArray[np.uint8]) -> float:
    """From the width of the skull."""
    hu = hounsfield(grey)
    columns = np.flatnonzero((hu == BONE_HU).any(axis=0))
    return SKULL_MM / float(columns[-1] - columns[0] + 1)


def read_slices(folder: Path) -> Iterator[Slices]:
    """Patient by patient."""
    images = {int(path.stem): path for path in (folder / "images").iterdir()}
    masks = {int(path.stem): path for path in (folder / "masks").iterdir()}

    def patient(number: int) -> int:
        return next(index for index, (first, last) in enumerate(TOGETHER) if first <= number <= last)

    for _, group in groupby(sorted(images), key=patient):
        numbers = tuple(group)
        greys = [grey_of(images[number]) for number in numbers]
        pixel_mm = float(np.median([pixel_mm_of(grey) for grey in greys]))
        hu = np.pad([hounsfield(grey) for grey in greys], ((PADDING, PADDING), (0, 0), (0, 0)), "edge")
        truth = np.stack([ndimage.binary_fill_holes(grey_of(masks[number]) > MARKED_GREY) for number in numbers])
        positions = np.array([[0.0, 0.0, SLICE_MM * k] for k in range(len(hu))])
        row, column = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])
        yield Slices(numbers, make_volume(hu, positions, row, column, (pixel_mm, pixel_mm)), truth)


def show(slices: Slices, marked: Mask, axes: Sequence[plt.Axes]) -> None:
    """Truth in green, marks in red."""
    for axis, plane, true, mark in zip(axes, slices.volume.hu[PADDING:], slices.truth, marked, strict=False):
        axis.imshow(plane, cmap="gray", vmin=0, vmax=80)
        for mask, colour in ((true, "lime"), (mark, "red")):
            if mask.any():
                axis.contour(mask, [0.5], colors=colour, linewidths=0.7)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bundle", nargs="+", default=["hemorrhage"])
    parser.add_argument("--weights", type=Path, help="in place of a single bundle's own")
    parser.add_argument("--picture", type=Path, help="of the last bundle's marks")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    patients = list(read_slices(given.folder))
    for bundle in given.bundle:
        runner = runner_of(bundle, given.weights, given.threads)
        print(f"{bundle}\nslice   blood mL   share marked   precision   Dice")
        figures, figure = [], plt.figure(figsize=(28, 4.2 * len(patients)))
        for row, one in enumerate(patients):
            marked = blood_in(masks_of(runner, Inputs(volume=one.volume)))[PADDING:-PADDING]
            pixel_ml = one.volume.stack.pixel_area_mm2 * SLICE_MM / 1000.0
            for number, truth, mark in zip(one.numbers, one.truth, marked, strict=True):
                both, true, said = (int(np.count_nonzero(mask)) for mask in (truth & mark, truth, mark))
                figures.append((both, true, said))
                print(
                    f"{number}   {true * pixel_ml:>8.2f} {both / max(true, 1):>14.2f} {both / max(said, 1):>11.2f}"
                    f" {2 * both / max(true + said, 1):>6.2f}"
                )
            axes = [figure.add_subplot(len(patients), 11, 11 * row + k + 1) for k in range(len(one.numbers))]
            show(one, marked, axes)
        both, true, said = np.array(figures).sum(axis=0)
        dice = np.mean([2 * b / max(t + s, 1) for b, t, s in figures if t])
        print(
            f"of {len(figures)} slices: mean Dice {dice:.3f}; all pixels: {both / true:.0%} of the blood marked, "
            f"{both / max(said, 1):.0%} of the marks are blood, Dice {2 * both / (true + said):.3f}\n"
        )
        if given.picture:
            figure.tight_layout()
            figure.savefig(given.picture, dpi=40)


if __name__ == "__main__":
    main()
