"""Weights that a user brings, from the import to the PACS: each kind of blood and oedema as a segment, and scored."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.dicom import codes
from dicomnode.zoo.networks.deepmedic import TraumaClass
from tests.acceptance.orthanc import Orthanc, free_port
from tests.acceptance.served import ServedNode, environment
from tests.acceptance.test_tiny_bundles import group_of, numbers, pushed, results_of, scores_report, texts
from tests.tools.published_weights import attenuation_network, write_weights
from tests.tools.series import ct_series, head_hu

pytestmark = [pytest.mark.tools, pytest.mark.timeout(600)]

RANGES_HU = {
    TraumaClass.OEDEMA: (18.0, 26.0),
    TraumaClass.INTRAPARENCHYMAL: (50.0, 62.0),
    TraumaClass.INTRAVENTRICULAR: (66.0, 78.0),
    TraumaClass.EXTRA_AXIAL: (82.0, 94.0),
}
BALLS = {
    TraumaClass.OEDEMA: ((25.0, 8.0, 74.0), 20.0, 22.0),
    TraumaClass.INTRAPARENCHYMAL: ((25.0, 8.0, 74.0), 14.0, 56.0),
    TraumaClass.INTRAVENTRICULAR: ((-20.0, 0.0, 74.0), 11.0, 72.0),
    TraumaClass.EXTRA_AXIAL: ((-20.0, -30.0, 74.0), 11.0, 88.0),
}
"""Middle in mm, radius in mm and HU, the outer one of two first."""
LABELS = {
    TraumaClass.INTRAPARENCHYMAL: "Intraparenchymal haemorrhage",
    TraumaClass.EXTRA_AXIAL: "Extra-axial haemorrhage",
    TraumaClass.OEDEMA: "Perilesional oedema",
    TraumaClass.INTRAVENTRICULAR: "Intraventricular haemorrhage",
}


def injured_head(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A head with a ball of each kind."""
    hu = head_hu(points)
    for middle_mm, radius_mm, inside_hu in BALLS.values():
        hu[np.linalg.norm(points - middle_mm, axis=1) < radius_mm] = inside_hu
    return hu


@pytest.fixture
def node(tmp_path: Path, pacs: Orthanc) -> Iterator[ServedNode]:
    """A node into whose models folder the weights of two networks were imported."""
    other = attenuation_network(ranges_hu=RANGES_HU)
    other.head[-1].conv.weight.data *= 1.5
    files = write_weights(tmp_path / "given", attenuation_network(ranges_hu=RANGES_HU), other)
    command = [sys.executable, "-m", "dicomnode", "zoo", "import", "--layout", "blast-ct", *map(str, files)]
    subprocess.run([*command, "--into", str(tmp_path / "models")], check=True, env=environment(), timeout=300)
    destination = {"name": "pacs", "ae_title": pacs.ae_title, "host": "127.0.0.1", "port": pacs.dicom_port}
    served = ServedNode(
        tmp_path / "node",
        free_port(),
        [{**destination, "accept_research": True, "retry_min_s": 0.3, "retry_max_s": 2.0}],
        reception={"settle_s": 0.2, "quiet_period_s": 2.0, "selection_wait_s": 0.0},
        clinical={"scores": "always"},
        models=("blast_ct",),
        zoo_paths=(tmp_path / "models",),
    )
    served.start()
    yield served
    assert served.stop() == 0


def test_each_kind_of_blood_reaches_the_pacs_as_a_segment_and_the_scores(
    node: ServedNode, pacs: Orthanc, tmp_path: Path
) -> None:
    study = ct_series(
        tuple(np.arange(0.0, 144.0, 6.0)), name="injured", matrix=96, pixel_spacing_mm=(2.2, 2.2), hu=injured_head
    )
    results = results_of(node, pacs, pushed(node, tmp_path / "study", study))
    (seg,) = [ds for ds in results if ds.Modality == "SEG"]
    marked = {segment.SegmentLabel: segment.SegmentNumber for segment in seg.SegmentSequence}
    assert set(marked) == set(LABELS.values())
    frames = [
        item.SegmentIdentificationSequence[0].ReferencedSegmentNumber for item in seg.PerFrameFunctionalGroupsSequence
    ]
    for kind, label in LABELS.items():
        own = [plane for plane, number in zip(seg.pixel_array, frames, strict=True) if number == marked[label]]
        rows, columns = np.nonzero(np.max(own, axis=0))
        wanted, radius_mm, _ = BALLS[kind]
        # the series begins at its upper left pixel; a shell of other attenuation runs around every ball
        x, y = (float(v) for v in study[0].ImagePositionPatient[:2])
        inside = np.hypot(x + 2.2 * columns - wanted[0], y + 2.2 * rows - wanted[1]) < radius_mm + 3.0
        assert np.count_nonzero(inside) * 2.2**2 > 0.5 * np.pi * radius_mm**2, label
    report = scores_report(results)
    used = texts(group_of(report, "ICH Score"), codes.INPUT_USED)
    (ventricles,) = [one for one in used if one.startswith("Blood in the ventricles")]
    assert "measured" in ventricles
    assert "0.00 mL" not in ventricles
    assert 0.0 < numbers(group_of(report, "Oedema extension distance"))[0] < 1.0
