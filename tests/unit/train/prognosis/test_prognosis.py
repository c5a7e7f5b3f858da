"""Losses by hand-computed values, the errors of what is measured, the regression, the text."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dicomnode.records import BrainPart, Side
from dicomnode.train.manifest import Case
from dicomnode.train.prognosis.logistic import newton
from dicomnode.train.prognosis.measured import VOLUME_SD, as_variables, from_variables, measured
from dicomnode.train.prognosis.patients import groups_of, patient_of
from dicomnode.train.prognosis.vtmf import imima_of, info_nce, sdm_of, vtmf
from dicomnode.zoo.prognosis.bleed import FACTS, Bleed
from dicomnode.zoo.prognosis.fusion import Told
from dicomnode.zoo.prognosis.text import text_of


def test_the_parts_of_vtmf_are_weighed_as_in_the_paper() -> None:
    one = torch.tensor(1.0)
    assert vtmf(one, one, one).item() == pytest.approx(2.29)


@pytest.mark.parametrize(("tau", "value"), [(0.07, 6.2e-7), (1.0, 0.3133)])
def test_a_pair_is_told_from_one_other(tau: float, value: float) -> None:
    # cosine 1 with its own, 0 with the other
    assert info_nce(torch.eye(2).double(), torch.eye(2).double(), tau).item() == pytest.approx(value, rel=0.02)


def test_sdm_of_two_outcomes() -> None:
    same, labels = torch.ones(2, 3), torch.tensor([0.0, 1.0])
    assert sdm_of(same, same, labels).item() == pytest.approx(17.034, abs=2e-3)
    apart = torch.tensor([[1.0], [-1.0]])
    assert sdm_of(apart, apart, labels).item() == pytest.approx(0.0, abs=1e-6)


def test_who_has_no_image_teaches_nothing_between_the_channels() -> None:
    text = torch.randn(2, 4, 3)
    told = Told(torch.zeros(4), torch.randn(2, 4, 3), text, torch.zeros(4, dtype=torch.bool))
    assert imima_of(told) == info_nce(text[0], text[1])


def test_the_text_has_the_papers_lines_without_stay_and_treatment_and_says_what_is_not_known() -> None:
    bleed = Bleed(volume_ml=23.4, part=BrainPart.THALAMUS, side=Side.LEFT)
    text = text_of({"age": 71.0, "male": 1.0, "onset_to_ct_h": 2.2}, bleed, "Vomiting.")
    lines = "age: 71. gender: male. onset to ct: 2 h. gcs: unknown. position: left thalamus. volume: 23 ml."
    assert text == f"{lines} Vomiting."


def test_a_measured_bleed_has_errors_and_survives_a_manifest() -> None:
    group = groups_of(0, 0, 300, 0)[2]
    people = [patient_of(group, number) for number in group.numbers]
    bleeding = [one for one in people if one.lesions.site_of_bleed]
    found = [measured(one) for one in bleeding]
    errors = [math.log((b.volume_ml or 0.0) / p.lesions.iph_ml) for b, p in zip(found, bleeding, strict=True)]
    assert np.std(errors) == pytest.approx(VOLUME_SD, rel=0.2)
    wrong = [str(b.part) != p.lesions.site_of_bleed for b, p in zip(found, bleeding, strict=True)]
    assert 0.0 < np.mean(wrong) < 0.06
    assert all(from_variables(as_variables(one)) == one for one in found)
    assert measured(bleeding[0]) == found[0]


def test_no_group_of_the_experiment_shares_a_patient_with_another() -> None:
    drawn = [(group.seed, number) for group in groups_of(3, 4, 5, 6) for number in group.numbers]
    assert len(set(drawn)) == len(drawn) == 3 + 4 + 5 + 2 * 6


def test_numbers_of_a_bleed_are_missing_where_nothing_is_known() -> None:
    assert torch.isnan(Bleed().numbers()).all()
    below = Bleed(volume_ml=math.e - 1.0, part=BrainPart.BRAINSTEM)
    numbers = dict(zip(FACTS, below.numbers().tolist(), strict=True))
    assert numbers["volume"] == pytest.approx(1.0)
    assert (numbers["lobar"], numbers["deep"], numbers["infratentorial"]) == (0.0, 0.0, 1.0)


def test_newton_finds_the_log_odds_of_two_groups() -> None:
    inputs = torch.tensor([[0.0, 1.0]] * 400 + [[1.0, 1.0]] * 400, dtype=torch.float64)
    labels = torch.tensor([1.0] * 100 + [0.0] * 300 + [1.0] * 300 + [0.0] * 100, dtype=torch.float64)
    first, constant = newton(inputs, labels).tolist()
    assert constant == pytest.approx(math.log(1 / 3), abs=0.03)
    assert first == pytest.approx(2 * math.log(3), abs=0.06)


def test_a_case_of_a_manifest_without_measures_is_one_of_which_nothing_was_measured() -> None:
    assert from_variables(dict(Case(id="1", patient="1").variables)) == Bleed()
