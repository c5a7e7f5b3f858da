"""What a radiologist sees of the protocol after thrombectomy: the shipped models on tilted, uneven heads, in OHIF.

One head is of the cohort, one a scanner's own, from the folder of real data; where that is absent it is left out, with
the reason. The pictures in ``artifacts/viewer`` are to be looked at.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from dicomnode.app.pictures import hu_of_predicted
from dicomnode.images.volume import read_volume
from dicomnode.kinds import MULTI_FRAME_WORD_SC
from dicomnode.records import Volume
from tests.acceptance import orthanc as orthanc_module
from tests.acceptance.orthanc import DICOMWEB, Orthanc
from tests.acceptance.scanner import dcmsend
from tests.acceptance.test_stroke_viewer import is_whole, words
from tests.acceptance.test_viewer import likeness
from tests.acceptance.test_viewer_real import UNEVEN_MM, synthetic
from tests.acceptance.viewer import DICOMWEB_SETTINGS, NoViewer, Viewer

pytestmark = [pytest.mark.full, pytest.mark.tools, pytest.mark.timeout(1800)]

PRESS_DOWN = 12
BLOOD_HU, MOST_INVENTED_ML = 60.0, 2.0
CONFIG = """
[node]
data_dir = "{data}"

[execution]
devices = ["cpu"]

[zoo]
selftest = false

[[protocol]]
name = "post-thrombectomy"
match = {{ Modality = "^CT$" }}
models = ["hemorrhage", "followup", "edema"]
shadow = true
"""


@dataclass(frozen=True)
class Opened:
    """A head with its results in the archive, and OHIF before it."""

    name: str
    study_uid: str
    source: Volume
    predicted_hu: NDArray[np.float32]
    viewer: Viewer


def processed(folder: Path, ct: Path) -> list[Path]:
    """What ``dicomnode process`` makes of a CT after a thrombectomy."""
    config, context = folder / "config.toml", folder / "context.json"
    config.write_text(CONFIG.format(data=folder / "data"))
    context.write_text(json.dumps({"values": [{"name": "thrombectomy", "value": True}]}))
    command = [sys.executable, "-m", "dicomnode", "process", str(ct), "--protocol", "post-thrombectomy"]
    command += ["--out", str(folder / "out"), "--config", str(config), "--context", str(context)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr
    return sorted((folder / "out").glob("*.dcm"))


@pytest.fixture(scope="module", params=["tilted_uneven", "ge"])
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    if not (orthanc_module.available() and DICOMWEB.exists()):
        pytest.skip("Orthanc with DICOMweb is not installed (tests/tools/debian_tools.sh viewer installs it)")
    folder = tmp_path_factory.mktemp("head")
    if request.param == "ge":
        shutil.copytree(request.getfixturevalue("real_data") / "head_ct_ge", folder / "ct")
    else:
        (folder / "ct").mkdir()
        synthetic(folder / "ct", "evt", tuple(float(z) - 62.0 for z in UNEVEN_MM), 15.0, 0.0)
    ct = sorted((folder / "ct").rglob("*.dcm"))
    results = processed(folder, folder / "ct")
    (scan,) = [ds for ds in map(pydicom.dcmread, results) if ds.SOPClassUID == MULTI_FRAME_WORD_SC]
    source = read_volume(ct)
    with Orthanc(tmp_path_factory.mktemp("orthanc"), settings=DICOMWEB_SETTINGS) as pacs:
        assert dcmsend([*ct, *results], pacs.dicom_port, called_ae=pacs.ae_title)
        try:
            viewer = Viewer(pacs)
        except NoViewer as reason:
            pytest.skip(f"no viewer: {reason}")
        with viewer:
            hu = hu_of_predicted(scan, source)
            yield Opened(request.param, str(scan.StudyInstanceUID), source, hu, viewer)


def test_the_predicted_scan_opens_in_the_brain_window_and_is_the_prediction(opened: Opened) -> None:
    name = f"followup-{opened.name}-predicted"
    sight = opened.viewer.look(opened.study_uid, "AI PREDICTED scan", name, scroll=PRESS_DOWN)
    assert re.search(r"W:\s*80\s*L:\s*40", sight.texts)
    likest = max(range(len(opened.predicted_hu)), key=lambda index: likeness(sight, opened.predicted_hu[index]))
    assert likeness(sight, opened.predicted_hu[likest]) > 0.8
    assert is_whole(sight)


def test_no_dense_blood_is_invented(opened: Opened) -> None:
    hu, edge = opened.predicted_hu, opened.source.hu.shape[1] // 10  # without banners
    drawn = hu > 1000.0  # outlines
    new = (hu > BLOOD_HU) & (opened.source.hu <= BLOOD_HU) & ~drawn
    new[:, :edge] = new[:, -edge:] = False
    assert opened.source.stack.volume_ml(new) < MOST_INVENTED_ML


def test_the_overview_shows_scan_prediction_and_difference_side_by_side(opened: Opened) -> None:
    sight = opened.viewer.look(opened.study_uid, "AI findings overview", f"followup-{opened.name}-overview")
    yellow = sight.image[:, :, 0].astype(int) - sight.image[:, :, 2] > 120
    assert (yellow.mean(axis=1) > 0.3).any()
    assert is_whole(sight)


def test_the_text_report_says_that_it_was_never_acquired_and_what_dense_may_be(opened: Opened) -> None:
    said = words(opened.viewer.look(opened.study_uid, "AI text report", f"followup-{opened.name}-text"))
    assert "Blood on the follow-up CT: 0." in said
    assert "not acquired" in said
    assert "contrast medium" in said
    assert "Research, not for diagnosis" in said
