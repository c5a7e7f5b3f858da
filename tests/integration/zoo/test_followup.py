"""The shipped model of the scan to come after thrombectomy, asked as the node asks it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from dicomnode.app.known_head import KnownHead, known_context, make_known_head
from dicomnode.cohort.findings import Finding as Painted
from dicomnode.cohort.make import make_thrombectomy_study
from dicomnode.encode.kinds.predicted import banner_texts
from dicomnode.encode.wording import Wording
from dicomnode.images.volume import read_volume
from dicomnode.language import Language
from dicomnode.records import (
    PROBABILITY_SCALE,
    ContextSource,
    ContextValue,
    ImageFinding,
    Inapplicable,
    Inputs,
    NotApplicable,
    PatientContext,
    ScoreFinding,
    Volume,
)
from dicomnode.zoo.followup.grid import brain_of
from dicomnode.zoo.followup.model import SCAN, FollowUp
from dicomnode.zoo.reading.contract import Predicted
from dicomnode.zoo.reading.inputs import InputsModel
from dicomnode.zoo.registry import Registry
from dicomnode.zoo.runner import Runner

STAINING_HU = 95.0


@pytest.fixture(scope="module")
def runner() -> Runner:
    return Runner(Registry().get("followup"), threads=1)


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> KnownHead:
    return make_known_head(tmp_path_factory.mktemp("head"))


def ball(volume: Volume, radius_mm: float) -> NDArray[np.bool_]:
    """(slices, rows, columns) about a place in the brain, to the left of its middle."""
    brain = brain_of(volume)
    stack = volume.stack
    slices, rows, columns = (int(v) for v in ndimage.center_of_mass(brain))
    columns += int(30.0 / stack.column_spacing_mm)
    up = (stack.offsets_mm - stack.offsets_mm[slices])[:, None, None]
    down = (np.arange(brain.shape[1]) - rows)[None, :, None] * stack.row_spacing_mm
    across = (np.arange(brain.shape[2]) - columns)[None, None, :] * stack.column_spacing_mm
    return np.asarray((up**2 + down**2 + across**2 < radius_mm**2) & brain)


def stained(head: KnownHead, radius_mm: float = 11.0) -> tuple[Volume, NDArray[np.bool_]]:
    """The known head with contrast medium in its brain, and where."""
    where = ball(head.volume, radius_mm)
    return replace(head.volume, hu=np.where(where, np.float32(STAINING_HU), head.volume.hu)), where


def said_of(runner: Runner, volume: Volume, context: PatientContext) -> tuple[ImageFinding, ScoreFinding]:
    found = runner.run(Inputs(volume=volume, context=context))
    scan = next(one for one in found if isinstance(one, ImageFinding))
    score = next(one for one in found if isinstance(one, ScoreFinding))
    return scan, score


def test_staining_fades_and_nothing_changes_outside_of_the_brain(runner: Runner, head: KnownHead) -> None:
    volume, where = stained(head)
    scan, score = said_of(runner, volume, known_context(runner.manifest))
    change = scan.hu - volume.hu
    assert np.array_equal(scan.hu[~brain_of(volume)], volume.hu[~brain_of(volume)])
    assert float(np.median(change[where])) < -10.0
    away = brain_of(volume) & ~ndimage.binary_dilation(where, iterations=12)
    assert float(np.abs(change[away]).mean()) < 3.0
    assert 0.0 < score.value < 1.0
    assert scan.note == f"Blood on it: {100 * score.value:.0f} %"


def test_no_dense_blood_is_drawn_where_there_was_none(runner: Runner, head: KnownHead) -> None:
    volume, where = stained(head)
    scan, _ = said_of(runner, volume, known_context(runner.manifest))
    new = (scan.hu > 60.0) & (volume.hu < 50.0) & brain_of(volume) & ~where
    assert volume.stack.volume_ml(ndimage.binary_opening(new)) < 2.0


def test_dense_staining_makes_blood_likelier_and_is_where_it_is_outlined(runner: Runner, head: KnownHead) -> None:
    volume, where = stained(head)
    scan, score = said_of(runner, volume, known_context(runner.manifest))
    _, without = said_of(runner, head.volume, known_context(runner.manifest))
    assert scan.probability is not None
    near = ndimage.binary_dilation(where, iterations=20)
    chance = scan.probability.astype(np.float64) / PROBABILITY_SCALE
    assert chance[near].sum() > 0.5 * chance[~near].sum()
    assert score.value > without.value - 0.2  # the known head itself has a bleed of 25 mL, as dense as staining


def test_the_later_the_scan_the_more_has_faded(runner: Runner, head: KnownHead) -> None:
    volume, where = stained(head)
    shipped = InputsModel(runner.manifest, torch.device("cpu")).model
    assert isinstance(shipped, FollowUp)
    changes = []
    for hours in (6.0, 24.0, 72.0):
        with torch.inference_mode():
            said = FollowUp(shipped.network, horizon_h=hours)(Inputs(volume=volume, context=PatientContext()))
        scan = said[SCAN]
        assert isinstance(scan, Predicted)
        changes.append(float(np.median((scan.hu - volume.hu)[where])))
    assert changes[0] > changes[1] > changes[2]


def test_who_had_no_thrombectomy_gets_no_forecast(runner: Runner, head: KnownHead) -> None:
    none = ContextValue(name="thrombectomy", value=False, source=ContextSource.HL7)
    known = known_context(runner.manifest)
    context = replace(known, values=(*(one for one in known.values if one.name != "thrombectomy"), none))
    found = runner.run(Inputs(volume=head.volume, context=context))
    assert found
    assert all(isinstance(one, NotApplicable) for one in found)
    assert {one.reason for one in found if isinstance(one, NotApplicable)} == {Inapplicable.OUTSIDE_POPULATION}


Foretold = dict[float, tuple[Volume, NDArray[np.uint8], ImageFinding]]
"""By the hours that were chosen: the scan, what is painted on it, and what is predicted."""


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> Foretold:
    """Of the head that the demonstration sends after a thrombectomy."""
    folder = tmp_path_factory.mktemp("demo")
    volume = read_volume(make_thrombectomy_study(folder).paths)
    with np.load(folder / "patient-0001" / "mask.npz") as files:
        painted = files["findings"]
    found = {}
    for hours in (6.0, 24.0, 72.0):
        of_hours = Runner(Registry(horizons_h={"followup": hours}).get("followup"), threads=1)
        scan, _ = said_of(of_hours, volume, known_context(of_hours.manifest))
        found[hours] = volume, painted, scan
    return found


@pytest.mark.parametrize(("finding", "least_hu"), [(Painted.STAINING, -10.0), (Painted.INFARCT, -0.5)])
def test_on_the_demonstrations_head_staining_fades_and_the_infarct_darkens_with_the_hours_that_are_chosen(
    chosen: Foretold, finding: Painted, least_hu: float
) -> None:
    changes = [float((scan.hu - volume.hu)[painted == finding].mean()) for volume, painted, scan in chosen.values()]
    assert least_hu > changes[0] > changes[1] > changes[2]


def test_the_banner_and_the_words_of_the_report_say_the_hours_that_are_chosen(chosen: Foretold) -> None:
    words = Wording(Language.BRITISH)
    for hours, (_, _, scan) in chosen.items():
        assert f"{hours:g} H AFTER THIS SCAN" in banner_texts(scan, words)[1]
        assert f"Predicted follow-up scan, {hours:g} h after this scan" in words.prediction_sentence(scan)
    assert len({scan.inputs_digest for _, _, scan in chosen.values()}) == 3
