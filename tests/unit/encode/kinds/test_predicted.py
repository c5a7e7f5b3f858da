"""Predicted scans, read back with pydicom alone. The scans are generated: no model that predicts any ships yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicomnode.encode.case import encode_case
from dicomnode.encode.context import context_of
from dicomnode.encode.files import bytes_of
from dicomnode.encode.kinds.predicted import banner_rows, banner_texts, predicted_scans, stored_frames
from dicomnode.encode.validate import validate
from dicomnode.encode.wording import Wording
from dicomnode.errors import EncodeError
from dicomnode.language import Language, told
from dicomnode.records import PROBABILITY_SCALE, Case
from tests.unit.encode.cases import EVEN, MODEL, TILTED_UNEVEN, Patient, case_of, changed, predicted_of

ACQUISITION = {
    "KVP": "120",
    "XRayTubeCurrent": 200,
    "ExposureTime": 500,
    "CTDIvol": 42.0,
    "AcquisitionDate": "20240102",
    "AcquisitionTime": "101500",
    "AcquisitionDateTime": "20240102101500",
}


@pytest.fixture(scope="module", params=[TILTED_UNEVEN, EVEN], ids=["tilted and uneven", "even"])
def case(request: pytest.FixtureRequest) -> Case:
    plain = case_of(request.param, patient=Patient(extra=dict(ACQUISITION)))
    return changed(plain, findings=(predicted_of(plain, warnings=("Not for surgery.",)),))


@pytest.fixture(scope="module")
def results(case: Case, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Dataset]]:
    found: dict[str, list[Dataset]] = {}
    for result in encode_case(case, tmp_path_factory.mktemp("results"), requested=["predicted_sc"]):
        found.setdefault(result.kind, []).append(dcmread(result.path))
    return found


@pytest.fixture(scope="module")
def scan(results: dict[str, list[Dataset]]) -> Dataset:
    (scan,) = results["predicted"]
    return scan


def inside(scan: Dataset) -> slice:
    """Rows between the two strips of the banner."""
    return slice(banner_rows(scan.Rows), scan.Rows - banner_rows(scan.Rows))


def test_a_reader_of_frame_positions_gets_the_hu_of_every_source_slice(scan: Dataset, case: Case) -> None:
    frames = scan.pixel_array.astype(np.int64) * int(scan.RescaleSlope) + int(scan.RescaleIntercept)
    by_position = {
        tuple(map(float, group.PlanePositionSequence[0].ImagePositionPatient)): frame
        for group, frame in zip(scan.PerFrameFunctionalGroupsSequence, frames, strict=True)
    }
    for index, source in enumerate(case.sources):
        frame = by_position[tuple(map(float, source.ImagePositionPatient))]
        assert np.array_equal(frame[inside(scan)], np.rint(case.images[0].hu[index, inside(scan)]))


def test_all_frames_share_orientation_and_the_measures_of_most_slices(scan: Dataset, case: Case) -> None:
    shared = scan.SharedFunctionalGroupsSequence[0]
    assert list(shared.PlaneOrientationSequence[0].ImageOrientationPatient) == list(
        case.sources[0].ImageOrientationPatient
    )
    (measures,) = shared.PixelMeasuresSequence
    stated = Counter(float(source.SliceThickness) for source in case.sources)
    assert list(measures.PixelSpacing) == list(case.sources[0].PixelSpacing)
    assert stated[float(measures.SliceThickness)] == max(stated.values())
    assert not any("PixelMeasuresSequence" in group for group in scan.PerFrameFunctionalGroupsSequence)


def test_it_is_marked_as_synthetic_in_every_way_there_is(results: dict[str, list[Dataset]]) -> None:
    for ds in (*results["predicted"], *results["predicted_sc"]):
        assert (ds.SyntheticData, ds.ConversionType, ds.BurnedInAnnotation) == ("YES", "SYN", "YES")
        assert (ds.Modality, ds.ContentQualification) == ("OT", "RESEARCH")
        assert ds.SeriesDescription == "AI PREDICTED scan, not acquired (research)"
        assert "24 h after the baseline scan" in ds.ImageComments
        assert "Not for surgery." in ds.ImageComments
        purposes = [item.PurposeOfReferenceCodeSequence[0].CodeValue for item in ds.ContributingEquipmentSequence]
        assert purposes == ["109102", "109100"]
        assert MODEL.digest in ds.ContributingEquipmentSequence[1].ContributionDescription


def test_the_banner_is_in_the_pixels_of_every_frame(scan: Dataset) -> None:
    height = banner_rows(scan.Rows)
    for frame in scan.pixel_array:
        for strip in (frame[:height], frame[-height:]):
            assert strip.min() == 0
            assert strip.max() > 1024 + 80
    assert np.ptp(scan.pixel_array[:, :height], axis=0).max() == 0


def test_nothing_of_the_source_can_land_on_it(results: dict[str, list[Dataset]], case: Case) -> None:
    frames = {str(ds.FrameOfReferenceUID) for kind in ("predicted", "predicted_sc") for ds in results[kind]}
    assert len(frames) == 1
    assert frames.isdisjoint({str(source.FrameOfReferenceUID) for source in case.sources})


def test_the_banner_is_white_or_air_in_any_window(scan: Dataset) -> None:
    height = banner_rows(scan.Rows)
    strips = np.concatenate([scan.pixel_array[:, :height], scan.pixel_array[:, -height:]])
    assert set(np.unique(strips.astype(int) + int(scan.RescaleIntercept))) == {-1024, 3071}


def test_neither_dose_nor_times_of_an_acquisition_are_carried(results: dict[str, list[Dataset]], case: Case) -> None:
    assert case.sources[0].KVP == 120
    for ds in (*results["predicted"], *results["predicted_sc"]):
        assert [keyword for keyword in ACQUISITION if keyword in ds] == []
        assert [element.keyword for element in ds.iterall() if "Exposure" in element.keyword] == []


def test_single_images_hold_the_same_slices(results: dict[str, list[Dataset]], scan: Dataset, case: Case) -> None:
    images = results["predicted_sc"]
    assert len({ds.SOPInstanceUID for ds in images}) == len(images) == len(case.sources)
    assert len({ds.SeriesInstanceUID for ds in images}) == 1
    for number, (ds, source) in enumerate(zip(images, case.sources, strict=True)):
        assert list(ds.ImagePositionPatient) == list(source.ImagePositionPatient)
        assert ds.InstanceNumber == number + 1
        assert np.array_equal(ds.pixel_array, scan.pixel_array[number])


def test_single_images_are_made_on_request_only(case: Case, tmp_path: Path) -> None:
    assert [result.kind for result in encode_case(case, tmp_path)] == ["text", "sc", "predicted"]


def test_the_reports_say_that_it_was_never_acquired(results: dict[str, list[Dataset]]) -> None:
    assert "computed by a model as a series of its own, never acquired" in results["sc"][0].ImageComments
    assert any("never acquired" in str(e.value) for e in results["text"][0].iterall() if e.keyword == "TextValue")


def test_a_scan_of_another_shape_is_refused(case: Case, tmp_path: Path) -> None:
    with pytest.raises(EncodeError, match="does not fit"):
        encode_case(changed(case, findings=(predicted_of(case, hu=case.volume.hu[:-1]),)), tmp_path)


def test_hu_beyond_the_range_are_kept_at_its_ends(case: Case) -> None:
    wild = predicted_of(case, hu=np.where(case.volume.hu > 500, 1e6, -5000).astype(np.float32))
    (scan,) = predicted_scans(context_of(changed(case, findings=(wild,))))
    stored = np.frombuffer(scan.PixelData, dtype="<u2")
    assert (stored.min(), stored.max()) == (0, 65535)


def test_what_the_tissue_does_not_show_is_outlined_and_said_in_the_banner(case: Case, tmp_path: Path) -> None:
    chance = np.zeros(case.volume.hu.shape, np.uint16)
    chance[2, 40:60, 30:50] = round(0.2 * PROBABILITY_SCALE)
    chance[2, 45:55, 35:45] = round(0.6 * PROBABILITY_SCALE)
    told_so = predicted_of(case, probability=chance, note=told("Blood on it: {share:.0f} %", share=35.0))
    results = encode_case(changed(case, findings=(told_so,)), tmp_path, requested=["predicted_sc"])
    multi, *singles = (dcmread(one.path) for one in results if one.kind in ("predicted", "predicted_sc"))
    plain = stored_frames(replace(told_so, probability=None), Wording())
    drawn = multi.pixel_array != plain
    strip = banner_rows(multi.Rows)
    assert drawn[:, :strip].any()
    drawn[:, :strip] = drawn[:, -strip:] = False
    assert [bool(frame.any()) for frame in drawn] == [index == 2 for index in range(len(plain))]
    edge = np.zeros((20, 20), bool)
    edge[[0, -1]] = edge[:, [0, -1]] = True
    inner = np.zeros((20, 20), bool)
    inner[5:15, 5:15] = True
    inner[6:14, 6:14] = False
    found = drawn[2, 40:60, 30:50]
    # the surest line is whole, the one of 10 % is a quarter of its voxels
    assert found[inner].all()
    assert found[edge].mean() == pytest.approx(0.25, abs=0.05)
    assert not found[~(edge | inner)].any()
    assert np.array_equal(singles[2].pixel_array, multi.pixel_array[2])
    assert "Blood on it: 35 %. Lines: chance of blood 10, 30, 50 %." in multi.ImageComments
    assert banner_texts(told_so, Wording(Language.GERMAN))[0].startswith(
        "VORHERSAGE - NICHT AUFGENOMMEN - BLUT DARAUF: 35 %"
    )


def _real(ds: Dataset) -> None:
    ds.SyntheticData = "NO"


def _moved(ds: Dataset) -> None:
    groups = ds.PerFrameFunctionalGroupsSequence
    groups[0].PlanePositionSequence, groups[1].PlanePositionSequence = (
        groups[1].PlanePositionSequence,
        groups[0].PlanePositionSequence,
    )


def _painted(ds: Dataset) -> None:
    ds.PixelData = ds.PixelData[:-2] + b"\x01\x00"


@pytest.mark.parametrize(
    ("damage", "message"),
    [(_real, "not marked as synthetic"), (_moved, "not those of the slices"), (_painted, "differ from the prediction")],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_damaged_scan_does_not_pass(
    case: Case, tmp_path: Path, damage: Callable[[Dataset], None], message: str
) -> None:
    context = context_of(case)
    (scan,) = predicted_scans(context)
    damage(scan)
    path = tmp_path / "scan.dcm"
    path.write_bytes(bytes_of(scan))
    with pytest.raises(EncodeError, match=message):
        validate(path, context, "predicted", {})
