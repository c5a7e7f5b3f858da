from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from dicomnode.errors import ManifestError
from dicomnode.train.tabular import ExamBatches, numbers_of, over_known, scale_of

NAN = float("nan")


def test_what_is_not_known_of_an_exam_is_nan_in_the_order_of_the_names() -> None:
    found = numbers_of({"gcs": 13.0, "age": 72.0, "unused": 1.0}, ("age", "nihss", "gcs"))
    assert found[[0, 2]].tolist() == [72.0, 13.0]
    assert math.isnan(found[1])


def test_variables_are_scaled_by_the_exams_in_which_they_are_known() -> None:
    mean, deviation = scale_of(torch.tensor([[60.0, 15.0], [80.0, NAN], [70.0, NAN]]), ("age", "gcs"))
    assert mean.tolist() == [70.0, 15.0]
    assert deviation.tolist() == pytest.approx([math.sqrt(200 / 3), 1e-6])


def test_what_no_training_exam_knows_is_refused() -> None:
    with pytest.raises(ManifestError) as caught:
        scale_of(torch.tensor([[60.0, NAN, NAN]]), ("age", "nihss", "gcs"))
    assert caught.value.faults == [f"variable {name} is known in no training exam" for name in ("nihss", "gcs")]


def test_a_label_that_is_not_known_has_no_part_in_the_loss() -> None:
    given = torch.tensor([1.0, 2.0, 5.0], requires_grad=True)
    loss = over_known(mse_loss, given, torch.tensor([0.0, NAN, 4.0]))
    assert float(loss.detach()) == 1.0
    loss.backward()
    assert given.grad is not None
    assert given.grad.tolist() == [1.0, 0.0, 1.0]
    assert float(over_known(binary_cross_entropy_with_logits, given, torch.full((3,), NAN)).detach()) == 0.0


def test_an_epoch_shows_every_exam_once_and_repeats_itself() -> None:
    made = ExamBatches({"x": torch.arange(64.0), "y": torch.arange(64.0) * 2.0}, 16, seed=1)
    assert made.steps == 4

    def order(epoch: int) -> list[float]:
        return torch.cat([batch["x"] for batch in made(epoch)]).tolist()

    assert sorted(order(1)) == list(range(64))
    assert order(1) == order(1) != order(2)
    assert all(torch.equal(batch["y"], 2.0 * batch["x"]) for batch in made(1))


def test_exams_fewer_than_a_batch_are_one_batch() -> None:
    made = ExamBatches({"x": torch.arange(3.0)}, 16, seed=1)
    assert [sorted(batch["x"].tolist()) for batch in made(1)] == [[0.0, 1.0, 2.0]]
