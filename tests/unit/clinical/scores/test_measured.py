"""Location, ventricles, midline shift and Evans index as the anatomical frame shows them, in the scores."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dicomnode.clinical.scores.report import reference_scores
from dicomnode.records import BrainPart, HeadMeasures, MaskFinding, Region, ScoreInput
from tests.unit.clinical.scores.test_report import ICH, VOLUME, bleed, known, region, scores

ALONE = {name: value for name, value in ICH.items() if name not in ("location", "bleed_location", "ivh")}


def placed(volume_ml: float, *parts: BrainPart, inner: float = 0.0, **figures: Any) -> Region:
    share = ((parts[0], 1.0 - inner),)
    return replace(region(volume_ml, volume_ml, **figures), parts=parts, shares=share, ventricular_share=inner)


def with_head(finding: MaskFinding, **measures: float) -> MaskFinding:
    return replace(finding, head=HeadMeasures(likeness=0.8, **measures))


def test_what_the_frame_shows_makes_the_range_one_number() -> None:
    found = scores(known(**ALONE), bleed(placed(35.0, BrainPart.FRONTAL, inner=0.1)))["ich_score"]
    assert (found.value, found.missing) == (4.0, ())
    assert [(one.label, one.value, one.source) for one in found.inputs][-3:-1] == [
        ("Blood in the ventricles", "3.50 mL", "measured"),
        ("Location of the bleed", "frontal lobe", "measured"),
    ]


def test_near_a_border_both_locations_are_tried() -> None:
    found = scores(known(**ALONE), bleed(placed(12.0, BrainPart.TEMPORAL, BrainPart.CEREBELLUM)))["ich_score"]
    assert found.possible == (2.0, 3.0)
    assert ScoreInput("Location of the bleed", "temporal lobe / cerebellum", "measured") in found.inputs


def test_a_little_blood_in_the_ventricles_may_be_none() -> None:
    found = scores(known(**ALONE), bleed(placed(12.0, BrainPart.THALAMUS, inner=0.05)))["ich_score"]
    assert found.possible == (2.0, 3.0)
    assert scores(known(**ALONE), bleed(placed(12.0, BrainPart.THALAMUS)))["ich_score"].value == 2.0


def test_what_somebody_told_goes_before_what_was_measured() -> None:
    found = scores(known(**ICH), bleed(placed(35.0, BrainPart.CEREBELLUM)))["ich_score"]
    assert found.value == 4.0
    assert "lobar" in [one.value for one in found.inputs]


def test_the_location_is_that_of_the_largest_lesion_outside_of_the_ventricles() -> None:
    lesions = (placed(30.0, BrainPart.PARIETAL, inner=0.9), placed(5.0, BrainPart.BRAINSTEM))
    found = scores(known(**ALONE), bleed(*lesions))["ich_score"]
    assert "brainstem" in [one.value for one in found.inputs]


@pytest.mark.parametrize(
    ("parts", "value", "possible"),
    [
        ((BrainPart.BASAL_GANGLIA,), 1.0, None),
        ((BrainPart.THALAMUS,), 0.0, None),
        ((BrainPart.BASAL_GANGLIA, BrainPart.THALAMUS), None, (0.0, 1.0)),
    ],
)
def test_the_metallic_sign_asks_where_the_dense_lesion_lies(
    parts: tuple[BrainPart, ...], value: float | None, possible: tuple[float, float] | None
) -> None:
    dense = placed(2.0, *parts, longest_mm=12.0, max_hu=95.0)
    sign = scores(known(thrombectomy=True), bleed(dense))["metallic_sign"]
    assert (sign.value, sign.possible) == (value, possible)


def test_shift_and_evans_index_are_given_as_measured_in_the_figures_of_the_reports() -> None:
    head = with_head(bleed(placed(35.0, BrainPart.FRONTAL)), midline_shift_mm=-6.4, evans_index=0.314)
    found = scores(known(**ICH), head)
    assert (found["midline_shift"].value, found["midline_shift"].meaning) == (6.0, "Significant (more than 5 mm).")
    assert (found["evans_index"].value, found["evans_index"].meaning[:15]) == (0.31, "Ventriculomegaly"[:15])
    told = scores(known(**ICH, midline_shift=3.0), head)["midline_shift"]
    assert (told.value, told.inputs[0].source) == (3.0, "file")


def test_measures_alone_send_no_report_unless_the_configuration_asks() -> None:
    finding = with_head(bleed(placed(35.0, BrainPart.FRONTAL)), midline_shift_mm=-6.4, evans_index=0.314)
    assert reference_scores([finding], VOLUME, known(age=82.0)) == ()
    names = {score.name for score in reference_scores([finding], VOLUME, known(age=82.0), unasked=True)}
    assert {"ich_score", "midline_shift", "evans_index"} <= names
    assert reference_scores([bleed()], VOLUME, known(age=82.0), unasked=True) == ()
