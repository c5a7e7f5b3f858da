"""Which reference scores a case gets, and what they say where inputs are missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dicomnode.clinical.scores.asked import ANY
from dicomnode.clinical.scores.report import reference_scores
from dicomnode.clinical.scores.totals import OF_BLEEDS, OF_ISCHAEMIA, PointScore
from dicomnode.clinical.variables import VARIABLES, Location, Nature
from dicomnode.measure.lesions import measure
from dicomnode.records import (
    ContextSource,
    ContextValue,
    MaskFinding,
    ModelRef,
    PatientContext,
    ReferenceScore,
    Region,
    ScoreFinding,
    Volume,
)
from tests.unit.zoo.volumes import make_volume

MODEL = ModelRef(name="m", version="1", digest="sha256:0", title="t", trained_on="nothing", research=True)
ICH = {"gcs": 10.0, "bleed_location": "lobar", "ivh": True, "age": 82.0}


def region(volume_ml: float, abc2_ml: float | None, longest_mm: float = 30.0, max_hu: float = 80.0) -> Region:
    return Region(
        voxels=100,
        volume_ml=volume_ml,
        abc2_ml=abc2_ml,
        mean_hu=60.0,
        max_hu=max_hu,
        longest_diameter_mm=longest_mm,
        first_slice=1,
        last_slice=2,
        centroid_mm=(0.0, 0.0, 0.0),
    )


VOLUME = make_volume(
    np.full((4, 8, 8), 45.0, dtype=np.float32),
    np.array([(0.0, 0.0, 5.0 * k) for k in range(4)]),
    np.array((1.0, 0.0, 0.0)),
    np.array((0.0, 1.0, 0.0)),
    (1.0, 1.0),
)


def bleed(*regions: Region) -> MaskFinding:
    mask = np.zeros(VOLUME.hu.shape, dtype=bool)
    mask[1, :2, :2] = bool(regions)
    return MaskFinding(
        name="hemorrhage",
        label="Intracranial haemorrhage",
        mask=mask,
        threshold=0.5,
        detection_limit_ml=0.1,
        model=MODEL,
        total=regions[0] if regions else None,
        lesions=regions,
        lesion_labels=mask.astype(np.int32),
    )


def known(offsets_s: dict[str, float] | None = None, **values: Any) -> PatientContext:
    return PatientContext(
        values=tuple(
            ContextValue(
                name=name,
                value=value,
                unit=VARIABLES[name].unit,
                source=ContextSource.HEADER if name == "age" else ContextSource.FILE,
                observed_at="" if VARIABLES[name].nature is Nature.MOMENT else "2026-11-28T02:00+00:00",
                offset_s=(offsets_s or {}).get(name, -3600.0),
            )
            for name, value in values.items()
        )
    )


def scores(context: PatientContext, *findings: MaskFinding) -> dict[str, ReferenceScore]:
    return {score.name: score for score in reference_scores(findings, VOLUME, context)}


def test_where_all_is_known_there_is_one_number_with_its_working_and_inputs() -> None:
    ich = scores(known(**ICH), bleed(region(35.0, 34.0)))["ich_score"]
    assert (ich.value, ich.possible, ich.missing) == (4.0, None, ())
    assert ich.meaning.startswith("30-day mortality 97 % (Hemphill 2001, 152 patients)")
    assert ich.working == "GCS 1, volume 1, ventricles 1, infratentorial 0, age 1"
    assert [(item.label, item.value, item.source) for item in ich.inputs] == [
        ("Glasgow Coma Scale", "10", "file"),
        ("Bleed, volume by ABC/2", "34.0 mL", "measured"),
        ("Bleed, volume by voxels", "35.0 mL", "measured"),
        ("Blood in the ventricles", "yes", "file"),
        ("Location of the bleed", "lobar", "file"),
        ("Age", "82 a", "header"),
    ]


def test_without_the_coma_scale_the_ich_score_is_a_range_and_its_mortality_too() -> None:
    told = {name: value for name, value in ICH.items() if name != "gcs"}
    ich = scores(known(**told), bleed(region(35.0, 34.0)))["ich_score"]
    assert (ich.value, ich.possible) == (None, (3.0, 5.0))
    assert ich.meaning.startswith("30-day mortality 72 to 100 %")
    assert ich.missing == ("Glasgow Coma Scale",)
    assert ich.working.startswith("GCS 0 to 2, volume 1")


@pytest.mark.parametrize(
    ("volume_ml", "abc2_ml", "possible"), [(28.0, 34.0, (3.0, 4.0)), (34.0, 28.0, (3.0, 4.0)), (34.0, 31.0, None)]
)
def test_a_volume_on_the_other_side_of_the_limit_makes_a_range(
    volume_ml: float, abc2_ml: float, possible: tuple[float, float] | None
) -> None:
    ich = scores(known(**ICH), bleed(region(volume_ml, abc2_ml)))["ich_score"]
    assert ich.possible == possible
    assert ich.missing == ()


def test_func_tells_both_columns() -> None:
    found = scores(known(**ICH, cognitive_impairment=False), bleed(region(35.0, 34.0)))["func"]
    assert found.value == 7.0
    assert found.meaning.startswith("Independent at 90 days: 13 % of all, 29 % of survivors")


def test_max_ich_and_ich_gs_of_the_example() -> None:
    found = scores(known(**ICH, nihss=18.0, anticoagulant=False), bleed(region(35.0, 34.0)))
    assert (found["max_ich"].value, found["ich_gs"].value) == (7.0, 9.0)


def test_what_nothing_is_known_of_is_named_without_a_range() -> None:
    bat = scores(known(**ICH), bleed(region(35.0, 34.0)))["bat"]
    assert (bat.value, bat.possible) == (None, None)
    assert bat.meaning == "Not known: Blend sign, Hypodensity within the bleed, Onset to CT."


@pytest.mark.parametrize(
    ("hours", "value", "says"), [(3.0, 3.0, "Expansion of the haematoma: high risk"), (2.49, 5.0, "Expansion of the")]
)
def test_bat_tells_the_risk(hours: float, value: float, says: str) -> None:
    context = known(blend_sign=True, hypodensity=True, onset_to_ct=hours)
    found = scores(context, bleed(region(35.0, 34.0)))["bat"]
    assert found.value == value
    assert found.meaning.startswith(says)


def test_where_nobody_told_anything_of_the_patient_there_are_no_scores() -> None:
    assert scores(known(age=82.0), bleed(region(35.0, 34.0))) == {}
    assert scores(known(age=82.0, glucose=7.0), bleed(region(35.0, 34.0))) == {}
    assert scores(known(age=82.0, gcs=10.0), bleed()) == {}


def test_beside_the_outcome_that_a_model_tells_stand_the_scores_of_the_bleed_though_nobody_told_anything() -> None:
    told = ScoreFinding(name="prognosis", label="Poor outcome", value=0.4, unit="1", model=MODEL)
    names = [one.name for one in reference_scores((bleed(region(35.0, 34.0)), told), VOLUME, PatientContext())]
    assert {"ich_score", "func", "max_ich"} <= set(names)
    assert reference_scores((told,), VOLUME, PatientContext()) == ()


def test_scores_of_ischaemic_stroke_stand_where_no_bleed_was_marked() -> None:
    context = known(age=82.0, nihss=18.0, hypertension=True, diabetes=False, atrial_fibrillation=True)
    found = scores(context, bleed())
    assert set(found) == {"span_100", "thrive"}
    assert (found["span_100"].value, found["thrive"].value) == (100.0, 6.0)
    assert "positive" in found["span_100"].meaning
    assert set(scores(context, bleed(region(5.0, 5.0)))) & {"span_100", "thrive"} == set()


def test_span_100_without_an_age_cannot_be_computed() -> None:
    span = scores(known(nihss=18.0), bleed())["span_100"]
    assert (span.value, span.possible, span.missing) == (None, None, ("Age",))


def test_after_a_thrombectomy_it_is_called_hyperdensity_and_no_score_of_bleeds_is_given() -> None:
    context = known(**ICH, thrombectomy=True)
    found = scores(context, bleed(region(35.0, 34.0)))
    assert set(found) == {"abc2_total", "hyperdense_vol", "metallic_sign"}
    words = " ".join(f"{score.label} {score.meaning} {score.inputs}" for score in found.values())
    assert "Hyperdensity" in words
    assert "Bleed," not in words


@pytest.mark.parametrize(
    ("location", "longest_mm", "max_hu", "value", "possible"),
    [
        ("basal_ganglia", 12.0, 95.0, 1.0, None),
        ("basal_ganglia", 9.0, 120.0, 0.0, None),
        ("basal_ganglia", 12.0, 90.0, 0.0, None),
        ("lobar", 12.0, 95.0, 0.0, None),
        ("deep", 12.0, 95.0, None, (0.0, 1.0)),
        (None, 12.0, 95.0, None, (0.0, 1.0)),
        (None, 9.0, 95.0, 0.0, None),
    ],
)
def test_the_metallic_sign_is_open_only_where_the_location_decides(
    location: str | None, longest_mm: float, max_hu: float, value: float | None, possible: tuple[float, float] | None
) -> None:
    told = {"thrombectomy": True} | ({"bleed_location": location} if location else {})
    sign = scores(known(**told), bleed(region(5.0, 5.0, longest_mm, max_hu)))["metallic_sign"]
    assert (sign.value, sign.possible) == (value, possible)


def test_growth_since_an_earlier_scan() -> None:
    before = known({"prior_bleed_volume": -6 * 3600.0}, prior_bleed_volume=20.0)
    grown = scores(before, bleed(region(27.0, 26.0)))["expansion"]
    assert grown.value == 7.0
    assert grown.meaning.startswith("Expansion (+7.0 mL, +35 %")
    assert [item.value for item in grown.inputs] == ["20 mL", "27.0 mL"]
    assert scores(before, bleed(region(26.0, 26.0)))["expansion"].meaning.startswith("No expansion")
    later = known({"prior_bleed_volume": 3600.0}, prior_bleed_volume=20.0)
    assert "expansion" not in scores(later, bleed(region(27.0, 26.0)))


def test_a_tiny_earlier_volume_makes_the_ratio_doubtful() -> None:
    before = known(prior_bleed_volume=0.5)
    assert "the ratio says little" in scores(before, bleed(region(0.7, 0.7)))["expansion"].meaning


def test_deterioration_is_told_by_every_definition_that_applies() -> None:
    offsets = {"nihss_baseline": -2 * 86400.0, "nihss_motor_baseline": -2 * 86400.0, "nihss": 0.0, "nihss_motor": 0.0}
    context = known(offsets, nihss_baseline=8.0, nihss=9.0, nihss_motor_baseline=3.0, nihss_motor=4.0)
    found = scores(context, bleed())
    assert (found["end_1"].value, found["end_2"].value) == (1.0, 0.0)
    assert "end_3" not in found  # two days are beyond its 24 hours
    assert found["end_1"].meaning == "Yes by this definition: NIHSS +2 or motor items +1 within 7 days."


def test_what_somebody_read_of_mass_effect_is_given_with_its_limit() -> None:
    found = scores(known(midline_shift=6.0, evans_index=0.28), bleed())
    assert found["midline_shift"].meaning == "Significant (more than 5 mm)."
    assert found["evans_index"].meaning == "No ventriculomegaly (more than 0.30)."


def beside_a_score(**values: float) -> ScoreFinding:
    """A score of a model that marks nothing and has measured the head."""
    measured = (
        ReferenceScore(name=name, label=name, value=value, unit="1", meaning="measured")
        for name, value in values.items()
    )
    return ScoreFinding(name="edema", label="Oedema", value=0.4, unit="1", model=MODEL, reference=tuple(measured))


def test_what_a_model_measured_beside_its_score_is_given_without_anybody_asking() -> None:
    given = reference_scores((beside_a_score(midline_shift=7.0, hypodense_share=4.0),), VOLUME, PatientContext())
    assert [(one.name, one.value) for one in given] == [("midline_shift", 7.0), ("hypodense_share", 4.0)]
    assert given[0].meaning.startswith("Significant")
    assert given[1].meaning == "measured"


def test_what_somebody_read_stands_in_place_of_what_a_model_measured() -> None:
    given = reference_scores((beside_a_score(midline_shift=7.0),), VOLUME, known(midline_shift=3.0))
    shifts = [(one.value, one.meaning.partition(" (")[0]) for one in given if one.name == "midline_shift"]
    assert shifts == [(3.0, "Not significant")]


def test_hyperdensity_is_measured_above_50_hu() -> None:
    hu = np.full(VOLUME.hu.shape, 45.0, dtype=np.float32)
    hu[1, :2, :2] = 70.0
    volume = Volume(hu, VOLUME.stack, VOLUME.sop_instance_uids)
    mask = np.zeros(hu.shape, dtype=bool)
    mask[1, :4, :2] = True
    total, lesions, labels = measure(mask, volume, 0.0)
    finding = MaskFinding(
        name="hemorrhage",
        label="l",
        mask=mask,
        threshold=0.5,
        detection_limit_ml=0.0,
        model=MODEL,
        total=total,
        lesions=lesions,
        lesion_labels=labels,
    )
    found = {score.name: score for score in reference_scores([finding], volume, known(thrombectomy=True))}
    assert total is not None
    assert found["hyperdense_vol"].value == pytest.approx(total.volume_ml / 2, abs=0.01)


FINE = {
    "age": range(0, 131),
    "gcs": range(3, 16),
    "nihss": range(43),
    "volume_ml": [ml / 2 for ml in range(0, 300)],
    "onset_to_ct_h": [hours / 10 for hours in range(0, 60)],
    "location": list(Location),
}


@pytest.mark.parametrize("score", [*OF_BLEEDS, *OF_ISCHAEMIA], ids=lambda score: score.name)
def test_what_an_input_may_be_holds_a_value_of_every_band_of_every_score(score: PointScore) -> None:
    middle: dict[str, Any] = {name: ANY[name][len(ANY[name]) // 2] for name in score.needs}
    if score.name == "span_100":
        return  # a sum, not bands: it is given only where both are known
    for name in set(score.needs) & set(FINE):
        for location in Location if "location" in score.needs else [None]:
            fixed = middle | ({"location": location} if location and name != "location" else {})
            found = {tuple(score.points(**{**fixed, name: value}).values()) for value in FINE[name]}
            tried = {tuple(score.points(**{**fixed, name: value}).values()) for value in ANY[name]}
            assert tried == found


def test_volumes_and_their_distance_are_rounded_as_in_the_other_reports() -> None:
    found = scores(known(**ICH), bleed(region(1.004, 1.096)))
    assert found["abc2_total"].value == 1.1
    assert found["abc2_total"].meaning.startswith("By voxels 1.00 mL (+10 %)")
    measured = [item.value for item in found["ich_score"].inputs if item.source == "measured"]
    assert measured == ["1.10 mL", "1.00 mL"]
