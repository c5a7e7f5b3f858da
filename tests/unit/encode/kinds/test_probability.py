"""Probability maps, read back with pydicom alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicomnode.encode.case import encode_case
from dicomnode.encode.context import context_of
from dicomnode.encode.files import bytes_of
from dicomnode.encode.kinds.probability import probability_maps
from dicomnode.encode.validate import validate
from dicomnode.errors import EncodeError
from dicomnode.records import Case, EncodedResult
from dicomnode.zoo.findings import stored_probability
from tests.unit.encode.cases import EVEN, MODEL, TILTED_UNEVEN, case_of, changed, ellipsoid, finding_of, predicted_of
from tests.unit.encode.cases import with_probability as with_map

BLEEDS = (((15.0, 60.0, 40.0), (9.0, 14.0, 10.0)),)


@pytest.fixture(scope="module", params=[TILTED_UNEVEN, EVEN], ids=["tilted and uneven", "even"])
def case(request: pytest.FixtureRequest) -> Case:
    plain = case_of(request.param, BLEEDS)
    oedema = finding_of(ellipsoid(plain.volume.stack, BLEEDS[0][0], (12.0, 18.0, 14.0)), plain.volume, name="edema")
    return with_map(changed(plain, findings=(*plain.findings, oedema)))


def maps_of(case: Case, folder: Path) -> list[EncodedResult]:
    return [item for item in encode_case(case, folder, requested=["probability"]) if item.kind == "probability"]


@pytest.fixture(scope="module")
def maps(case: Case, tmp_path_factory: pytest.TempPathFactory) -> list[Dataset]:
    """The maps of the case as a reader gets them."""
    return [dcmread(result.path) for result in maps_of(case, tmp_path_factory.mktemp("maps"))]


def by_position(pm: Dataset, case: Case) -> NDArray[np.float64]:
    """Probabilities as any reader computes them: each frame where it lies, stored values through the mapping."""
    mapping = pm.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    planes = {tuple(map(float, source.ImagePositionPatient)): n for n, source in enumerate(case.sources)}
    volume = np.zeros(case.volume.hu.shape)
    frames = pm.pixel_array.reshape(-1, pm.Rows, pm.Columns)
    for frame, group in zip(frames, pm.PerFrameFunctionalGroupsSequence, strict=True):
        index = planes[tuple(map(float, group.PlanePositionSequence[0].ImagePositionPatient))]
        volume[index] = frame * mapping.RealWorldValueSlope + mapping.RealWorldValueIntercept
    return volume


def test_a_reader_of_positions_gets_the_probability_of_every_voxel(case: Case, maps: list[Dataset]) -> None:
    for finding, pm in zip(case.masks, maps, strict=True):
        assert finding.probability is not None
        assert np.allclose(by_position(pm, case), finding.probability / 10_000, atol=1e-7)


def test_every_slice_has_a_frame_in_the_order_of_the_slices(case: Case, maps: list[Dataset]) -> None:
    pm = maps[0]
    probability = case.masks[0].probability
    assert probability is not None
    assert int(probability.any(axis=(1, 2)).sum()) < len(case.sources) == pm.NumberOfFrames
    groups = pm.PerFrameFunctionalGroupsSequence
    heights = [float(group.PlanePositionSequence[0].ImagePositionPatient[2]) for group in groups]
    assert heights == sorted(heights)
    indices = [group.FrameContentSequence[0].DimensionIndexValues for group in groups]
    assert indices == list(range(1, len(groups) + 1))


def test_the_mapping_says_that_it_is_a_probability(maps: list[Dataset]) -> None:
    mapping = maps[0].SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert mapping.LUTExplanation == "Probability of haemorrhage, 0 to 1"
    assert mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0].CodeValue == "110854"
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    first = mapping.DoubleFloatRealWorldValueFirstValueMapped
    last = mapping.DoubleFloatRealWorldValueLastValueMapped
    assert (first, last) == (0.0, 1.0)


def test_all_frames_share_the_measures_of_most_slices(case: Case, maps: list[Dataset]) -> None:
    pm = maps[0]
    (measures,) = pm.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    stated = Counter(float(source.SliceThickness) for source in case.sources)
    assert stated[float(measures.SliceThickness)] == max(stated.values())
    assert not any("PixelMeasuresSequence" in group for group in pm.PerFrameFunctionalGroupsSequence)


def test_maps_of_one_case_are_instances_of_one_series_marked_as_research(maps: list[Dataset]) -> None:
    assert {str(pm.SeriesDescription) for pm in maps} == {"AI findings probability (research)"}
    described = [pm.ContentDescription.split(",")[0] for pm in maps]
    assert described == ["Probability of haemorrhage", "Probability of oedema"]
    assert {pm.ContentQualification for pm in maps} == {"RESEARCH"}
    assert {int(pm.SeriesNumber) for pm in maps} == {89002}
    assert len({pm.SeriesInstanceUID for pm in maps}) == 1


def test_a_map_of_a_released_model_is_no_research(tmp_path: Path) -> None:
    plain = case_of(EVEN, BLEEDS)
    released = changed(plain, findings=(replace(plain.masks[0], model=replace(MODEL, research=False)),))
    assert dcmread(maps_of(with_map(released), tmp_path)[0].path).ContentQualification == "PRODUCT"


def test_without_request_or_without_probabilities_there_is_no_map(case: Case, tmp_path: Path) -> None:
    assert "probability" not in {result.kind for result in encode_case(case, tmp_path / "unasked")}
    assert maps_of(case_of(EVEN, BLEEDS), tmp_path / "unknown") == []


def test_the_same_case_gives_the_same_bytes(case: Case) -> None:
    context = context_of(case)
    first, second = (list(map(bytes_of, probability_maps(context))) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("fault", ["shape", "range"])
def test_a_map_that_is_none_is_refused(fault: str, tmp_path: Path) -> None:
    plain = with_map(case_of(EVEN, BLEEDS))
    probability = plain.masks[0].probability
    assert probability is not None
    wrong = probability[1:] if fault == "shape" else (probability + 2000).astype(np.uint16)
    with pytest.raises(EncodeError, match=r"does not fit|exceeds 1"):
        maps_of(changed(plain, findings=(replace(plain.masks[0], probability=wrong),)), tmp_path)


def test_validation_notices_a_frame_on_another_slice(case: Case, tmp_path: Path) -> None:
    context = context_of(case)
    pm = probability_maps(context)[0]
    first, second = pm.PerFrameFunctionalGroupsSequence[:2]
    for keyword in ("PlanePositionSequence", "DerivationImageSequence"):
        first[keyword], second[keyword] = second[keyword], first[keyword]
    (tmp_path / "swapped.dcm").write_bytes(bytes_of(pm))
    with pytest.raises(EncodeError, match="the map differs"):
        validate(tmp_path / "swapped.dcm", context, "probability", {})


def test_probabilities_are_stored_in_steps_and_small_ones_not_at_all() -> None:
    stored = stored_probability(np.array([0.0, 0.0099, 0.01, 0.12344, 0.12346, 1.0], dtype=np.float32))
    assert stored.tolist() == [0, 0, 100, 1234, 1235, 10_000]


def test_findings_of_a_run_before_the_kind_was_configured_have_no_map_and_the_log_says_so(
    case: Case, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = changed(case, findings=tuple(replace(finding, probability=None) for finding in case.masks))
    assert maps_of(before, tmp_path) == []
    assert "no probability map: the model ran before a destination took this kind of result" in caplog.text


def test_what_a_predicted_scan_does_not_show_is_mapped_with_its_time(case: Case, tmp_path: Path) -> None:
    probability = np.zeros(case.volume.hu.shape, np.uint16)
    probability[3, 20:30, 25:40] = 4200
    predicted = predicted_of(case, probability=probability, outlined="hemorrhage")
    both = changed(case, findings=(*case.masks, predicted))
    found = [dcmread(result.path) for result in maps_of(both, tmp_path / "both")]
    assert [str(pm.ContentDescription) for pm in found] == [
        "Probability of haemorrhage, not verified",
        "Probability of oedema, not verified",
        "Predicted probability of haemorrhage, 24 h after the baseline sc",
    ]
    assert np.allclose(by_position(found[-1], case), probability / 10_000, atol=1e-7)
    alone = [dcmread(result.path) for result in maps_of(changed(case, findings=(predicted,)), tmp_path / "alone")]
    assert [str(pm.SeriesDescription) for pm in alone] == ["AI PREDICTED probability, not acquired (research)"]


def test_a_predicted_scan_without_a_chance_of_anything_has_no_map(case: Case, tmp_path: Path) -> None:
    assert not maps_of(changed(case, findings=(predicted_of(case),)), tmp_path)
