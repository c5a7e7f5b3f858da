"""Synthetic patients and their outcomes: what can be known, what is, and where it stands."""

from __future__ import annotations

import statistics

import numpy as np
import pytest

from dicomnode.cohort.outcomes import (
    CHANNELS,
    ICH_SCORE_MORTALITY,
    OUTCOMES,
    Outcomes,
    channel_scores,
    draw_outcomes,
    ich_score_points,
    probabilities,
)
from dicomnode.cohort.patients import Arm, Patient, Site, draw_patient
from dicomnode.cohort.ranking import attainable_auc
from dicomnode.cohort.streams import normal, uniform
from tests.unit.cohort.draws import draw_patients

COUNT = 2500


@pytest.fixture(scope="module")
def populations() -> dict[Arm, list[Patient]]:
    """2500 unseen patients (not the seed of the calibration) of each arm that a target is stated for."""
    return {arm: draw_patients(2025, COUNT, arm) for arm in {model.reference for model in OUTCOMES.values()}}


@pytest.fixture(scope="module")
def drawn(populations: dict[Arm, list[Patient]]) -> dict[Arm, list[Outcomes]]:
    return {arm: [draw_outcomes(patient) for patient in members] for arm, members in populations.items()}


def _auc(labels: np.ndarray, scores: np.ndarray) -> float:
    order = np.argsort(scores, kind="stable")
    ranks = np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    positives = labels.sum()
    return float((ranks[labels == 1].sum() - positives * (positives + 1) / 2) / (positives * (len(labels) - positives)))


@pytest.mark.parametrize("name", list(OUTCOMES))
def test_an_outcome_can_be_known_as_well_as_stated(name: str, drawn: dict[Arm, list[Outcomes]]) -> None:
    model = OUTCOMES[name]
    labels = np.array([outcome.labels[name] for outcome in drawn[model.reference]])
    oracle = np.array([outcome.oracle[name] for outcome in drawn[model.reference]])
    assert labels.mean() == pytest.approx(model.target_prevalence, abs=0.03)
    assert attainable_auc(oracle) == pytest.approx(model.target_auc, abs=0.02)
    assert _auc(labels, oracle) == pytest.approx(model.target_auc, abs=0.02)


@pytest.mark.parametrize("name", list(OUTCOMES))
def test_no_channel_alone_tells_all_and_each_tells_something(name: str, populations: dict[Arm, list[Patient]]) -> None:
    population = populations[OUTCOMES[name].reference]
    labels = np.array([int(uniform(p.seed, "outcome", name) < q) for p, q in _with_probability(name, population)])
    scores = [channel_scores(name, patient) for patient in population]
    for channel in CHANNELS:
        alone = _auc(labels, np.array([score[channel] for score in scores]))
        assert 0.53 < alone < OUTCOMES[name].target_auc - 0.03, channel


def _with_probability(name: str, population: list[Patient]) -> list[tuple[Patient, float]]:
    return list(zip(population, probabilities(name, population).tolist(), strict=True))


def test_mortality_follows_the_ich_score_table(
    populations: dict[Arm, list[Patient]], drawn: dict[Arm, list[Outcomes]]
) -> None:
    deaths: dict[int, list[int]] = {}
    for patient, outcome in zip(populations[Arm.ICH], drawn[Arm.ICH], strict=True):
        points, gcs = ich_score_points(patient)
        if gcs is not None:
            deaths.setdefault(points + gcs, []).append(outcome.labels["mortality_30d"])
    assert set(deaths) >= {0, 1, 2, 3, 4}
    for points, died in deaths.items():
        if len(died) >= 100:
            assert statistics.fmean(died) == pytest.approx(ICH_SCORE_MORTALITY[points], abs=0.08), points


def test_the_scale_of_glasgow_agrees_with_death_and_prognosis(drawn: dict[Arm, list[Outcomes]]) -> None:
    for outcome in drawn[Arm.ICH]:
        assert outcome.gos is not None
        assert (outcome.gos == 1) == bool(outcome.labels["mortality_30d"])
        assert (outcome.gos <= 3) == bool(outcome.labels["prognosis_bad"])


