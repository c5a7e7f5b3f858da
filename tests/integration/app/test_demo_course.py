"""What the demonstration shows once the real follow-up came: first scan, forecast and later scan side by side."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicomnode.app.demo_course import TILE, Course, picture_of_course, show_course
from dicomnode.app.outcomes_shown import Came
from dicomnode.app.pictures import hu_of_predicted
from dicomnode.encode.case import encode_case
from dicomnode.errors import EncodeError
from dicomnode.images.volume import LoadedSeries
from dicomnode.records import Case
from tests.unit.encode.cases import TILTED_UNEVEN, case_of, changed, predicted_of

DARKER_HU = -20.0


@pytest.fixture(scope="module")
def case() -> Case:
    return case_of(TILTED_UNEVEN, (((15.0, 60.0, 40.0), (9.0, 14.0, 10.0)),))


@pytest.fixture(scope="module")
def predicted(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """As a PACS got it: darker in the middle of one slice."""
    hu = case.volume.hu.copy()
    rows, columns = (slice(3 * size // 8, 5 * size // 8) for size in hu.shape[1:])
    hu[len(hu) // 2, rows, columns] += DARKER_HU
    scan = predicted_of(case, hu=hu)
    results = encode_case(changed(case, findings=(scan,)), tmp_path_factory.mktemp("predicted"))
    return dcmread(next(item.path for item in results if item.kind == "predicted"))


@pytest.fixture(scope="module")
def first(case: Case) -> LoadedSeries:
    return LoadedSeries(case.volume, case.sources, case.input_digests)


def test_a_predicted_scan_is_read_back_by_the_place_of_its_frames(
    predicted: Dataset, first: LoadedSeries, case: Case
) -> None:
    hu = hu_of_predicted(predicted, first.volume)
    middle = slice(hu.shape[1] // 4, -hu.shape[1] // 4)
    change = (hu - np.rint(case.volume.hu))[:, middle]
    changed_slices = np.abs(change).max(axis=(1, 2)) > 10.0
    assert np.flatnonzero(changed_slices).tolist() == [len(hu) // 2]


def test_a_frame_that_lies_on_no_slice_of_the_scan_is_an_error(predicted: Dataset, first: LoadedSeries) -> None:
    elsewhere = deepcopy(predicted)
    elsewhere.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient = [900.0, 0.0, 0.0]
    with pytest.raises(EncodeError, match="a predicted frame lies"):
        hu_of_predicted(elsewhere, first.volume)


def test_the_picture_shows_the_slice_that_changes_most_three_times(predicted: Dataset, first: LoadedSeries) -> None:
    picture = np.asarray(picture_of_course(first, predicted, first).convert("L"), np.float64)
    scanned, foretold, came = (picture[:TILE, place * TILE : (place + 1) * TILE] for place in range(3))
    assert np.array_equal(scanned, came)
    assert (scanned - foretold)[TILE // 2 - 20 : TILE // 2 + 20, TILE // 2 - 20 : TILE // 2 + 20].mean() > 30.0


def test_what_came_is_told_and_drawn(
    predicted: Dataset, first: LoadedSeries, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing = Came(accounts=(), lines={}, growth=())
    course = Course(first=first, later=first, later_ml=37.6, received=[predicted], came=nothing)
    show_course(course, tmp_path, "UTC")
    said = capsys.readouterr().out
    assert "37.6 mL of blood painted" in said
    with Image.open(tmp_path / "course.png") as picture:
        assert picture.width == 3 * TILE
