"""A bleed is found, and the PACS has a CT of hours before that the node never saw: it is told by how much it grew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from tests.acceptance.orthanc import DICOMWEB, Orthanc, available, free_port
from tests.acceptance.scanner import BLEED_CENTRE_MM, OFFSETS_MM, storescu
from tests.acceptance.served import ServedNode
from tests.acceptance.test_tiny_bundles import results_of, until
from tests.tools.bundle import write_threshold_bundle
from tests.tools.series import ct_series, head_hu, write_series

pytestmark = [pytest.mark.tools, pytest.mark.timeout(400)]

EARLIER = """
[priors]
destination = "pacs"
protocol = "earlier-ct"
hours_before = 12.0

[[protocol]]
name = "earlier-ct"
match = { Modality = "^CT$" }
models = ["threshold"]
shadow = true
"""


def scan(radius_mm: float, at: str, **attributes: Any) -> list[Dataset]:
    """A head with a ball of blood, of a patient, on one day."""

    def hu(points: NDArray[np.float64]) -> NDArray[np.float64]:
        values = head_hu(points)
        values[np.linalg.norm(points - BLEED_CENTRE_MM, axis=1) < radius_mm] = 70.0
        return values

    when = {
        f"{what}{kind}": value
        for what in ("Study", "Acquisition")
        for kind, value in (("Date", "20260310"), ("Time", at))
    }
    who = {"PatientID": "GRETA", "PatientBirthDate": "19440502", "PatientSex": "F", "PatientName": "Greta"}
    return ct_series(
        OFFSETS_MM,
        name=generate_uid(),
        matrix=96,
        pixel_spacing_mm=(2.2, 2.2),
        hu=hu,
        StudyInstanceUID=generate_uid(),
        **{**when, **who, **attributes},
    )


@contextmanager
def asking_node(
    folder: Path, *, is_web: bool, others: str, bundles: Mapping[str, Callable[[Path], Path]], **served: Any
) -> Iterator[tuple[ServedNode, Orthanc]]:
    """A node and the PACS that it sends to and asks, by either way, while the block lasts.

    ``others``: of its configuration, which CTs it asks for; ``bundles``: what writes each of its models.
    """
    if not available() or (is_web and not DICOMWEB.exists()):
        pytest.skip("Orthanc or its DICOMweb plug-in is not installed (tests/tools/debian_tools.sh installs them)")
    port = free_port()
    settings = {"Plugins": [str(DICOMWEB)]} if is_web else {}
    with Orthanc(folder / "orthanc", peers={} if is_web else {"node": ("AINODE", port)}, settings=settings) as pacs:
        dimse = {"ae_title": pacs.ae_title, "host": "127.0.0.1", "port": pacs.dicom_port}
        way = {"url": f"{pacs.url}/dicom-web"} if is_web else dimse
        node = ServedNode(
            folder / "node",
            port,
            [{"name": "pacs", **way, "accept_research": True, "results": ["sr", "scores"]}],
            reception={"settle_s": 0.2, "quiet_period_s": 2.0, "selection_wait_s": 0.0},
            models=tuple(bundles),
            zoo_paths=tuple(write(folder / "zoo" / name) for name, write in bundles.items()),
            **served,
        )
        node.write_config()
        with node.config.open("a") as file:
            file.write(others)
        with node:
            node.start()
            yield node, pacs
            assert node.stop() == 0


@pytest.fixture(params=["dimse", "dicomweb"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[ServedNode, Orthanc]]:
    bundles, clinical = {"threshold": write_threshold_bundle}, {"amend_settle_s": 0.5}
    is_web = request.param == "dicomweb"
    with asking_node(tmp_path, is_web=is_web, others=EARLIER, bundles=bundles, clinical=clinical) as found:
        yield found


def growth(results: Sequence[Dataset]) -> list[float]:
    """What reports of scores say that the bleed has grown by, mL."""
    return [
        float(item.MeasuredValueSequence[0].NumericValue)
        for report in results
        for item in _items(report)
        if "Growth of the bleed" in str(item.ConceptNameCodeSequence[0].CodeMeaning)
    ]


def _items(item: Dataset) -> Iterator[Dataset]:
    for inner in item.get("ContentSequence", ()):
        if inner.get("ValueType") == "NUM" and inner.get("MeasuredValueSequence"):
            yield inner
        yield from _items(inner)


def test_an_earlier_ct_of_the_pacs_is_fetched_looked_at_and_told_as_growth_alone(
    world: tuple[ServedNode, Orthanc], tmp_path: Path
) -> None:
    node, pacs = world
    before, now = scan(10.0, "080000"), scan(15.0, "130000")
    stranger = scan(12.0, "110000", PatientBirthDate="19800101")  # nearer in time, under the same ID
    for images in (before, stranger):
        assert storescu(
            write_series(tmp_path / images[0].StudyInstanceUID, images), pacs.dicom_port, called_ae="ORTHANC"
        )
    assert storescu(write_series(tmp_path / "now", now), node.port)
    study_uid, prior_uid, other_uid = (str(one[0].StudyInstanceUID) for one in (now, before, stranger))
    until(lambda: bool(growth(results_of(node, pacs, study_uid))))
    # balls of 15 and 10 mm
    assert growth(results_of(node, pacs, study_uid))[-1] == pytest.approx(
        4.0 / 3.0 * np.pi * (1.5**3 - 1.0**3), rel=0.25
    )
    assert node.states(prior_uid) == ["done"]
    assert node.states(other_uid) == []
    assert [ds for ds in pacs.instances(prior_uid) if ds["Modality"] != "CT"] == []
    told = node.command("why", study_uid).stdout
    assert "birth_date" in told
    assert "fetched" in told
    assert "80000" not in told
