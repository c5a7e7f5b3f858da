"""The scanner's calibration error is found from the brain itself, whatever else the head holds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dicomnode.cohort.acquire import Acquisition, acquire
from dicomnode.cohort.head import BleedOrder, make_head
from dicomnode.cohort.statistics import BleedKind
from dicomnode.zoo.calibration import MOST_HU, CalibrateBraind, brain_offset_hu

REFERENCE_HU = 28.0


@pytest.fixture(scope="module", params=[0.0, 120.0], ids=["no bleed", "120 mL"])
def head(request: pytest.FixtureRequest) -> np.ndarray:
    """(slices, rows, columns) HU of a synthetic head on a well calibrated scanner."""
    bleeds = (BleedOrder(BleedKind.INTRAPARENCHYMAL, request.param, 65.0),) if request.param else ()
    positions = tuple(float(z) for z in np.arange(14) * 10.0 - 62.0)
    return acquire(
        make_head(11, bleeds=bleeds, spacing_mm=1.8), Acquisition(positions_mm=positions, matrix=208, pixel_mm=1.0), 3
    ).hu


@pytest.mark.parametrize("error_hu", [-15.0, -4.0, 0.0, 15.0])
def test_the_error_of_the_scanner_is_found_to_within_4_hu(head: np.ndarray, error_hu: float) -> None:
    assert brain_offset_hu(head + error_hu, REFERENCE_HU) == pytest.approx(error_hu, abs=4.0)


def test_a_calibrated_exam_is_the_same_whatever_the_error_was(head: np.ndarray) -> None:
    calibrate = CalibrateBraind(REFERENCE_HU)
    image = torch.from_numpy(np.stack([head] * 3).astype(np.float32))
    plain, shifted = (calibrate({"image": image + error_hu})["image"] for error_hu in (0.0, 12.0))
    assert torch.allclose(plain, shifted, atol=0.01)


def test_a_larger_shift_than_any_calibration_error_is_cut() -> None:
    assert brain_offset_hu(np.full((4, 4), 70.0), REFERENCE_HU) == MOST_HU


def test_where_there_is_no_soft_tissue_nothing_is_moved() -> None:
    assert brain_offset_hu(np.full((4, 4), -1000.0), REFERENCE_HU) == 0.0
