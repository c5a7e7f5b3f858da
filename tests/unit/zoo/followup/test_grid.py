"""A head on the grid of the predicted follow-up, and back on the slices of its scan."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from dicomnode.records import Inputs, PatientContext, Volume
from dicomnode.zoo.followup.grid import SHAPE, brain_of, head_of, relative_hu
from dicomnode.zoo.followup.model import BLOOD, SCAN, FollowUp
from dicomnode.zoo.followup.network import FollowUpNetwork
from dicomnode.zoo.reading.contract import Explained, Predicted
from tests.unit.train.heads import acquired_head
from tests.unit.zoo.volumes import stored_otherwise, volume_from


@pytest.fixture(scope="module", params=["as scanned", "both"])
def volume(request: pytest.FixtureRequest) -> Volume:
    scanned = volume_from(acquired_head(3))
    return scanned if request.param == "as scanned" else stored_otherwise(scanned, request.param)


def depth_mm(volume: Volume) -> np.ndarray:
    """(slices, rows, columns) how far to the patient's left each pixel lies, and a little how far up."""
    stack = volume.stack
    rows, columns = np.indices(volume.hu.shape[1:])
    plane = rows[..., None] * stack.column_cosines * stack.row_spacing_mm
    plane = plane + columns[..., None] * stack.row_cosines * stack.column_spacing_mm
    points = stack.positions_mm[:, None, None] + plane
    return np.asarray(points @ np.array([1.0, 0.5, 0.0]), np.float32)


def test_what_changes_evenly_in_space_comes_back_as_it_was(volume: Volume) -> None:
    grid = head_of(volume).grid
    truth = depth_mm(volume)
    back = grid.on_slices(grid.sampled(grid.planes.orientation.to_canonical(truth), 0.0), volume.hu.shape)
    brain = brain_of(volume)
    reached = brain & (grid.on_slices(torch.ones(SHAPE), volume.hu.shape) > 0.999)
    assert reached.sum() > 0.9 * brain.sum()
    assert np.abs(back - truth)[reached].max() < 0.1


def test_the_brain_lies_about_zero_and_bone_is_cut_off(volume: Volume) -> None:
    head = head_of(volume)
    within = head.image[1] > 0.99
    assert float(head.image[0][within].median().abs()) < 5.0
    assert float(head.image[0].max()) == 400.0
    assert torch.equal(relative_hu(head.grid, volume.hu, head.grid.brain_hu), head.image[0])


NEVER = -30.0
"""Log odds."""


def constant(change_hu: float, blood: float) -> FollowUpNetwork:
    """A network that says the same of every voxel."""
    network = FollowUpNetwork().eval()
    assert network.scan is not None
    last = network.scan.mix[2]
    assert isinstance(last, torch.nn.Linear)
    torch.nn.init.zeros_(last.weight)
    last.bias.data.copy_(torch.tensor([change_hu / 10.0, NEVER, blood, NEVER, NEVER]))
    return network


def test_outside_of_the_brain_the_voxels_of_the_source_stay(volume: Volume) -> None:
    with torch.inference_mode():
        said = FollowUp(constant(-8.0, 0.0), slope=0.0, intercept=-0.62)(
            Inputs(volume=volume, context=PatientContext())
        )
    scan, exam = said[SCAN], said[BLOOD]
    assert isinstance(scan, Predicted)
    assert isinstance(exam, Explained)
    assert scan.probability is not None
    brain = brain_of(volume)
    assert np.array_equal(scan.hu[~brain], volume.hu[~brain])
    assert not scan.probability[~brain].any()
    change = (scan.hu - volume.hu)[brain]
    assert np.median(change) == pytest.approx(-8.0, abs=1e-3)
    assert (change < -7.9).mean() > 0.5
    rim = brain & ~ndimage.binary_erosion(brain, np.ones((1, 3, 3)), iterations=2)
    assert np.abs((scan.hu - volume.hu)[rim]).mean() < 2.0
    assert np.median(scan.probability[brain]) == pytest.approx(0.5, abs=1e-4)
    assert exam.value == pytest.approx(0.35, abs=0.001)
    assert scan.note == "Blood on it: 35 %"
