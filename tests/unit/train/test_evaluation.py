from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dicomnode.train.manifest import Case
from dicomnode.train.slices.evaluation import balanced_score, predict, score_exams
from dicomnode.train.slices.exams import Exam, Planes
from dicomnode.train.slices.recipes import Recipe

RECIPE = Recipe(
    name="tiny",
    planes=Planes(16, 1.0, ("hemorrhage", "intraventricular")),
    window=16,
    build=lambda: torch.nn.Conv2d(3, 2, 1),
    bundled=lambda: torch.nn.Conv2d(3, 2, 1),
    prepare=lambda hu: (hu / 100.0).clamp(0.0, 1.0),
    finish=lambda logits, hu: logits.sigmoid(),
)


@pytest.fixture
def sure() -> torch.nn.Module:
    """A network that finds both findings everywhere, the first with probability 0.95, the second with 0.73."""
    network = RECIPE.build()
    torch.nn.init.zeros_(network.weight)
    network.bias = torch.nn.Parameter(torch.tensor([3.0, 1.0]))
    return network


@pytest.fixture
def exam() -> Exam:
    """Three slices, the left half of each within the skull; a bleed of 8 pixels on the second."""
    inside = np.zeros((3, 16, 16), bool)
    inside[:, :, :8] = True
    truth = np.zeros((3, 2, 16, 16), np.int8)
    truth[1, :, 4, :8] = 1
    case = Case(id="a", patient="p", image=Path("x"), labels={"hemorrhage": 1.0})
    return Exam(
        case=case,
        hu=np.full((3, 16, 16), 30, np.int16),
        truth=truth,
        offsets_mm=np.arange(3) * 5.0,
        pixel_ml=np.full(3, 0.005),
        inside=inside,
    )


def test_marks_are_confined_to_the_intracranial_space(sure: torch.nn.Module, exam: Exam) -> None:
    probability, _ = predict(RECIPE, sure, exam)
    assert probability[0, :, :, :8].min() == pytest.approx(0.9526, abs=1e-4)
    assert probability[:, :, :, 8:].max() == 0.0
    results = score_exams(RECIPE, sure, [exam], progress=False)
    assert results["marked_ml"] == pytest.approx([3 * 16 * 8 * 0.005])
    assert results["false_ml"] == pytest.approx([(3 * 16 * 8 - 8) * 0.005])
    assert results["dice"] == pytest.approx([2 * 8 / (8 + 3 * 16 * 8)])


def test_where_no_space_is_given_marks_may_lie_everywhere(sure: torch.nn.Module, exam: Exam) -> None:
    results = score_exams(RECIPE, sure, [replace(exam, inside=None)], progress=False)
    assert results["marked_ml"] == pytest.approx([3 * 16 * 16 * 0.005])


def test_every_finding_has_its_own_score_and_only_the_first_a_precision_over_voxels(
    sure: torch.nn.Module, exam: Exam
) -> None:
    found = score_exams(RECIPE, sure, [exam], progress=False)
    assert found["score"] == pytest.approx([0.9526], abs=1e-4)
    assert found["intraventricular_score"] == pytest.approx([0.7311], abs=1e-4)
    assert found["pixel_precision"] == pytest.approx([8 / (3 * 16 * 8)])
    assert np.isnan(found["intraventricular_pixel_precision"]).all()
    assert (found["label"].tolist(), found["intraventricular_label"].tolist()) == ([1.0], [1.0])


def test_a_mark_in_a_clean_head_costs_as_much_as_it_is_large(sure: torch.nn.Module, exam: Exam) -> None:
    bleeding = np.zeros_like(exam.truth)
    bleeding[:, 0, :, :8] = 1
    bleeds = replace(exam, truth=bleeding)  # 1.92 mL, all of them marked
    clean = replace(exam, truth=np.zeros_like(exam.truth))  # 1.92 mL marked falsely
    assert balanced_score(RECIPE, sure, [bleeds]) == pytest.approx(1.0)
    assert balanced_score(RECIPE, sure, [bleeds, clean]) == pytest.approx(1.0 - 0.1 * 1.92)
    assert np.isnan(balanced_score(RECIPE, sure, [clean]))
