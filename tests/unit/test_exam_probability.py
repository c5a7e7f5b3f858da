"""The probability that an exam shows a finding, from hand-made probability maps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dicomnode.clinical.exam import exam_probability, exam_score, slice_scores
from dicomnode.encode.wording import exam_sentence, impression
from dicomnode.records import Volume
from tests.tools.series import ct_series, stack_from
from tests.unit.encode_helpers import case_of


def test_one_bright_slice_does_not_make_an_exam_positive_unless_in_paper_mode() -> None:
    scores = [0.1, 0.1, 0.95, 0.1, 0.6, 0.7, 0.1]
    assert exam_score(scores) == 0.6
    assert exam_score(scores, paper=True) == 0.95
    assert exam_score([0.2, 0.4]) == 0.4


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


def test_the_exam_is_scored_on_the_pixels_of_its_own_slices() -> None:
    datasets = ct_series(matrix=32, pixel_spacing_mm=(5.0, 5.0))
    volume = Volume(np.zeros((30, 32, 32), np.float32), stack_from(datasets), ())
    probability = np.zeros((30, 32, 32), np.float32)
    # 50 mm2 are two pixels of 25 mm2; odds of 9 and of 4 make 6
    probability[10:13, 4, 4], probability[10:13, 4, 5] = 0.9, 0.8
    assert exam_probability(probability, volume) == pytest.approx(6 / 7)
    probability[12] = 0.0
    assert exam_probability(probability, volume) == pytest.approx(6 / 7), "two neighbours bear each other out"
    assert exam_probability(probability, volume, slope=2.0, intercept=-np.log(6.0)) == pytest.approx(6 / 7)
    probability[11] = 0.0
    assert exam_probability(probability, volume) == pytest.approx(1e-6)


@pytest.mark.parametrize(
    ("probability", "sentence"),
    [
        (0.931, "Exam probability 0.94, at or above its threshold 0.4."),
        (0.3999, "Exam probability 0.39, below its threshold 0.4."),
        (0.4, "Exam probability 0.40, at or above its threshold 0.4."),
    ],
)
def test_the_impression_tells_the_exam_probability_and_its_side_of_the_threshold(
    probability: float, sentence: str
) -> None:
    (finding,) = case_of().masks
    assert exam_sentence(finding) == ""
    told = replace(finding, exam_probability=probability, exam_threshold=0.4)
    assert impression(told) == f"{impression(finding)} {sentence}"
