"""A model that tells kinds of blood apart: what segmentation, reports and picture make of its four masks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicomnode.encode.case import encode_case
from dicomnode.encode.pictures.overview import (
    BANNER_HEIGHT,
    GRID,
    HEADER_HEIGHT,
    MARGIN,
    PANEL_WIDTH,
    SIZE,
    overview_image,
)
from dicomnode.records import Case
from tests.unit.encode.cases import EVEN, case_of, kinds_of_blood

BLEEDS = (((25.0, 60.0, 40.0), (12.0, 14.0, 10.0)),)


@pytest.fixture(scope="module")
def case() -> Case:
    return kinds_of_blood(case_of(EVEN, BLEEDS))


@pytest.fixture(scope="module")
def results(case: Case, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    return {one.kind: dcmread(one.path) for one in encode_case(case, tmp_path_factory.mktemp("results"))}


def items_of(item: Dataset) -> Iterator[Dataset]:
    """All content items of a report."""
    for child in item.get("ContentSequence", []):
        yield child
        yield from items_of(child)


def test_each_kind_that_is_found_is_a_segment_with_its_site_and_a_colour_of_its_own(
    results: dict[str, Dataset],
) -> None:
    segments = results["seg"].SegmentSequence
    told = [
        (one.SegmentedPropertyTypeCodeSequence[0].CodeMeaning, one.AnatomicRegionSequence[0].CodeMeaning)
        for one in segments
    ]
    assert told == [("Hemorrhage", "Brain"), ("Edema", "Brain")]
    assert len({tuple(one.RecommendedDisplayCIELabValue) for one in segments}) == 2


def test_what_was_found_and_what_not_is_told_apart_by_its_site(results: dict[str, Dataset]) -> None:
    told = {}
    for item in items_of(results["sr"]):
        if item.ValueType == "CODE" and item.ConceptNameCodeSequence[0].CodeValue in ("50960005", "79654002"):
            sites = [child.ConceptCodeSequence[0].CodeMeaning for child in item.get("ContentSequence", [])]
            told[(item.ConceptNameCodeSequence[0].CodeMeaning, *sites)] = item.ConceptCodeSequence[0].CodeMeaning
    assert told == {
        ("Hemorrhage", "Brain"): "Present",
        ("Hemorrhage", "Meninges"): "Absent",
        ("Hemorrhage", "Brain ventricle"): "Absent",
        ("Edema",): "Present",
    }


def test_the_text_names_each_kind_and_says_once_what_the_head_shows(results: dict[str, Dataset]) -> None:
    text = " ".join(str(item.get("TextValue", "")) for item in items_of(results["text"])).replace("\r\n", " ")
    for said in (
        "Intraparenchymal haemorrhage: ",
        "No extra-axial haemorrhage above the detection limit",
        "No intraventricular haemorrhage above the detection limit",
        "Oedema: ",
    ):
        assert said in text
    assert text.count("Midline shift at the septum pellucidum") == 1
    assert text.count("Hypodense share of the cerebrum, without fluid and blood: about 6 %") == 1


def test_the_measurements_say_once_what_share_of_the_cerebrum_is_hypodense(results: dict[str, Dataset]) -> None:
    said = [
        item.TextValue
        for item in items_of(results["sr"])
        if item.ValueType == "TEXT" and item.ConceptNameCodeSequence[0].CodeValue == "HYPODENSE_SHARE"
    ]
    assert said == ["about 6 % (oedema, infarct or white matter as in old age)"]


def test_the_panel_of_the_overview_has_room_for_four_findings(case: Case) -> None:
    picture = np.asarray(overview_image(case))
    end = BANNER_HEIGHT + HEADER_HEIGHT + GRID[1]
    below = picture[end + 2 : end + 9, SIZE[0] - MARGIN - PANEL_WIDTH : SIZE[0] - MARGIN]
    assert (below == below[0, 0]).all()


def test_where_no_kind_is_found_the_text_says_so_of_each_and_nothing_is_segmented(tmp_path: Path) -> None:
    made = {one.kind: dcmread(one.path) for one in encode_case(kinds_of_blood(case_of(EVEN)), tmp_path)}
    assert set(made) == {"text", "sc"}
    text = " ".join(str(item.get("TextValue", "")) for item in items_of(made["text"])).replace("\r\n", " ")
    for noun in ("intraparenchymal haemorrhage", "extra-axial haemorrhage", "intraventricular haemorrhage", "oedema"):
        assert f"No {noun} above the detection limit" in text
