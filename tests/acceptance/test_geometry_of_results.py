"""With the mask replaced by the truth, what remains is geometry: frames on the source's slices, volume right to 1 %."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from dicomnode.app.pictures import mask_of_seg
from dicomnode.encode.case import encode_case
from dicomnode.images.volume import LoadedSeries, read_series
from dicomnode.measure.lesions import measure
from dicomnode.records import Case, MaskFinding, ModelRef
from tests.acceptance.reading import volume_in_sr
from tests.tools.paint import PaintedTruth, paint_bleed

MODEL = ModelRef(
    name="truth", version="1", digest="sha256:0", title="Painted truth", trained_on="nothing", research=True
)


def case_of_truth(series: LoadedSeries, truth: PaintedTruth) -> Case:
    """A case whose finding is what was painted."""
    total, lesions, labels = measure(truth.mask, series.volume, 0.1)
    finding = MaskFinding(
        name="hemorrhage",
        label="Intracranial haemorrhage",
        mask=labels > 0,
        threshold=0.5,
        detection_limit_ml=0.1,
        model=MODEL,
        total=total,
        lesions=lesions,
        lesion_labels=labels,
    )
    return Case(
        sources=series.sources,
        identity=series.sources[0],
        volume=series.volume,
        findings=(finding,),
        input_digests=series.input_digests,
        protocol="head-ct",
        settings_digest="",
        generation=1,
    )


def encoded(series: LoadedSeries, truth: PaintedTruth, folder: Path) -> dict[str, Dataset]:
    """The results on disk, read back, by kind."""
    return {result.kind: pydicom.dcmread(result.path) for result in encode_case(case_of_truth(series, truth), folder)}


@pytest.mark.real_data
@pytest.mark.parametrize("volume_ml", [3.0, 40.0])
def test_the_true_mask_keeps_its_slices_and_its_volume_on_a_tilted_uneven_head(
    tmp_path: Path, real_data: Path, volume_ml: float
) -> None:
    truth = paint_bleed(real_data / "head_ct_ge", tmp_path / "painted", volume_ml=volume_ml)
    series = read_series(truth.paths)
    spacings = np.round(series.volume.stack.spacings_mm, 2)
    assert {4.0, 7.0} <= set(spacings)
    assert abs(np.degrees(np.arctan(np.hypot(*series.volume.stack.shear)))) == pytest.approx(18.5, abs=0.2)
    results = encoded(series, truth, tmp_path / "results")
    assert np.array_equal(mask_of_seg(results["seg"], series.volume), truth.mask)
    assert volume_in_sr(results["sr"]) == pytest.approx(truth.volume_ml, rel=0.01)


@pytest.mark.real_data
def test_the_painted_volume_is_voxels_times_area_times_slice_weight(tmp_path: Path, real_data: Path) -> None:
    truth = paint_bleed(real_data / "head_ct_ge", tmp_path / "painted", volume_ml=20.0)
    positions = [pydicom.dcmread(path).ImagePositionPatient for path in truth.paths]
    normal = np.cross((1, 0, 0), (0, np.cos(np.radians(18.5)), -np.sin(np.radians(18.5))))
    offsets = np.array([np.dot(np.array(position, float), normal) for position in positions])
    gaps = np.diff(offsets)
    weights = np.concatenate([gaps[:1], (gaps[:-1] + gaps[1:]) / 2, gaps[-1:]])
    by_hand_ml = float((truth.mask.sum(axis=(1, 2)) * np.abs(weights)).sum()) * 0.4882812**2 / 1000
    assert truth.volume_ml == pytest.approx(by_hand_ml, rel=1e-3)
