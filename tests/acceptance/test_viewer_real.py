"""What a radiologist sees in OHIF of a real head, tilted and unevenly spaced, with a bleed painted into it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dicomnode.app.process import process_folder
from dicomnode.config.whole import built_in_config
from dicomnode.dicom import codes
from dicomnode.encode.case import encode_case
from dicomnode.images.volume import read_series
from dicomnode.records import Case
from tests.acceptance import orthanc as orthanc_module
from tests.acceptance.orthanc import DICOMWEB, Orthanc
from tests.acceptance.scanner import storescu
from tests.acceptance.test_viewer import Shown, coloured, followed_up, likeness, on_screen, overlap, slice_shown
from tests.acceptance.viewer import DICOMWEB_SETTINGS, NoViewer, Viewer
from tests.tools.paint import paint_bleed

pytestmark = [pytest.mark.full, pytest.mark.tools, pytest.mark.real_data, pytest.mark.timeout(900)]

PRESS_DOWN = 14


@pytest.fixture(scope="module")
def shown(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """The painted head in a PACS with all its results, and OHIF before it."""
    if not (orthanc_module.available() and DICOMWEB.exists()):
        pytest.skip("Orthanc with DICOMweb is not installed (tests/tools/debian_tools.sh viewer installs it)")
    folder = tmp_path_factory.mktemp("real")
    paint_bleed(real_data / "head_ct_ge", folder / "ct", volume_ml=25.0)
    case = case_of_run(folder)
    paths = [*(folder / "ct").glob("*.dcm"), *(result.path for result in encode_case(case, folder / "results"))]
    with Orthanc(tmp_path_factory.mktemp("orthanc"), settings=DICOMWEB_SETTINGS) as pacs:
        assert storescu(paths, pacs.dicom_port, called_ae=pacs.ae_title)
        try:
            viewer = Viewer(pacs)
        except NoViewer as reason:
            pytest.skip(f"no viewer: {reason}")
        with viewer:
            yield Shown(case, viewer)


def case_of_run(folder: Path) -> Case:
    """What the shipped model finds, and a generated predicted scan."""
    config = built_in_config()
    protocol = config.protocol_named("head-ct")
    assert protocol is not None
    done = process_folder(folder / "ct", folder / "run", config, protocol, lambda line: None)
    series = read_series(sorted((folder / "ct").glob("*.dcm")))
    case = Case(
        sources=series.sources,
        identity=series.sources[0],
        volume=series.volume,
        findings=done.findings,
        input_digests=series.input_digests,
        protocol="head-ct",
        settings_digest="",
        generation=1,
    )
    return replace(case, findings=(*case.findings, followed_up(case)))


def test_the_segmentation_opens_and_is_red_where_the_bleed_is(shown: Shown) -> None:
    sight = shown.look("AI haemorrhage segmentation", "real-segmentation", scroll=3)
    finding = shown.case.masks[0]
    index = slice_shown(sight, shown.case)
    assert likeness(sight, shown.case.volume.hu[index]) > 0.8
    expected = on_screen((255 * finding.mask[index]).astype("uint8"), sight) > 127
    assert expected.any()
    assert overlap(coloured(sight, codes.concepts_of(finding).rgb), expected) > 0.8


def test_the_predicted_scan_opens_and_is_the_prediction(shown: Shown) -> None:
    sight = shown.look("AI PREDICTED scan", "real-predicted", scroll=PRESS_DOWN)
    (image,) = shown.case.images
    likenesses = [likeness(sight, plane) for plane in image.hu]
    assert max(likenesses) > 0.8
