"""The probability that an exam shows a finding, from hand-made probability maps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit

from dicomnode.encode.wording import Wording
from dicomnode.measure.exam import exam_probability, exam_score, slice_scores
from dicomnode.records import Volume
from tests.tools.series import ct_series, stack_from
from tests.unit.encode.cases import case_of


def test_an_exam_is_scored_by_the_log_odds_of_its_most_probable_millilitre_wherever_it_lies() -> None:
    probability = np.full((3, 10, 10), 0.1, np.float32)
    probability[0, 4, 4], probability[2, 9, 9] = 0.9, 0.8
    # voxels of 0.5 mL: odds of 9 and of 4 make 6
    assert exam_score(probability, [0.5] * 3) == pytest.approx(6 / 7)
    # of 2 mL: half of the first voxel is enough
    assert exam_score(probability, [2.0] * 3) == pytest.approx(0.9)
    # the first lies in a thin slice: 0.25 mL of odds of 9, 0.75 mL of odds of 4
    assert exam_score(probability, [0.25, 1.0, 1.0]) == pytest.approx(expit(np.log([9, 4]) @ [0.25, 0.75]))


def test_one_bright_voxel_does_not_make_an_exam_positive() -> None:
    probability = np.full((20, 30, 30), 0.01, np.float32)
    probability[10, 10, 10] = 1.0
    assert exam_score(probability, [0.005] * 20) == pytest.approx(0.01, rel=0.15)


@pytest.mark.parametrize("brightest", [0.9, 0.3, 1e-3, 1e-5, 1e-8])
def test_the_most_probable_millilitre_is_found_however_faint_it_is(brightest: float) -> None:
    probability = brightest * np.random.default_rng(3).random((6, 40, 40)).astype(np.float32)
    highest = np.clip(np.sort(probability.ravel().astype(np.float64))[-250:], 1e-6, None)
    assert exam_score(probability, [0.004] * 6) == pytest.approx(expit(logit(highest).mean()))


def test_an_exam_smaller_than_a_millilitre_counts_whole() -> None:
    assert exam_score(np.full((2, 2, 2), 0.3, np.float32), [0.01, 0.01]) == pytest.approx(0.3)


def test_a_slice_is_scored_by_the_log_odds_of_its_most_probable_fifty_square_millimetres() -> None:
    probability = np.full((2, 10, 10), 0.1, np.float32)
    probability[1, :5, :5] = 0.9
    # as many odds of 9 to 1 as of 1 to 9: even
    assert slice_scores(probability, 1.0).tolist() == pytest.approx([0.1, 0.5])
    assert slice_scores(probability, 2.0).tolist() == pytest.approx([0.1, 0.9])
    assert slice_scores(probability, 0.1).tolist() == pytest.approx([0.1, 0.25]), "a small plane counts whole"


def test_slices_that_are_all_but_certain_still_differ() -> None:
    probability = np.full((2, 10, 10), 0.9999, np.float32)
    probability[1] = 0.99999
    first, second = slice_scores(probability, 1.0)
    assert 1 - second == pytest.approx(0.1 * (1 - first), rel=0.02)


def test_the_exam_is_scored_on_the_voxels_of_its_own_slices() -> None:
    datasets = ct_series(matrix=32, pixel_spacing_mm=(10.0, 10.0))
    volume = Volume(np.zeros((30, 32, 32), np.float32), stack_from(datasets), ())
    probability = np.zeros((30, 32, 32), np.float32)
    # slices 5 mm apart: voxels of 0.5 mL
    probability[10, 4, 4], probability[20, 4, 5] = 0.9, 0.8
    assert exam_probability(probability, volume) == pytest.approx(6 / 7)
    assert exam_probability(probability, volume, slope=2.0, intercept=-np.log(6.0)) == pytest.approx(6 / 7)


@pytest.mark.parametrize(
    ("probability", "sentence"),
    [
        (0.931, "Exam probability 0.93, at or above its threshold 0.4."),
        (0.3999, "Exam probability 0.39, below its threshold 0.4."),
        (0.4, "Exam probability 0.40, at or above its threshold 0.4."),
    ],
)
def test_the_impression_tells_the_exam_probability_and_its_side_of_the_threshold(
    probability: float, sentence: str
) -> None:
    (finding,) = case_of().masks
    words = Wording()
    assert words.exam_sentence(finding) == "This model gives no exam probability: the marks alone decide."
    told = replace(finding, exam_probability=probability, exam_threshold=0.4)
    assert words.impression(told).endswith(f". {sentence}")


@pytest.mark.parametrize("seen", [0, 40, 4000], ids=["nothing", "less than the scored volume", "more"])
def test_a_scan_of_mostly_nothing_scores_as_if_all_its_voxels_were_sorted(seen: int) -> None:
    rng = np.random.default_rng(seen)
    probability = np.zeros((8, 64, 64), np.float32)
    probability.ravel()[rng.permutation(probability.size)[:seen]] = rng.random(seen).astype(np.float32)
    voxel_ml = np.array([0.004, 0.004, 0.008, 0.008, 0.005, 0.005, 0.004, 0.009])
    order = np.argsort(-probability.ravel(), kind="stable")
    log_odds = logit(np.clip(probability.ravel()[order].astype(np.float64), 1e-6, 1.0 - 1e-6))
    reached = np.minimum(np.cumsum(np.repeat(voxel_ml, 64 * 64)[order]), 1.0)
    expected = expit(np.average(log_odds, weights=np.diff(reached, prepend=0.0)))
    assert exam_score(probability, voxel_ml) == pytest.approx(expected, rel=1e-9)
