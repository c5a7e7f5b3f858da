"""What a radiologist sees in OHIF of heads as scanners make them: uneven, tilted, without blood, and a real one.

Every kind of result of every head is opened. Real heads come from the folder of real data; where it is absent they are
left out, with the reason.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from dicomnode.cohort.acquire import Acquisition, acquire
from dicomnode.cohort.dicom_series import SeriesIdentity, write_acquired
from dicomnode.cohort.head import BleedOrder, make_head
from dicomnode.cohort.statistics import BleedKind
from dicomnode.decision import Decision
from dicomnode.dicom import codes
from dicomnode.encode.case import encode_case
from dicomnode.kinds import Kind
from tests.acceptance import orthanc as orthanc_module
from tests.acceptance.orthanc import DICOMWEB, Orthanc
from tests.acceptance.runs import EVERY_KIND, case_of_run, with_every_finding
from tests.acceptance.scanner import dcmsend
from tests.acceptance.test_viewer import Shown, coloured, likeness, on_screen, overlap, slice_shown
from tests.acceptance.viewer import DICOMWEB_SETTINGS, NoViewer, Viewer
from tests.tools.paint import paint_bleed

pytestmark = [pytest.mark.full, pytest.mark.tools, pytest.mark.timeout(1800)]

PRESS_DOWN = 14
UNEVEN_MM = (*np.arange(0.0, 60.0, 4.0), 57.1, *np.arange(64.1, 120.0, 7.0))


def synthetic(folder: Path, name: str, positions_mm: tuple[float, ...], tilt_deg: float, bleed_ml: float) -> None:
    """One head of the cohort on slices of a test's own."""
    bleeds = (BleedOrder(BleedKind.INTRAPARENCHYMAL, bleed_ml, 64.0),) if bleed_ml else ()
    head = make_head(7, bleeds=bleeds, spacing_mm=1.2)
    acquisition = Acquisition(positions_mm=positions_mm, pixel_mm=0.46, centre_mm=(1.5, -2.0), tilt_deg=tilt_deg)
    identity = SeriesIdentity(patient_name=f"VIEWER^{name.upper()}", patient_id=name, accession_number=name)
    write_acquired(acquire(head, acquisition, seed=7), folder, identity)


EVEN_MM = tuple(float(z) for z in np.arange(30) * 5.0 - 62.0)
Make = Callable[[Path, Path], object]
HEADS: dict[str, Make] = {
    "uneven": lambda folder, _: synthetic(folder, "uneven", tuple(float(z) - 62.0 for z in UNEVEN_MM), 0.0, 25.0),
    "tilted": lambda folder, _: synthetic(folder, "tilted", EVEN_MM, 15.0, 25.0),
    "negative": lambda folder, _: synthetic(folder, "negative", EVEN_MM, 0.0, 0.0),
    "painted_ge": lambda folder, real: paint_bleed(real / "head_ct_ge", folder, volume_ml=25.0),
    "plain_ge": lambda folder, real: shutil.copytree(real / "head_ct_ge", folder, dirs_exist_ok=True),
    "plain_siemens": lambda folder, real: shutil.copytree(real / "head_ct_siemens", folder, dirs_exist_ok=True),
}


@dataclass(frozen=True)
class Opened:
    """A head in the viewer, and which kinds of result it has."""

    name: str
    shown: Shown
    kinds: frozenset[Kind]


@pytest.fixture(scope="module", params=[*HEADS])
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """A head in a PACS with all its results, and OHIF before it."""
    if not (orthanc_module.available() and DICOMWEB.exists()):
        pytest.skip("Orthanc with DICOMweb is not installed (tests/tools/debian_tools.sh viewer installs it)")
    folder = tmp_path_factory.mktemp("head")
    real = request.getfixturevalue("real_data") if request.param.endswith(("_ge", "_siemens")) else folder
    (folder / "ct").mkdir()
    HEADS[request.param](folder / "ct", real)
    case = with_every_finding(case_of_run(folder / "ct", folder / "run"))
    results = encode_case(case, folder / "results", requested=EVERY_KIND)
    paths = [*(folder / "ct").glob("*.dcm"), *(result.path for result in results)]
    with Orthanc(tmp_path_factory.mktemp("orthanc"), settings=DICOMWEB_SETTINGS) as pacs:
        assert dcmsend(paths, pacs.dicom_port, called_ae=pacs.ae_title)
        try:
            viewer = Viewer(pacs)
        except NoViewer as reason:
            pytest.skip(f"no viewer: {reason}")
        with viewer:
            yield Opened(request.param, Shown(case, viewer), frozenset(result.kind for result in results))


def test_the_segmentation_opens_and_is_coloured_where_the_marks_are(opened: Opened) -> None:
    case = opened.shown.case
    finding = case.masks[0]
    assert (Kind.SEG in opened.kinds) == bool(finding.lesions)
    if not finding.lesions:
        return
    sight = opened.shown.look("segmentation", f"{opened.name}-segmentation", scroll=3)
    index = slice_shown(sight, case)
    assert likeness(sight, case.volume.hu[index]) > 0.8
    expected = on_screen((255 * finding.mask[index]).astype("uint8"), sight) > 127
    assert expected.any()
    assert overlap(coloured(sight, codes.colour_of(finding)), expected) > 0.8


def test_the_measurements_open_on_an_image(opened: Opened) -> None:
    case = opened.shown.case
    assert (Kind.SR in opened.kinds) == bool(case.masks[0].lesions)
    if Kind.SR not in opened.kinds:
        return
    sight = opened.shown.look("measurements", f"{opened.name}-measurements", awaited="Volume:")
    assert "Volume:" in sight.texts
    assert likeness(sight, case.volume.hu[slice_shown(sight, case)]) > 0.7


def test_the_text_report_begins_with_what_the_exam_comes_to(opened: Opened) -> None:
    sight = opened.shown.look("AI text report", f"{opened.name}-text")
    text = " ".join(sight.texts.split())
    said = {
        Decision.POSITIVE: "Intracranial haemorrhage:",
        Decision.UNCERTAIN: "Uncertain:",
        Decision.NEGATIVE: "No haemorrhage above the detection limit",
    }
    assert said[opened.shown.case.masks[0].decision] in text
    assert text.index("Impressions") < text.index("Current Procedure Descriptions")


def test_the_overview_opens_with_a_banner_that_the_bar_for_playing_does_not_hide(opened: Opened) -> None:
    sight = opened.shown.look("overview", f"{opened.name}-overview")
    yellow = sight.image[:, :, 0].astype(int) - sight.image[:, :, 2] > 120
    rows = np.flatnonzero(yellow.mean(axis=1) > 0.3)
    assert rows.size
    assert rows.max() > sight.image.shape[0] / 2


def test_the_predicted_scan_opens_and_is_the_prediction(opened: Opened) -> None:
    sight = opened.shown.look("AI PREDICTED scan", f"{opened.name}-predicted", scroll=PRESS_DOWN)
    (image,) = opened.shown.case.images
    assert max(likeness(sight, plane) for plane in image.hu) > 0.8


def test_the_probability_map_opens_over_the_ct(opened: Opened) -> None:
    sight = opened.shown.look("probability", f"{opened.name}-probability", scroll=3)
    assert max(likeness(sight, plane) for plane in opened.shown.case.volume.hu) > 0.6


def test_the_scores_do_not_break_the_page(opened: Opened) -> None:
    sight = opened.shown.look("AI scores", f"{opened.name}-scores")
    assert not [fault for fault in sight.faults if "Cannot destructure" in fault or "TypeError" in fault]
    assert "Something went wrong" not in sight.texts
