"""Draws what is to be expected after thrombectomy, hour by hour: a row per patient.

    python -m benchmarks.expected_picture OUT.png --patients 3

From left to right: the first scan (noise-free), then after 6, 24 and 72 hours the expected HU with the outlines of
10, 30 and 50 % probability of blood (yellow, orange, red), in the slice with the most expected blood.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_erosion

from dicomnode.cohort.edition import SECOND
from dicomnode.cohort.patients import Arm, Patient
from dicomnode.cohort.scene import make_anatomy, make_scene
from dicomnode.cohort.second.expected import expected_follow_up
from dicomnode.cohort.second.people import draw_patient

HOURS = (6.0, 24.0, 72.0)
LEVELS: tuple[tuple[float, tuple[int, int, int]], ...] = (
    (0.1, (255, 230, 60)),
    (0.3, (255, 150, 0)),
    (0.5, (255, 40, 40)),
)
SPACING_MM, SCALE = 1.8, 2


def _grey(plane: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(rows, columns, 3) brain window, 0 to 80 HU."""
    return np.repeat((np.clip(plane / 80.0, 0.0, 1.0) * 255.0)[..., None], 3, axis=-1).astype(np.uint8)


def _outlined(plane: NDArray[np.float32], p_blood: NDArray[np.float32]) -> NDArray[np.uint8]:
    tile = _grey(plane)
    for level, colour in LEVELS:
        inside = p_blood >= level
        tile[inside & ~binary_erosion(inside)] = colour
    return tile


def row_of(patient: Patient) -> NDArray[np.uint8]:
    """(rows, columns, 3) one patient's row of the picture."""
    base = make_anatomy(patient.seed, patient.lesions, spacing_mm=SPACING_MM, edition=SECOND)
    first = make_scene(base, patient.lesions, SECOND).head.hu
    later = [expected_follow_up(patient, hours, spacing_mm=SPACING_MM) for hours in HOURS]
    k = int(later[1].p_blood.sum(axis=(1, 2)).argmax())
    tiles = [_grey(first[k]), *(_outlined(each.hu[k], each.p_blood[k]) for each in later)]
    return np.concatenate(tiles, axis=1)


def stained(count: int) -> list[Patient]:
    """The first patients whose staining is large enough to be seen in a small picture."""
    found: list[Patient] = []
    seed = 0
    while len(found) < count:
        seed += 1
        patient = draw_patient(seed, Arm.POST_EVT)
        found += [patient] * (patient.lesions.stain_ml > 5.0)
    return found


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--patients", type=int, default=3)
    arguments = parser.parse_args()
    picture = Image.fromarray(np.concatenate([row_of(patient) for patient in stained(arguments.patients)]))
    picture.resize((picture.width * SCALE, picture.height * SCALE)).save(arguments.out)


if __name__ == "__main__":
    main()
