"""The shipped model of haemorrhage as the node runs it, beside eager float32; foreign bundles stay as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dicomnode.cohort.acquire import Acquisition, acquire
from dicomnode.cohort.head import BleedOrder, make_head
from dicomnode.cohort.statistics import BleedKind
from dicomnode.config.whole import built_in_config
from dicomnode.execute.results import settings_digest
from dicomnode.records import Inputs, Volume
from dicomnode.zoo.precision import ACCEPTED, InBfloat16, Precision, quickened
from dicomnode.zoo.registry import Registry, open_bundle
from dicomnode.zoo.runner import Runner
from tests.tools.bundle import write_threshold_bundle
from tests.unit.zoo.volumes import volume_from


@pytest.fixture(scope="module")
def exact() -> Runner:
    return Runner(Registry().get("hemorrhage"), threads=1)


@pytest.fixture(scope="module", params=["auto", "bfloat16"])
def quick(request: pytest.FixtureRequest) -> Runner:
    return Runner(Registry().get("hemorrhage"), threads=1, precision=request.param)


def head(bleed_ml: float, seed: int = 33) -> Volume:
    orders = (BleedOrder(BleedKind.INTRAPARENCHYMAL, bleed_ml, 64.0),) if bleed_ml else ()
    made = make_head(seed, bleeds=orders, spacing_mm=1.5)
    positions = tuple(float(z) for z in np.arange(26) * 5.5 - 62.0)
    return volume_from(
        acquire(made, Acquisition(positions_mm=positions, thickness_mm=5.5, matrix=256, pixel_mm=0.9), seed=seed)
    )


def probability(runner: Runner, volume: Volume) -> NDArray[np.float32]:
    return runner.outputs(Inputs(volume=volume))["hemorrhage"]


@pytest.mark.parametrize("bleed_ml", [3.0, 25.0])
def test_what_is_marked_quickly_is_what_is_marked_in_float32(exact: Runner, quick: Runner, bleed_ml: float) -> None:
    volume = head(bleed_ml)
    threshold = exact.manifest.masks[0].threshold
    slow, fast = (probability(runner, volume) > threshold for runner in (exact, quick))
    assert slow.sum() > 100
    assert 2.0 * (slow & fast).sum() / (slow.sum() + fast.sum()) >= 1.0 - ACCEPTED


def test_where_there_is_no_blood_none_is_marked_quickly_either(exact: Runner, quick: Runner) -> None:
    volume = head(0.0)
    slow, fast = (probability(runner, volume) for runner in (exact, quick))
    assert fast.shape == slow.shape
    assert fast.dtype == slow.dtype == np.float32
    assert ((slow > 0.5) == (fast > 0.5)).all()
    assert float(fast.max()) == pytest.approx(float(slow.max()), abs=0.02)


def test_of_bfloat16_the_answer_is_given_in_float32_and_the_weights_stay_in_it() -> None:
    network = torch.nn.Conv2d(6, 5, 3, padding=1)
    quick = quickened(network, Precision.BFLOAT16)
    image = torch.rand(2, 6, 16, 16)
    with torch.inference_mode():
        exact, said = network(image), quick(image)
    assert isinstance(quick, InBfloat16)
    assert (said.shape, said.dtype) == (exact.shape, torch.float32)
    assert {parameter.dtype for parameter in quick.parameters()} == {torch.float32}
    assert 0.0 < float((said - exact).abs().max()) < 0.02


def test_nobody_gets_fewer_digits_unasked() -> None:
    quick = quickened(torch.nn.Conv2d(6, 5, 3), Precision.AUTO)
    assert not isinstance(quick, InBfloat16)
    assert next(quick.parameters()).is_contiguous(memory_format=torch.channels_last)


def test_fewer_digits_give_other_results_and_their_uids_say_so() -> None:
    (protocol,) = built_in_config().protocol
    auto, exact, rough = (settings_digest(protocol, one) for one in ("auto", "float32", "bfloat16"))
    assert auto == exact != rough


def test_networks_of_volumes_are_laid_out_as_they_were() -> None:
    network = torch.nn.Conv3d(2, 4, 3)
    assert quickened(network, Precision.FLOAT32) is network
    with torch.inference_mode():
        assert quickened(network, Precision.AUTO)(torch.rand(1, 2, 8, 8, 8)).shape == (1, 4, 6, 6, 6)


def test_a_bundle_that_came_later_is_quickened_only_by_name(tmp_path: Path) -> None:
    bundle = open_bundle(write_threshold_bundle(tmp_path / "threshold"))
    assert [_is_quick(Runner(bundle, precision=one)) for one in ("auto", "bfloat16")] == [False, True]


def _is_quick(runner: Runner) -> bool:
    return isinstance(runner._loaded.ladder._network, InBfloat16)
