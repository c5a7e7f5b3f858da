"""What a radiologist sees: CT and results of a run in Orthanc, opened in OHIF by a scripted Chromium.

The pictures stay in ``artifacts/viewer`` and are to be looked at; the tests compare the pixels on the screen with the
voxels that should be there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from dicomnode.cohort.make import make_demo_study
from dicomnode.dicom import codes
from dicomnode.encode.case import encode_case
from dicomnode.encode.pictures.slices import windowed
from dicomnode.measure.figures import rounded_ml, rounded_mm
from dicomnode.records import Case
from tests.acceptance import orthanc as orthanc_module
from tests.acceptance.orthanc import DICOMWEB, Orthanc
from tests.acceptance.runs import case_of_run, with_every_finding
from tests.acceptance.scanner import dcmsend
from tests.acceptance.viewer import DICOMWEB_SETTINGS, NoViewer, Sight, Viewer

pytestmark = [pytest.mark.full, pytest.mark.tools, pytest.mark.timeout(900)]

PRESS_DOWN = 14
"""Slices to scroll from the first: to the middle of the head."""
LINE_PIXELS = 3
DRAWN, SELECTED = (0, 255, 0), (255, 255, 0)
"""Colours of OHIF's lines."""


@dataclass(frozen=True)
class Shown:
    """A study in the PACS: its case, and OHIF before it."""

    case: Case
    viewer: Viewer

    def look(self, series: str, name: str, *, scroll: int = 0, following: int = 0, awaited: str = "") -> Sight:
        study_uid = str(self.case.identity.StudyInstanceUID)
        return self.viewer.look(study_uid, series, name, scroll=scroll, following=following, awaited=awaited)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, list[Path]]:
    """A generated study, what the model found in it, a generated score and scan; and the files of all that."""
    folder = tmp_path_factory.mktemp("study")
    paths = make_demo_study(folder / "ct").paths
    case = with_every_finding(case_of_run(folder / "ct", folder / "run"))
    return case, [*paths, *(result.path for result in encode_case(case, folder / "results"))]


@pytest.fixture(scope="module")
def shown(study: tuple[Case, list[Path]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    if not (orthanc_module.available() and DICOMWEB.exists()):
        pytest.skip("Orthanc with DICOMweb is not installed (tests/tools/debian_tools.sh viewer installs it)")
    case, files = study
    with Orthanc(tmp_path_factory.mktemp("orthanc"), settings=DICOMWEB_SETTINGS) as pacs:
        assert dcmsend(files, pacs.dicom_port, called_ae=pacs.ae_title)
        try:
            viewer = Viewer(pacs)
        except NoViewer as reason:
            pytest.skip(f"no viewer: {reason}")
        with viewer:
            yield Shown(case, viewer)


def image_shown(sight: Sight) -> int:
    """The InstanceNumber that stands in the corner: ``I:16 (15/30)``."""
    found = re.search(r"I:\s*(\d+) \((\d+)/\d+\)", sight.texts)
    assert found is not None, sight.texts
    return int(found[1])


def slice_shown(sight: Sight, case: Case) -> int:
    numbers = [int(source.InstanceNumber) for source in case.sources]
    return numbers.index(image_shown(sight))


def on_screen(plane: NDArray[np.uint8], sight: Sight) -> NDArray[np.uint8]:
    """A slice as the viewport shows it: as large as it fits, in the middle."""
    height, width = sight.image.shape[:2]
    size = round(min(height * plane.shape[1] / plane.shape[0], width)), min(height, width)
    scaled = np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR))
    screen = np.zeros((height, width), dtype=np.uint8)
    top, left = (height - scaled.shape[0]) // 2, (width - scaled.shape[1]) // 2
    screen[top : top + scaled.shape[0], left : left + scaled.shape[1]] = scaled
    return screen


def likeness(sight: Sight, plane: NDArray[np.float32]) -> float:
    """Correlation of the grey on the screen with a slice in the brain window, where neither banner nor bar can be."""
    edge = sight.image.shape[0] // 8
    wanted = on_screen(windowed(plane), sight).astype(float)[edge:-edge]
    seen = sight.image.mean(axis=2)[edge:-edge]
    if wanted.std() == 0:  # nothing but air
        return 0.0
    return float(np.corrcoef(wanted.ravel(), seen.ravel())[0, 1])


