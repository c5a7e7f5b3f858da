"""Two scans of one head are laid onto each other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from dicomnode.cohort.motion import Motion
from dicomnode.images.files import read_image
from dicomnode.zoo.grid import volume_on
from dicomnode.zoo.registration import motion_between
from tests.unit.train.heads import acquired_head, write_dicom_exam

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
PLACES_MM = np.array([[0.0, 0.0, 0.0], [60.0, 0.0, 20.0], [0.0, 70.0, 20.0], [-60.0, -60.0, 40.0]])


def as_matrix(motion: Motion) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = LPS_TO_RAS @ motion.rotation @ LPS_TO_RAS
    matrix[:3, 3] = LPS_TO_RAS @ np.array(motion.shift_mm)
    return matrix


def test_a_known_motion_is_recovered_to_a_millimetre_and_a_degree(tmp_path: Path) -> None:
    image = write_dicom_exam(acquired_head(3), tmp_path, "first").image
    assert image is not None
    first = read_image(image)
    truth = as_matrix(Motion((3.0, -2.5, 2.0), (3.0, -2.0, 3.5)))
    noise = np.random.default_rng(1).normal(0.0, 5.0, first.hu.shape).astype(np.float32)
    second = replace(first, hu=volume_on(first, first.stack, np.linalg.inv(truth)) + noise)
    found = motion_between(first, second)
    turned = found[:3, :3] @ truth[:3, :3].T
    assert np.degrees(np.arccos(np.clip((np.trace(turned) - 1.0) / 2.0, -1.0, 1.0))) < 1.0
    moved = [PLACES_MM @ matrix[:3, :3].T + matrix[:3, 3] for matrix in (found, truth)]
    assert np.linalg.norm(moved[0] - moved[1], axis=1).max() < 1.0
    assert np.array_equal(found, motion_between(first, second))
    # and by it the second scan is brought back to where the first one lies
    back, seen = volume_on(second, first.stack, found)[6:12], first.hu[6:12]
    brain = (seen > -20.0) & (seen < 100.0)
    assert np.abs(back - seen)[brain].mean() < 0.6 * np.abs(second.hu[6:12] - seen)[brain].mean()
