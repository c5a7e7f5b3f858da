"""Pictures of the marked slices, and the reports that stand in for others: what they say, and that they are checked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ComprehensiveSRStorage, EnhancedSRStorage, SecondaryCaptureImageStorage

from dicomnode.dicom import codes
from dicomnode.encode.case import encode_case
from dicomnode.encode.kinds import seg_sc as overlay
from dicomnode.encode.kinds.seg_sc import overlay_pixels, shown_slices
from dicomnode.errors import EncodeError
from dicomnode.records import Case
from tests.unit.encode.cases import EVEN, TILTED_UNEVEN, case_of, changed, score_of

BLEEDS = (((25.0, 60.0, 40.0), (12.0, 14.0, 10.0)),)


def encoded(case: Case, folder: Path, *kinds: str) -> list[Dataset]:
    return [dcmread(result.path) for result in encode_case(case, folder, None, kinds) if result.kind in kinds]


@pytest.fixture(scope="module")
def case() -> Case:
    return case_of(TILTED_UNEVEN, BLEEDS)


def test_each_picture_lies_on_its_slice_in_the_frame_of_reference_of_the_scan(case: Case, tmp_path: Path) -> None:
    pictures = encoded(case, tmp_path, "seg_sc")
    slices = shown_slices(case)
    assert len(pictures) == len(slices)
    for index, ds in zip(slices, pictures, strict=True):
        source = case.sources[index]
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "FrameOfReferenceUID"):
            assert ds[keyword].value == source[keyword].value
        assert ds.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
        assert (ds.SOPClassUID, ds.Rows, ds.Columns) == (SecondaryCaptureImageStorage, source.Rows, source.Columns)
    assert len({ds.SOPInstanceUID for ds in pictures}) == len(pictures)
    assert len({ds.SeriesInstanceUID for ds in pictures}) == 1
    assert [ds.InstanceNumber for ds in pictures] == list(range(1, len(pictures) + 1))


def test_the_marked_slices_and_their_neighbours_are_shown(case: Case) -> None:
    marked = np.flatnonzero(case.masks[0].mask.any(axis=(1, 2)))
    assert shown_slices(case) == list(range(marked[0] - 1, marked[-1] + 2))


def test_the_outline_runs_along_the_mask_and_leaves_the_rest_grey(case: Case) -> None:
    mask = case.masks[0].mask
    index = int(np.argmax(mask.sum(axis=(1, 2))))
    pixels = overlay_pixels(case, index).astype(int)
    coloured = np.ptp(pixels, axis=2) > 60
    rows, columns = np.nonzero(mask[index])
    centre = int(rows.mean()), int(columns.mean())
    assert coloured[rows.min() - 1 : rows.max() + 2, columns.min() - 1 : columns.max() + 2].any()
    assert not coloured[centre]
    assert not coloured[: rows.min() - 2].any()
    assert not coloured[:, columns.max() + 3 :].any()


def test_a_negative_has_no_pictures(tmp_path: Path) -> None:
    assert encoded(case_of(EVEN), tmp_path, "seg_sc") == []


def test_a_thin_slice_series_is_shown_by_so_many_pictures_at_most(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlay, "MAX_PICTURES", 3)
    every = len(np.flatnonzero(case.masks[0].mask.any(axis=(1, 2)))) + 2
    assert len(shown_slices(case)) == 3 < every
    assert (shown_slices(case)[-1] - shown_slices(case)[0]) == every - 1


@pytest.mark.parametrize("rgb", [*codes.PALETTE, *(entry.rgb for entry in codes.FINDINGS.values())])
def test_the_outline_is_seen_in_every_colour_that_a_finding_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rgb: tuple[int, int, int]
) -> None:
    monkeypatch.setattr(codes, "concepts_of", lambda _: codes.OTHER_FINDING._replace(rgb=rgb))
    assert encoded(case_of(EVEN, BLEEDS), tmp_path, "seg_sc")


def test_a_picture_without_its_outline_is_no_result(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = overlay_pixels(changed(case, findings=(replace(case.masks[0], mask=np.zeros_like(case.masks[0].mask)),)), 3)
    monkeypatch.setattr(overlay, "overlay_pixels", lambda *_: plain)
    with pytest.raises(EncodeError, match="whether there is a mask"):
        encoded(case, tmp_path, "seg_sc")
    assert not list(tmp_path.glob("*.dcm"))


@pytest.fixture(scope="module")
def reports(case: Case, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    """Reports of every rung, by kind."""
    with_score = changed(case, findings=(*case.findings, score_of()))
    lower = ["sr_comp", "sr_enhanced", "scores_comp", "scores_enhanced"]
    results = encode_case(with_score, tmp_path_factory.mktemp("reports"), None, lower)
    return {result.kind: dcmread(result.path) for result in results}


@pytest.mark.parametrize(
    ("kind", "sop_class"),
    [
        ("sr_comp", ComprehensiveSRStorage),
        ("sr_enhanced", EnhancedSRStorage),
        ("scores_comp", ComprehensiveSRStorage),
        ("scores_enhanced", EnhancedSRStorage),
    ],
)
def test_a_report_of_a_lower_rung_says_the_same_in_a_series_of_its_own(
    reports: dict[str, Dataset], kind: str, sop_class: str
) -> None:
    lower, first = reports[kind], reports[kind.partition("_")[0]]
    assert lower.SOPClassUID == sop_class
    assert lower.ContentSequence == first.ContentSequence
    assert lower.SOPInstanceUID != first.SOPInstanceUID
    assert (lower.SeriesInstanceUID, lower.SeriesNumber) != (first.SeriesInstanceUID, first.SeriesNumber)
    assert "SCOORD3D" not in str(lower)


def test_stand_ins_are_not_named_by_the_key_object(case: Case, tmp_path: Path) -> None:
    (alone,) = encoded(case, tmp_path / "1", "kos")
    beside = [ds for ds in encoded(case, tmp_path / "2", "kos", "seg_sc", "sr_comp") if ds.Modality == "KO"]
    assert [ds.ContentSequence for ds in beside] == [alone.ContentSequence]
    assert beside[0].SOPInstanceUID == alone.SOPInstanceUID