def coloured(sight: Sight, rgb: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Pixels with the hue of ``rgb``, mixed with any grey."""
    pixels = sight.image.astype(float)
    tint = pixels - pixels.min(axis=2, keepdims=True)
    wanted = np.array(rgb, dtype=float) - min(rgb)
    strength = np.linalg.norm(tint, axis=2)
    angle = (tint @ wanted) / np.maximum(strength * np.linalg.norm(wanted), 1e-9)
    return np.asarray((strength > 40) & (angle > 0.98))


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float(2 * (one & other).sum() / max(1, one.sum() + other.sum()))


def is_outlined(sight: Sight, plane: NDArray[np.bool_]) -> bool:
    """Whether a line, dashed as it may be, runs along the rim of the mask and not through it."""
    inside = on_screen((255 * plane).astype(np.uint8), sight) > 127
    near = ndimage.binary_dilation(inside, iterations=LINE_PIXELS)
    rim = near & ~ndimage.binary_erosion(inside, iterations=LINE_PIXELS)
    line = (coloured(sight, DRAWN) | coloured(sight, SELECTED)) & near
    around = ndimage.binary_dilation(line, iterations=8) & rim
    return bool(around.sum() > 0.9 * rim.sum() and (line & rim).sum() > 0.9 * line.sum())


def test_the_ct_alone_is_grey_and_is_the_slice_it_says(shown: Shown) -> None:
    sight = shown.look("Head 5.0 soft tissue", "ct", scroll=PRESS_DOWN)
    index = slice_shown(sight, shown.case)
    assert likeness(sight, shown.case.volume.hu[index]) > 0.95
    assert likeness(sight, shown.case.volume.hu[index + 3]) < likeness(sight, shown.case.volume.hu[index])
    assert not coloured(sight, codes.colour_of(shown.case.masks[0])).any()


def test_the_segmentation_is_red_where_the_bleed_is_failure_mode_18(shown: Shown) -> None:
    sight = shown.look("AI haemorrhage segmentation", "segmentation", scroll=3)
    finding = shown.case.masks[0]
    plane = finding.mask[slice_shown(sight, shown.case)]
    assert plane.any()
    expected = on_screen((255 * plane).astype(np.uint8), sight) > 127
    assert overlap(coloured(sight, codes.colour_of(finding)), expected) > 0.9


def test_the_measurements_are_drawn_on_a_wide_slice_with_the_volume(shown: Shown) -> None:
    sight = shown.look("AI haemorrhage measurements", "measurements", awaited="Volume:")
    finding = shown.case.masks[0]
    index = slice_shown(sight, shown.case)
    areas = finding.mask.sum(axis=(1, 2))
    assert index == int(np.argsort(-areas, kind="stable")[1])  # the widest has the label of the lesion
    assert finding.total is not None
    assert f"Volume: {rounded_ml(finding.total.volume_ml):.2f} mL" in sight.texts
    assert sum(text.count("Volume:") for text in sight.drawn) == 1
    assert is_outlined(sight, finding.mask[index])


def test_the_next_measurement_is_a_lesion_with_its_outline_and_all_its_figures(shown: Shown) -> None:
    sight = shown.look("AI haemorrhage measurements", "lesion", following=1, awaited="Long axis:")
    finding = shown.case.masks[0]
    lesion = finding.lesions[0]
    index = slice_shown(sight, shown.case)
    assert index == int(np.argmax((finding.lesion_labels == 1).sum(axis=(1, 2))))
    assert f"Volume: {rounded_ml(lesion.volume_ml):.2f} mL" in sight.texts
    assert f"Long axis: {rounded_mm(lesion.longest_diameter_mm):.2f} mm" in sight.texts
    assert is_outlined(sight, finding.mask[index])


def test_the_text_report_tells_findings_scores_and_limits_of_use(shown: Shown) -> None:
    sight = shown.look("AI text report", "text")
    finding = shown.case.masks[0]
    assert finding.total is not None
    text = " ".join(sight.texts.split())
    assert f"Intracranial haemorrhage: {finding.total.volume_ml:.1f} mL marked" in text
    assert "Poor outcome (mRS 4 to 6) at 90 days" in text
    assert "ICH Score: 2" in text
    assert "Research, not for diagnosis" in text
    assert (
        text.index("Impressions")
        < text.index("Findings")
        < text.index("Current Procedure Descriptions")
        < text.index("Device Observer")
    )
    assert (sight.image > 200).any()


def test_the_predicted_scan_scrolls_like_a_ct_and_carries_its_banner(shown: Shown) -> None:
    sight = shown.look("AI PREDICTED scan", "predicted", scroll=PRESS_DOWN)
    found = re.search(r"I:\s*\d+ \((\d+)/30\)", sight.texts)
    assert found is not None, sight.texts
    index = int(found[1]) - 1
    (image,) = shown.case.images
    assert likeness(sight, image.hu[index]) > 0.9
    assert likeness(sight, image.hu[index]) > likeness(sight, shown.case.volume.hu[index])
    height = sight.image.shape[0] // 20
    for strip in (sight.image[:height], sight.image[-height:]):
        assert 0.02 < (strip.min(axis=2) > 180).mean() < 0.4


def test_the_overview_is_the_picture_that_was_sent(shown: Shown) -> None:
    sight = shown.look("AI findings overview", "overview")
    banner = sight.image[:, :, 0].astype(int) - sight.image[:, :, 2] > 120
    assert banner.mean() > 0.01
