"""Outcomes of the second version: what can be known, from which channels, and what a model cannot cheat by."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from dicomnode.cohort import audit
from dicomnode.cohort.ceilings import CHANNELS, Population, ceiling, drawn, population
from dicomnode.cohort.edition import Version
from dicomnode.cohort.patients import Arm, Site
from dicomnode.cohort.ranking import attainable_auc
from dicomnode.cohort.second.lesions import visible_oedema
from dicomnode.cohort.second.outcomes import draw_outcomes
from dicomnode.cohort.second.tables import LESIONS, OUTCOMES

COUNT = 4000


def _people(name: str) -> Population:
    """4000 patients that nothing was calibrated on; the larger figures come from ``dicomnode cohort report``."""
    return population(name, Version.TWO, Site.A, COUNT)


@pytest.mark.parametrize("name", list(OUTCOMES))
def test_an_outcome_can_be_known_as_well_as_stated(name: str) -> None:
    people, model = _people(name), OUTCOMES[name]
    assert attainable_auc(people.p) == pytest.approx(model.target_auc, abs=0.02)
    for arm in model.arms or LESIONS:
        assert people.p[people.arms == arm].mean() == pytest.approx(model.target_prevalence, abs=0.05)


@pytest.mark.parametrize("name", list(OUTCOMES))
def test_a_sum_over_all_facts_stays_below_what_can_be_known(name: str) -> None:
    reached, gap = audit.additive_gap(name, _people(name))
    assert reached > 0.6
    assert gap >= 0.03


@pytest.mark.parametrize("name", list(OUTCOMES))
def test_a_missing_value_tells_something_that_its_mean_does_not(name: str) -> None:
    _, gain = audit.gap_gain(name, _people(name))
    assert gain > 0.005
    assert abs(audit.count_of_gaps_auc(name, _people(name)) - 0.5) > 0.01


@pytest.mark.parametrize("name", list(OUTCOMES))
def test_who_learns_from_shuffled_labels_knows_nothing(name: str) -> None:
    assert audit.shuffled_auc(name, _people(name)) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("name", list(OUTCOMES))
def test_no_channel_can_be_exchanged_without_loss(name: str) -> None:
    lost = audit.permuted_loss(name, _people(name), Version.TWO)
    assert set(lost) == set(CHANNELS)
    assert min(lost.values()) > 0.005


def test_a_ceiling_lies_below_the_oracle_and_grows_with_the_channels() -> None:
    name = "haemorrhage_followup"
    image, both, every = (
        ceiling(name, channels, patients=COUNT) for channels in (("image",), ("image", "variables"), CHANNELS)
    )
    assert 0.7 < image < both < every
    assert every == pytest.approx(attainable_auc(_people(name).p), abs=0.01)


def test_oedema_is_what_can_be_seen_as_often_in_each_arm_and_never_in_normal_heads() -> None:
    people = _people("oedema")
    seen = np.array([visible_oedema(patient.lesions) for patient in people.patients])
    assert np.array_equal(people.p > 0, seen)
    assert audit.arm_alone_auc(people) <= 0.55
    assert audit.share_in_normals("oedema", Version.TWO, 300, 5) == 0.0


def test_the_metallic_sign_is_as_good_as_published() -> None:
    sensitivity, specificity = audit.metallic(_people("haemorrhage_followup"))
    assert sensitivity >= 0.7
    assert specificity >= 0.8


def test_values_are_missing_by_severity_and_site() -> None:
    def share(site: Site, grave: bool, name: str) -> float:
        people = drawn(Version.TWO, Arm.STROKE_NO_EVT, site, 600, 11)
        return float(np.mean([p.variables[name] is None for p in people if (p.causes["severity"] > 0) == grave]))

    assert share(Site.A, True, "nihss") > 1.5 * share(Site.A, False, "nihss")
    assert share(Site.A, True, "d_dimer_mg_l_feu") < 0.7 * share(Site.A, False, "d_dimer_mg_l_feu")
    for first, second in pairwise(Site):
        assert share(second, False, "nihss") > share(first, False, "nihss")


def test_no_one_dead_does_well_and_every_bleed_after_thrombectomy_has_its_class() -> None:
    for patient in _people("prognosis_bad").patients[:300]:
        outcome = draw_outcomes(patient)
        assert (outcome.gos == 1) == bool(outcome.labels["mortality_30d"])
        assert (outcome.gos or 0) <= 3 or not outcome.labels["prognosis_bad"]
    for patient in _people("haemorrhage_followup").patients[:300]:
        outcome = draw_outcomes(patient)
        assert bool(outcome.heidelberg) == bool(outcome.labels["haemorrhage_followup"])
