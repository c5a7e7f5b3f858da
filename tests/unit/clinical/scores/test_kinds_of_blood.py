"""The reference scores where a model tells blood within the brain, in the ventricles, and oedema apart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dicomnode.dicom import codes
from dicomnode.records import BrainPart, FindingConcepts, MaskFinding, Region
from tests.unit.clinical.scores.test_measured import ALONE, placed
from tests.unit.clinical.scores.test_report import bleed, known, region, scores


def of_kind(kind: str, *regions: Region) -> MaskFinding:
    """A mask of one kind."""
    entry = codes.FINDINGS[kind]
    concepts = FindingConcepts(tuple(entry.category), tuple(entry.type), tuple(entry.site))
    return replace(bleed(*regions), name=f"m_{kind}", concepts=concepts)


PARENCHYMAL = of_kind("parenchymal_hemorrhage", placed(35.0, BrainPart.FRONTAL))
NOWHERE_ELSE = of_kind("ventricular_hemorrhage")


@pytest.mark.parametrize(
    ("ventricles", "value"), [(NOWHERE_ELSE, 3.0), (of_kind("ventricular_hemorrhage", region(3.0, None)), 4.0)]
)
def test_the_mask_says_whether_there_is_blood_in_the_ventricles(ventricles: MaskFinding, value: float) -> None:
    found = scores(known(**ALONE), PARENCHYMAL, ventricles)["ich_score"]
    assert (found.value, found.possible) == (value, None)
    assert ("Blood in the ventricles", "measured") in [(one.label, one.source) for one in found.inputs]


def test_the_mask_stands_above_the_frame_and_below_what_somebody_told() -> None:
    by_frame = of_kind("parenchymal_hemorrhage", placed(35.0, BrainPart.FRONTAL, inner=0.3))
    assert scores(known(**ALONE), by_frame)["ich_score"].value == 4.0
    assert scores(known(**ALONE), by_frame, NOWHERE_ELSE)["ich_score"].value == 3.0
    assert scores(known(**ALONE, ivh=True), by_frame, NOWHERE_ELSE)["ich_score"].value == 4.0


def test_blood_outside_the_brain_is_no_part_of_the_volume() -> None:
    outside = of_kind("extra_axial_hemorrhage", region(90.0, None))
    small = of_kind("parenchymal_hemorrhage", placed(12.0, BrainPart.FRONTAL))
    volumes = [one.value for one in scores(known(**ALONE), outside, small, NOWHERE_ELSE)["ich_score"].inputs]
    assert "12.0 mL" in volumes
    assert "90.0 mL" not in volumes


def test_where_a_model_gives_all_blood_the_scores_are_about_that() -> None:
    found = scores(known(**ALONE), PARENCHYMAL, bleed(placed(12.0, BrainPart.FRONTAL)), NOWHERE_ELSE)["ich_score"]
    assert "12.0 mL" in [one.value for one in found.inputs]


def test_oedema_beside_the_bleed_gives_its_extension_distance() -> None:
    twenty = of_kind("parenchymal_hemorrhage", placed(20.0, BrainPart.FRONTAL))
    oedema = of_kind("edema", region(20.0, None))
    found = scores(known(**ALONE), twenty, oedema)["oedema_extension"]
    assert (found.value, found.unit) == (0.44, "cm")
    assert "oedema_extension" not in scores(known(**ALONE), twenty, of_kind("edema"))
    assert "oedema_extension" not in scores(known(**ALONE), twenty)
