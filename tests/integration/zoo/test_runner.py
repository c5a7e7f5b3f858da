"""The runner, the head check and the way to planes and back."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dicomnode.cohort.acquire import Acquisition, acquire
from dicomnode.cohort.head import BleedOrder, SyntheticHead, make_head
from dicomnode.cohort.statistics import BleedKind
from dicomnode.errors import BundleError, InferenceError, Refusal, SeriesError
from dicomnode.images.volume import read_volume
from dicomnode.records import Inputs, Volume
from dicomnode.zoo.head_check import _walls_around, brain_mask, interior_mask
from dicomnode.zoo.orientation import orientation_of
from dicomnode.zoo.planes import from_planes, neighbour_weights, plane_grid, to_planes
from dicomnode.zoo.reading import planes as planes_of_bundles
from dicomnode.zoo.registry import Registry, open_bundle
from dicomnode.zoo.runner import Runner
from tests.unit.zoo.volumes import (
    hollow,
    make_volume,
    mask_otherwise,
    ml,
    opened_in_front,
    stored_otherwise,
    volume_from,
    with_painted_clot,
)

CHANGES = ("rows", "columns", "both", "transposed")
UNEVEN = tuple(float(z) for z in (*np.arange(-64.0, 10.0, 4.22), 11.3, *np.arange(18.7, 82.0, 7.38)))


@pytest.fixture(scope="module")
def runner() -> Runner:
    return Runner(Registry().get("hemorrhage"), threads=1)


@pytest.fixture(scope="module")
def bleeding() -> SyntheticHead:
    order = BleedOrder(BleedKind.INTRAPARENCHYMAL, 28.0, 66.0)
    return make_head(31, bleeds=(order,), rotation_deg=(4.0, 2.0, 5.0), spacing_mm=1.5)


@pytest.fixture(scope="module")
def bled(bleeding: SyntheticHead) -> tuple[Volume, NDArray[np.bool_]]:
    """A tilted, unevenly spaced head with a bleed on one side, and the truth."""
    acquired = acquire(
        bleeding,
        Acquisition(
            positions_mm=UNEVEN, thickness_mm=4.0, tilt_deg=12.0, matrix=256, pixel_mm=0.9, centre_mm=(4.0, -3.0)
        ),
        seed=31,
    )
    return volume_from(acquired), acquired.mask


@pytest.fixture(scope="module")
def probability(runner: Runner, bled: tuple[Volume, NDArray[np.bool_]]) -> NDArray[np.float32]:
    """What the model gives for that head: (slices, rows, columns), 0 to 1."""
    return runner.outputs(Inputs(volume=bled[0]))["hemorrhage"]


@pytest.fixture(scope="module")
def healthy() -> Volume:
    head = make_head(32, spacing_mm=1.5)
    return volume_from(
        acquire(
            head,
            Acquisition(
                positions_mm=tuple(np.arange(-64.0, 82.0, 5.0)),
                thickness_mm=5.0,
                tilt_deg=0.0,
                matrix=256,
                pixel_mm=0.9,
            ),
            seed=32,
        )
    )


def _dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return 2.0 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def test_a_bleed_is_found_where_it_is(probability: NDArray[np.float32], bled: tuple[Volume, NDArray[np.bool_]]) -> None:
    volume, truth = bled
    assert probability.shape == volume.hu.shape
    assert probability.dtype == np.float32
    assert 0.0 <= probability.min() <= probability.max() <= 1.0
    assert _dice(probability >= 0.5, truth) > 0.7


@pytest.mark.parametrize("change", CHANGES)
def test_the_mask_follows_the_bleed_however_the_stack_is_stored(
    runner: Runner, probability: NDArray[np.float32], bled: tuple[Volume, NDArray[np.bool_]], change: str
) -> None:
    volume, truth = bled
    expected = mask_otherwise(probability >= 0.5, change)
    seen = runner.outputs(Inputs(volume=stored_otherwise(volume, change)))["hemorrhage"] >= 0.5
    assert _dice(seen, expected) > 0.98
    assert _dice(seen, mask_otherwise(truth, change)) > 0.7


@pytest.mark.parametrize("spacing_mm", [1.25, *(pytest.param(mm, marks=pytest.mark.full) for mm in (2.5, 5.0)), 7.0])
def test_the_bleed_is_found_in_thin_and_in_thick_slices(
    runner: Runner, bleeding: SyntheticHead, spacing_mm: float
) -> None:
    acquired = acquire(
        bleeding,
        Acquisition(
            positions_mm=tuple(np.arange(-20.0, 70.0, spacing_mm)),
            thickness_mm=spacing_mm,
            tilt_deg=0.0,
            matrix=256,
            pixel_mm=0.9,
        ),
        seed=7,
    )
    volume = volume_from(acquired)
    marked = runner.outputs(Inputs(volume=volume))["hemorrhage"] >= 0.5
    assert _dice(marked, acquired.mask) > 0.75
    assert ml(marked, volume.stack) == pytest.approx(ml(acquired.mask, volume.stack), rel=0.25)


@pytest.mark.parametrize("error_hu", [-15.0, 15.0])
def test_the_mask_is_the_same_however_the_scanner_is_calibrated(
    runner: Runner, probability: NDArray[np.float32], bled: tuple[Volume, NDArray[np.bool_]], error_hu: float
) -> None:
    volume, _ = bled
    expected = probability >= 0.5
    seen = runner.outputs(Inputs(volume=replace(volume, hu=volume.hu + np.float32(error_hu))))["hemorrhage"] >= 0.5
    assert _dice(seen, expected) > 0.98


def test_a_head_without_bleed_stays_nearly_empty(runner: Runner, healthy: Volume) -> None:
    assert ml(runner.outputs(Inputs(volume=healthy))["hemorrhage"] >= 0.5, healthy.stack) < 1.0


def test_the_same_input_gives_the_same_output(
    runner: Runner, probability: NDArray[np.float32], bled: tuple[Volume, NDArray[np.bool_]]
) -> None:
    assert np.array_equal(runner.outputs(Inputs(volume=bled[0]))["hemorrhage"], probability)


def test_a_skull_full_of_air_is_not_a_head(runner: Runner, healthy: Volume) -> None:
    with pytest.raises(SeriesError) as caught:
        runner.outputs(Inputs(volume=hollow(healthy, brain_mask(healthy))))
    assert caught.value.refusal is Refusal.NOT_A_HEAD


def test_soft_tissue_without_skull_is_not_a_head(healthy: Volume) -> None:
    soft = make_volume(
        np.minimum(healthy.hu, 60.0),
        healthy.stack.positions_mm,
        healthy.stack.row_cosines,
        healthy.stack.column_cosines,
        (healthy.stack.row_spacing_mm, healthy.stack.column_spacing_mm),
    )
    with pytest.raises(SeriesError) as caught:
        brain_mask(soft)
    assert caught.value.refusal is Refusal.NOT_A_HEAD


def test_the_brain_mask_covers_the_cavity_and_its_bleeds(bled: tuple[Volume, NDArray[np.bool_]]) -> None:
    volume, truth = bled
    brain = brain_mask(volume)
    assert 1000 <= ml(brain, volume.stack) <= 1900
    assert np.count_nonzero(brain & truth) > 0.97 * np.count_nonzero(truth)
    assert not (brain & (volume.hu < -300)).any()


def test_a_coronal_stack_is_refused() -> None:
    positions = np.arange(20.0)[:, None] * np.array([0.0, 5.0, 0.0])
    volume = make_volume(
        np.zeros((20, 16, 16), np.float32), positions, np.array([1.0, 0, 0]), np.array([0, 0, -1.0]), (0.5, 0.5)
    )
    with pytest.raises(SeriesError) as caught:
        orientation_of(volume.stack)
    assert caught.value.refusal is Refusal.NOT_AXIAL


def test_values_that_are_not_finite_are_no_result(runner: Runner, bled: tuple[Volume, NDArray[np.bool_]]) -> None:
    broken = Runner(Registry().get("hemorrhage"))
    with torch.no_grad():
        next(broken._loaded._parts.network.parameters()).fill_(float("nan"))
    with pytest.raises(InferenceError, match="not finite"):
        broken.outputs(Inputs(volume=bled[0]))


def test_weights_that_do_not_fit_the_network_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    copy = Path(shutil.copytree(Registry().get("hemorrhage").manifest.path, tmp_path / "copy"))
    save_file({"other": torch.zeros(3)}, copy / "models" / "model.safetensors")
    with pytest.raises(BundleError, match="cannot be loaded"):
        Runner(open_bundle(copy))


def test_planes_come_back_to_the_pixels_they_came_from(bled: tuple[Volume, NDArray[np.bool_]]) -> None:
    volume, truth = bled
    for change in (None, *CHANGES):
        seen = volume if change is None else stored_otherwise(volume, change)
        mask = truth if change is None else mask_otherwise(truth, change)
        grid = plane_grid(seen, brain_mask(seen), 208, 1.0)
        blood = make_volume(
            mask.astype(np.float32) * 2000.0 - 1000.0,
            seen.stack.positions_mm,
            seen.stack.row_cosines,
            seen.stack.column_cosines,
            (seen.stack.row_spacing_mm, seen.stack.column_spacing_mm),
        )
        planes = (to_planes(blood, grid) + 1000.0) / 2000.0
        back = from_planes(planes, grid, (mask.shape[0], mask.shape[1], mask.shape[2]))
        assert _dice(back > 0.5, mask) > 0.95


def test_it_does_not_matter_how_many_planes_are_read_together(
    runner: Runner, bled: tuple[Volume, NDArray[np.bool_]], monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = Inputs(volume=bled[0])
    whole = runner.outputs(inputs)["hemorrhage"]
    assert 8 < len(bled[0].hu) < planes_of_bundles.AT_ONCE
    monkeypatch.setattr(planes_of_bundles, "AT_ONCE", 8)
    assert np.array_equal(np.asarray(runner.outputs(inputs)["hemorrhage"]), np.asarray(whole))


def test_a_tilted_head_stands_upright_in_the_planes(bled: tuple[Volume, NDArray[np.bool_]]) -> None:
    volume, _ = bled
    brain = brain_mask(volume)
    grid = plane_grid(volume, brain, 208, 1.0)
    drift_mm = (grid.centre_rows[-1] - grid.centre_rows[0]) * volume.stack.row_spacing_mm
    travel = volume.stack.positions_mm[-1, 2] - volume.stack.positions_mm[0, 2]
    assert abs(drift_mm) == pytest.approx(travel * np.sin(np.deg2rad(12.0)), rel=1e-6)
    planes = to_planes(volume, grid)
    assert planes.shape == (len(volume.hu), 208, 208)
    assert float(planes[len(planes) // 2, 94:114, 94:114].mean()) == pytest.approx(28.0, abs=14.0)


def test_neighbours_are_chosen_by_position() -> None:
    offsets = np.array([0.0, 4.0, 8.0, 9.1, 16.0, 23.0])
    below, itself, above = neighbour_weights(offsets)
    assert [int(row.argmax()) for row in below] == [0, 0, 1, 1, 3, 4]
    assert [int(row.argmax()) for row in above] == [1, 2, 4, 4, 5, 5]
    assert above[1, 2] == above[1, 3] == 0.5
    expected = np.eye(6)
    expected[2:4, 2:4] = 0.5
    assert np.array_equal(itself, expected), "two slices 1.1 mm apart are one slab"
    thin = neighbour_weights(np.arange(20.0))[1]
    assert np.count_nonzero(thin[10]) == 5
    assert np.allclose(neighbour_weights(offsets).sum(axis=2), 1.0)


def test_what_may_be_marked_reaches_to_the_bone_even_where_the_skull_is_open(
    bled: tuple[Volume, NDArray[np.bool_]],
) -> None:
    volume, truth = bled
    open_skull = opened_in_front(volume)
    for seen in (volume, open_skull):
        interior = interior_mask(seen)
        assert np.count_nonzero(interior & truth) >= 0.995 * np.count_nonzero(truth)
        assert not (interior & ((seen.hu < -200) | (seen.hu > 380))).any()
        assert not interior[:, 0].any(), "the air around the head is not within"
    lost = brain_mask(volume) & ~brain_mask(open_skull)
    assert ml(lost, volume.stack) > 20.0, "the strict mask loses brain there, else this test shows nothing"


def test_the_scalp_is_not_within_and_brain_behind_a_gap_is(healthy: Volume) -> None:
    middle, rows, columns = (n // 2 for n in healthy.hu.shape)
    line = healthy.hu[middle + 3, rows]
    skin, bone = np.flatnonzero(line > -200)[0], np.flatnonzero(line > 300)[0]
    scalp = slice(skin, bone - 2)
    inside = interior_mask(healthy)[middle + 3, rows]
    assert scalp.stop - scalp.start >= 2
    assert not inside[scalp].any()
    assert inside[columns]
    assert inside[bone + 12], "a centimetre behind the outer table there is brain"


def test_a_pixel_is_within_if_walls_stand_in_half_of_the_directions() -> None:
    hu = np.full((1, 60, 60), 30.0, np.float32)
    head = np.ones(hu.shape, bool)
    assert not _walls_around(hu, head).any()
    hu[:, :, 40] = 1000.0
    count = _walls_around(hu, head)[0]
    assert count[30, 35] == 7, "a wall on one side is seen in all directions that point to it"
    assert count[30, 45] == 7
    hu[:, :, 20] = 1000.0
    assert _walls_around(hu, head)[0, 30, 30] == 14, "between two walls only straight up and straight down are open"
    hu[:, 10, :] = 1000.0
    assert _walls_around(hu, head)[0, 30, 30] == 15


@pytest.mark.real_data
def test_the_real_head_without_bleed_stays_below_the_limit(runner: Runner, real_data: Path) -> None:
    volume = read_volume(sorted((real_data / "head_ct_ge").glob("*.dcm")))
    assert ml(runner.outputs(Inputs(volume=volume))["hemorrhage"] >= 0.5, volume.stack) < 5.0


@pytest.mark.real_data
@pytest.mark.parametrize(
    "middle", [(18, 230, 200), *(pytest.param(at, marks=pytest.mark.full) for at in ((16, 260, 320), (9, 330, 250)))]
)
def test_a_clot_painted_into_the_real_head_is_found(
    runner: Runner, real_data: Path, middle: tuple[int, int, int]
) -> None:
    volume = read_volume(sorted((real_data / "head_ct_ge").glob("*.dcm")))
    painted, truth = with_painted_clot(volume, middle, 11.0)
    marked = runner.outputs(Inputs(volume=painted))["hemorrhage"] >= 0.5
    assert np.count_nonzero(marked & truth) > 0.7 * np.count_nonzero(truth)
    assert ml(marked & ~truth, volume.stack) < 5.0


@pytest.mark.real_data
def test_the_plastic_head_is_not_a_head(runner: Runner, real_data: Path) -> None:
    volume = read_volume(sorted((real_data / "philips_plastic_head" / "S2010").iterdir()))
    with pytest.raises(SeriesError) as caught:
        runner.outputs(Inputs(volume=volume))
    assert caught.value.refusal is Refusal.NOT_A_HEAD
