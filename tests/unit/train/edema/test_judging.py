"""Figures within the arms of the cohort."""

from __future__ import annotations

import numpy as np
import pytest

from dicomnode.train.edema.judging import HALF, arm_alone, by_arm, lost_figure, within_arms
from dicomnode.train.results import Results

ARM = np.array([0.0, 0, 0, 0, 1, 1, 1, 1])
LABEL = np.array([1.0, 1, 1, 0, 1, 0, 0, 0])


def results(**columns: np.ndarray) -> Results:
    names = tuple(map(str, range(len(ARM))))
    return Results(names, names, {}, {"label": LABEL, "arm": ARM, **columns})


def test_who_knows_the_arm_alone_is_worth_a_half_within_it_and_more_over_all() -> None:
    share = np.where(ARM == 0, 0.75, 0.25)
    assert within_arms(LABEL, share, ARM) == 0.5
    assert arm_alone(results()) == pytest.approx(0.75)  # 9 of 16 pairs are told, 6 are ties


def test_the_arms_count_alike() -> None:
    score = np.array([0.9, 0.8, 0.7, 0.1, 0.2, 0.5, 0.6, 0.7])  # all pairs right in the first, none in the second
    assert within_arms(LABEL, score, ARM) == 0.5
    assert by_arm(results(score=score)) == {"ich": 1.0, "post_evt": 0.0}


def test_an_arm_in_which_one_outcome_alone_occurs_is_passed_over_and_so_is_what_has_no_score() -> None:
    score = np.array([0.9, 0.8, 0.7, 0.1, np.nan, 0.5, 0.6, 0.7])
    assert within_arms(LABEL, score, ARM) == 1.0
    assert np.isnan(within_arms(LABEL[:3], score[:3], ARM[:3]))


def test_what_is_lost_is_the_difference_of_the_two_columns() -> None:
    whole, half = np.where(LABEL > 0, 0.9, 0.1), np.full(len(LABEL), 0.5)
    told = results(score=whole, **{HALF: half})
    figure = lost_figure(HALF)
    assert figure.value(told, np.arange(len(LABEL))) == 0.5
