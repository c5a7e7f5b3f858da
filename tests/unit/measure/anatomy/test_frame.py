"""The frame found in heads whose coordinates are known, and in real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dicomnode.images.volume import read_volume
from dicomnode.measure.anatomy.frame import Frame, corrected, find_frame
from dicomnode.measure.anatomy.head import head_of
from dicomnode.measure.anatomy.plane import mid_plane
from dicomnode.measure.place import LEAST_LIKENESS, Places
from dicomnode.records import Volume
from dicomnode.train.anatomy.fit import errors_mm, wanted
from dicomnode.train.anatomy.heads import KnownHead, coarse_scan, paint_head


@pytest.fixture(scope="module")
def head() -> KnownHead:
    return paint_head(900_000, None)


def frame_of(volume: Volume) -> Frame:
    plane = mid_plane(volume)
    assert plane is not None
    frame = find_frame(volume, plane)
    assert frame is not None
    return frame


@pytest.mark.parametrize("seed", [1, 2])
def test_coordinates_are_right_to_some_millimetres_in_a_head_of_another_size(head: KnownHead, seed: int) -> None:
    volume, truth = coarse_scan(head, np.random.default_rng(seed))
    frame = frame_of(volume)
    assert np.sqrt((errors_mm(frame.matrix, truth) ** 2).mean(axis=0)).max() < 4.5
    assert frame.likeness > LEAST_LIKENESS


def test_a_frame_and_its_inverse_are_one(head: KnownHead) -> None:
    volume, _ = coarse_scan(head, np.random.default_rng(3))
    frame = frame_of(volume)
    points = np.array([[10.0, -20.0, 30.0], [-40.0, 5.0, -25.0]])
    assert frame.to_head(frame.to_patient(points)) == pytest.approx(points)


def test_the_wanted_correction_makes_the_true_frame() -> None:
    rng = np.random.default_rng(0)
    matrix, truth = (np.column_stack([np.eye(3) + 0.05 * rng.normal(size=(3, 3)), rng.normal(size=3)]) for _ in "ab")
    assert corrected(matrix, wanted(matrix, truth)) == pytest.approx(truth)


def test_half_a_head_has_no_frame(head: KnownHead) -> None:
    volume, _ = coarse_scan(head, np.random.default_rng(4))
    air = np.full_like(volume.hu, -1000.0)
    assert Places(Volume(air, volume.stack, volume.sop_instance_uids)).frame is None


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["head_ct_ge", "head_ct_siemens"])
def test_a_real_head_has_a_plausible_midline_and_ventricles(real_data: Path, name: str) -> None:
    volume = read_volume(sorted((real_data / name).rglob("*.dcm")))
    frame = frame_of(volume)
    head = head_of(volume, frame)
    assert frame.likeness > 0.5
    assert np.linalg.svd(frame.matrix[:, :3])[1] == pytest.approx(1.0, abs=0.15)
    assert head.midline_shift_mm == pytest.approx(0.0, abs=2.5)
    assert 0.22 < (head.evans_index or 0.0) < 0.40
    assert 110.0 < (head.inner_width_mm or 0.0) < 150.0