def test_a_class_of_heidelberg_is_given_where_there_is_blood_on_follow_up(drawn: dict[Arm, list[Outcomes]]) -> None:
    treated = drawn[Arm.POST_EVT]
    assert all(bool(outcome.heidelberg) == bool(outcome.labels["haemorrhage_followup"]) for outcome in treated)
    assert {outcome.heidelberg for outcome in treated} == {"", "1a", "1b", "1c", "2", "3c"}


def test_outcomes_exist_only_where_they_are_defined(populations: dict[Arm, list[Patient]]) -> None:
    by_arm = {patient.arm: draw_outcomes(patient) for patient in populations[Arm.MIXED][:200]}
    assert set(by_arm) == set(Arm) - {Arm.MIXED}
    assert "deterioration" in by_arm[Arm.STROKE_NO_EVT].labels
    assert set(by_arm[Arm.NORMAL].labels) == {"oedema"}
    assert all(set(outcome.labels) == set(outcome.oracle) for outcome in by_arm.values())


def test_risk_factors_go_together_as_published(populations: dict[Arm, list[Patient]]) -> None:
    population = populations[Arm.MIXED]

    def correlation(first: str, second: str) -> float:
        pairs = [(p.variables[first], p.variables[second]) for p in population]
        kept = np.array([pair for pair in pairs if None not in pair], float)
        return float(np.corrcoef(kept.T)[0, 1])

    assert correlation("hypertension", "sbp_mmhg") > 0.05
    assert correlation("diabetes", "glucose_mmol_l") > 0.1
    assert correlation("wbc_10e9_l", "neutrophils_10e9_l") > 0.25
    assert correlation("gcs", "nihss") < -0.3
    old = [p.variables["d_dimer_mg_l_feu"] for p in population if p.age_years >= 75]
    young = [p.variables["d_dimer_mg_l_feu"] for p in population if p.age_years < 55]
    assert statistics.median(filter(None, old)) > 1.3 * statistics.median(filter(None, young))
    anticoagulated = [p.variables["inr"] for p in population if p.variables["anticoagulant"] and p.variables["inr"]]
    assert min(anticoagulated) >= 1.4


def test_variables_stay_within_their_scales(populations: dict[Arm, list[Patient]]) -> None:
    for patient in populations[Arm.MIXED]:
        values = patient.variables
        assert values["gcs"] is None or 3 <= values["gcs"] <= 15
        assert (values["nihss"] is None) == (values["nihss_motor"] is None)
        if values["nihss"] is not None and values["nihss_motor"] is not None:
            assert 0 <= values["nihss_motor"] <= min(16, values["nihss"])
        assert 18 <= patient.age_years <= 96


def test_values_are_missing_as_often_as_stated_and_more_often_elsewhere() -> None:
    def share(site: Site) -> float:
        return statistics.fmean(p.variables["d_dimer_mg_l_feu"] is None for p in draw_patients(3, 600, Arm.ICH, site))

    assert share(Site.A) == pytest.approx(0.17, abs=0.05)
    assert share(Site.C) > 1.4 * share(Site.A)


def test_sites_differ_in_case_mix() -> None:
    a, b, c = (draw_patients(4, 500, Arm.MIXED, site) for site in Site)
    assert not any(p.arm is Arm.POST_EVT for p in c)
    assert any(p.arm is Arm.POST_EVT for p in a)
    assert statistics.fmean(p.arm is Arm.TRAUMA for p in b) > statistics.fmean(p.arm is Arm.TRAUMA for p in a)


def test_a_patient_depends_on_the_own_seed_only() -> None:
    assert draw_patient(5, Arm.ICH) == draw_patient(5, Arm.ICH)
    assert draw_patients(6, 3)[2] == draw_patients(6, 5)[2]


def test_hashed_numbers_are_uniform_and_normal_and_independent() -> None:
    one = np.array([uniform(seed, "a") for seed in range(4000)])
    two = np.array([normal(seed, "b") for seed in range(4000)])
    assert np.abs(np.quantile(one, [0.1, 0.5, 0.9]) - [0.1, 0.5, 0.9]).max() < 0.03
    assert (two.mean(), two.std()) == pytest.approx((0.0, 1.0), abs=0.05)
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.05


def test_the_attainable_auc_of_certain_outcomes_is_one_and_of_equal_chances_a_half() -> None:
    assert attainable_auc(np.array([0.0, 1.0, 1.0])) == 1.0
    assert attainable_auc(np.full(10, 0.3)) == 0.5
