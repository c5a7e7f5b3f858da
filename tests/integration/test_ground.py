"""Training exams made on a series without blood, read back by the way that every exam is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from dicomnode.images.files import read_image
from dicomnode.train.ground import exams
from dicomnode.train.ground.bleeds import Kind
from dicomnode.train.ground.exams import make_exams
from dicomnode.train.manifest import Case, Split
from dicomnode.train.masks import read_mask
from dicomnode.zoo.orientation import orientation_of
from tests.unit.train.heads import acquired_head, write_dicom_exam

FEW: Mapping[Kind | None, int] = {None: 2, Kind.EPIDURAL: 1}


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    image = write_dicom_exam(acquired_head(3), tmp_path_factory.mktemp("head"), "head").image
    assert image is not None
    return image


@pytest.fixture(scope="module")
def made(series: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exams, "COUNTS", FEW)
        return make_exams(series, tmp_path_factory.mktemp("ground"), seed=5)


def test_the_first_exam_is_the_head_as_it_is_and_the_second_is_bent(series: Path, made: list[Case]) -> None:
    original, first, second = (read_image(path).hu for path in (series, made[0].image, made[1].image) if path)
    assert np.array_equal(original, first)
    assert not np.array_equal(original, second)


def test_a_painted_exam_has_its_mask_on_its_bright_voxels(series: Path, made: list[Case]) -> None:
    case = made[2]
    assert case.image is not None
    volume, before = read_image(case.image), read_image(series)
    mask = orientation_of(volume.stack).from_canonical(read_mask(case.masks["epidural"], volume))
    assert mask.any()
    assert volume.hu[mask].mean() > before.hu[(before.hu > 0) & (before.hu < 80)].mean() + 8.0
    assert np.array_equal(read_mask(case.masks["hemorrhage"], volume), read_mask(case.masks["epidural"], volume))


def test_the_exams_are_of_one_patient_to_train_on_and_say_nothing_of_calcium(made: list[Case]) -> None:
    assert {case.patient for case in made} == {"ground"}
    assert {case.split for case in made} == {Split.TRAIN}
    assert [case.labels["hemorrhage"] for case in made] == [0.0, 0.0, 1.0]
    assert not any("calcium" in case.masks or "dense_not_blood" in case.masks for case in made)
