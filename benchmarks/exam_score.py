"""How long the score of an exam takes, beside a partition of all its voxels, zeros included.

    python -m benchmarks.exam_score --slices 32

Both in one run on the same probabilities: a head in the middle of each slice, nothing around it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dicomnode.measure.exam import exam_score

ROWS, VOXEL_ML = 512, 0.001


def of_all_voxels(flat: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """The most probable voxels among all, as the score found them at first."""
    return np.argpartition(flat, flat.size - count)[-count:]


def seconds_of(do: Callable[[], object], repeats: int) -> float:
    """Of the quickest of some calls."""
    took = []
    for _ in range(repeats):
        began = time.perf_counter()
        do()
        took.append(time.perf_counter() - began)
    return min(took)


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    probability = np.zeros((given.slices, ROWS, ROWS), np.float32)
    brain = slice(ROWS // 4, 3 * ROWS // 4)
    shape = (given.slices, ROWS // 2, ROWS // 2)
    probability[:, brain, brain] = np.random.default_rng(1).random(shape, np.float32) ** 6
    volumes, flat = np.full(given.slices, VOXEL_ML), probability.ravel()
    whole = seconds_of(lambda: of_all_voxels(flat, round(1.0 / VOXEL_ML)), given.repeats)
    ours = seconds_of(lambda: exam_score(probability, volumes), given.repeats)
    print(f"{given.slices} slices: partition of all voxels {whole:.2f} s, score {ours:.3f} s")


if __name__ == "__main__":
    main()
