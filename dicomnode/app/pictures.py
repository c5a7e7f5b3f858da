"""Pictures of results as they arrived in a PACS: nothing is drawn from what the node had in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset

from dicomnode.encode.kinds.seg import is_uncertain
from dicomnode.encode.pictures.overview import mask_over_ct
from dicomnode.errors import EncodeError
from dicomnode.images.volume import LoadedSeries
from dicomnode.measure.lesions import measure
from dicomnode.records import Case, MaskFinding, ModelRef, Volume

POSITION_TOLERANCE_MM = 0.01
DETECTION_LIMIT_ML = 0.1
UNCERTAIN: dict[str, Any] = {"exam_probability": 0.0, "exam_threshold": 1.0}
"""What a picture must know of an exam whose marks are drawn as uncertain; the figures themselves are not in the SEG."""


def mask_of_seg(seg: Dataset, volume: Volume) -> NDArray[np.bool_]:
    """The union of a SEG's segments on the volume's grid, each frame placed by its own position.

    Returns
    -------
    (slices, rows, columns) bool, in stack order.

    Raises
    ------
    EncodeError : a frame lies on none of the volume's slices.
    References: DICOM PS3.3 C.8.20, C.7.6.16.2.3 (Plane Position).
    """
    mask = np.zeros(volume.hu.shape, dtype=bool)
    for index, frame in _placed(seg, volume, "a SEG frame"):
        mask[index] |= frame.astype(bool)
    return mask


def hu_of_predicted(scan: Dataset, volume: Volume) -> NDArray[np.float32]:
    """HU of a predicted scan on the volume's grid, each frame placed by its own position.

    Returns
    -------
    (slices, rows, columns) float32, in stack order.

    Raises
    ------
    EncodeError : a frame lies on none of the volume's slices.
    """
    hu = np.zeros(volume.hu.shape, np.float32)
    for index, frame in _placed(scan, volume, "a predicted frame"):
        hu[index] = frame * np.float32(scan.RescaleSlope) + np.float32(scan.RescaleIntercept)
    return hu


def _placed(result: Dataset, volume: Volume, what: str) -> Iterator[tuple[int, NDArray[Any]]]:
    """Each frame (rows, columns) of a result, and which slice of the volume it lies on."""
    frames = result.pixel_array.reshape(-1, result.Rows, result.Columns)
    for frame, groups in zip(frames, result.PerFrameFunctionalGroupsSequence, strict=True):
        yield _slice_of(groups, volume, what), frame


def _slice_of(groups: Dataset, volume: Volume, what: str) -> int:
    """Which slice of a volume a frame lies on."""
    position = np.asarray(groups.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
    distance = np.linalg.norm(volume.stack.positions_mm - position, axis=1)
    nearest = int(distance.argmin())
    if distance[nearest] > POSITION_TOLERANCE_MM:
        raise EncodeError(f"{what} lies {distance[nearest]:.2f} mm from the nearest source slice")
    return nearest


def picture_of_mask(seg: Dataset, series: LoadedSeries) -> Image.Image:
    """The slice with the largest marked area, as CT alone and with the SEG's outline over it."""
    mask = mask_of_seg(seg, series.volume)
    total, lesions, labels = measure(mask, series.volume, DETECTION_LIMIT_ML)
    segment = seg.SegmentSequence[0]
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    model = ModelRef(
        name=str(algorithm.AlgorithmName),
        version=str(algorithm.AlgorithmVersion),
        digest="",
        title=str(segment.SegmentLabel),
        trained_on="",
        research=True,
    )
    finding = MaskFinding(
        name="hemorrhage",
        label=str(segment.SegmentLabel),
        mask=labels > 0,
        threshold=0.5,
        detection_limit_ml=DETECTION_LIMIT_ML,
        model=model,
        total=total,
        lesions=lesions,
        lesion_labels=labels,
        **(UNCERTAIN if is_uncertain(segment) else {}),
    )
    case = Case(
        sources=series.sources,
        identity=series.sources[0],
        volume=series.volume,
        findings=(finding,),
        input_digests=series.input_digests,
        protocol="",
        settings_digest="",
        generation=1,
    )
    return mask_over_ct(case)


def overview_of_sc(sc: Dataset) -> Image.Image:
    """The picture that a Secondary Capture carries."""
    return Image.fromarray(sc.pixel_array)
