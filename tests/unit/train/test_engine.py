from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from dicomnode.errors import TrainingError
from dicomnode.train.checkpoint import begin_with, save_weights
from dicomnode.train.engine import BEST, Batch, FitSettings, Task, fit, learning_rate

SETTINGS = FitSettings(epochs=6, learning_rate=0.05, patience=0, device="cpu", seed=4)


class Interrupted(Exception):
    """Stands for a power cut."""


def task(seed: int = 1, break_in_epoch: int = 0, scores: list[float] | None = None, nan_in: int = 0) -> Task:
    """Learn y = x0 - 2 x1 through a net with dropout, so that random draws matter."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 1))
    given = iter(scores or [])

    def batches(epoch: int) -> Iterator[Batch]:
        for step in range(5):
            if epoch == break_in_epoch and step == 2:
                raise Interrupted
            x = torch.randn(16, 2)
            y = x[:, :1] - 2.0 * x[:, 1:]
            yield {"image": x, "y": y * float("nan") if epoch == nan_in else y, "ids": ["a"]}

    def loss(output: torch.Tensor, batch: Batch) -> torch.Tensor:
        return nn.functional.mse_loss(output, batch["y"])

    def validate(net: nn.Module) -> float:
        if scores is not None:
            return next(given)
        x = torch.linspace(-1, 1, 20).view(10, 2)
        return -float(((net(x) - (x[:, :1] - 2.0 * x[:, 1:])) ** 2).mean().detach())

    return Task(network=network, loss=loss, batches=batches, steps=5, validate=validate)


def weights_of(made: Task) -> torch.Tensor:
    return nn.utils.parameters_to_vector(made.network.parameters()).detach()


def test_training_learns_and_leaves_the_best_weights_in_the_network(tmp_path: Path) -> None:
    made = task()
    fitted = fit(made, SETTINGS, tmp_path, progress=False)
    assert len(fitted.history) == 6
    assert fitted.history[-1]["loss"] < 0.5 * fitted.history[0]["loss"]
    assert fitted.best_score == max(entry["score"] for entry in fitted.history)
    assert made.validate(made.network) == pytest.approx(fitted.best_score)
    assert not made.network.training


def test_a_training_that_was_broken_off_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = task()
    unbroken = fit(whole, SETTINGS, tmp_path / "whole", progress=False)
    with pytest.raises(Interrupted):
        fit(task(break_in_epoch=4), SETTINGS, tmp_path / "broken", progress=False)
    torch.manual_seed(99)
    resumed = task(seed=7)
    again = fit(resumed, SETTINGS, tmp_path / "broken", progress=False)
    assert torch.equal(weights_of(whole), weights_of(resumed))
    assert again.history == unbroken.history


def test_a_finished_training_is_not_run_again(tmp_path: Path) -> None:
    first = fit(task(), SETTINGS, tmp_path, progress=False)
    made = task(break_in_epoch=1)
    assert fit(made, SETTINGS, tmp_path, progress=False).history == first.history


def test_it_stops_early_keeps_the_best_epoch_and_stays_stopped(tmp_path: Path) -> None:
    settings = replace(SETTINGS, patience=2, epochs=20)
    scores = [0.1, 0.5, 0.4, 0.3, 0.9]
    fitted = fit(task(scores=scores), settings, tmp_path, progress=False)
    assert [entry["score"] for entry in fitted.history] == scores[:4]
    assert (fitted.best_epoch, fitted.best_score) == (2, 0.5)
    assert len(fit(task(scores=[]), settings, tmp_path, progress=False).history) == 4


def test_patience_is_counted_on_through_an_interruption(tmp_path: Path) -> None:
    settings = replace(SETTINGS, patience=2, epochs=20)
    with pytest.raises(Interrupted):
        fit(task(scores=[0.5, 0.4], break_in_epoch=3), settings, tmp_path, progress=False)
    fitted = fit(task(scores=[0.3, 0.9]), settings, tmp_path, progress=False)
    assert [entry["score"] for entry in fitted.history] == [0.5, 0.4, 0.3]


def test_other_settings_in_the_same_folder_are_refused(tmp_path: Path) -> None:
    fit(task(), SETTINGS, tmp_path, progress=False)
    with pytest.raises(TrainingError, match=r"learning_rate 0\.05 -> 0\.1"):
        fit(task(), replace(SETTINGS, learning_rate=0.1), tmp_path, progress=False)


def test_a_loss_that_is_not_finite_ends_the_training_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="lower learning rate"):
        fit(task(nan_in=3), SETTINGS, tmp_path, progress=False)
    (kept,) = (tmp_path / "checkpoints").iterdir()
    assert json.loads((kept / "progress.json").read_text())["epoch"] == 2


def test_a_validation_score_that_is_not_defined_ends_the_training(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="the validation score is nan after epoch 2"):
        fit(task(scores=[0.5, float("nan"), 0.7]), SETTINGS, tmp_path, progress=False)
    (kept,) = (tmp_path / "checkpoints").iterdir()
    assert json.loads((kept / "progress.json").read_text())["epoch"] == 1


def test_a_network_of_three_dimensions_is_trained_like_any_other(tmp_path: Path) -> None:
    def batches(epoch: int) -> Iterator[Batch]:
        yield from ({"image": torch.ones(2, 1, 2, 3, 4), "y": torch.full((2, 1, 2, 3, 4), 3.0)} for _ in range(5))

    made = Task(
        network=nn.Conv3d(1, 1, 1),
        loss=lambda output, batch: nn.functional.mse_loss(output, batch["y"]),
        batches=batches,
        steps=5,
        validate=lambda net: -float((net(torch.ones(1, 1, 1, 1, 1)) - 3.0).abs()),
    )
    fitted = fit(made, replace(SETTINGS, epochs=20), tmp_path, progress=False)
    assert fitted.best_score > fitted.history[0]["score"] > -4.0


def test_a_damaged_checkpoint_is_refused_with_its_name(tmp_path: Path) -> None:
    fit(task(), SETTINGS, tmp_path, progress=False)
    (kept,) = (tmp_path / "checkpoints").iterdir()
    whole = (kept / "state.pt").read_bytes()
    (kept / "state.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TrainingError, match="epoch-00006 cannot be read"):
        fit(task(), SETTINGS, tmp_path, progress=False)


class Planted:
    """Would make a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.mkdir, (self.folder,)  # type: ignore[return-value]


def test_nothing_is_run_when_a_checkpoint_is_read(tmp_path: Path) -> None:
    fit(task(), SETTINGS, tmp_path, progress=False)
    (kept,) = (tmp_path / "checkpoints").iterdir()
    torch.save({"optimizer": Planted(tmp_path / "planted")}, kept / "state.pt")
    with pytest.raises(TrainingError):
        fit(task(), SETTINGS, tmp_path, progress=False)
    assert not (tmp_path / "planted").exists()


def test_tensorboard_holds_every_epoch_once_after_an_interruption(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        fit(task(break_in_epoch=4), SETTINGS, tmp_path, progress=False)
    fitted = fit(task(), SETTINGS, tmp_path, progress=False)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    scalars = events.Scalars("score")
    assert [event.step for event in scalars] == [1, 2, 3, 4, 5, 6]
    assert [event.value for event in scalars] == pytest.approx([entry["score"] for entry in fitted.history])


def test_the_learning_rate_warms_up_and_falls() -> None:
    rates = [learning_rate(SETTINGS, k / 100) for k in range(101)]
    assert rates[0] == pytest.approx(0.0005)
    assert max(rates) == rates[10] == pytest.approx(0.05)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.0005)


def test_the_network_may_take_several_inputs(tmp_path: Path) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.line = nn.Linear(3, 1)

        def forward(self, image: torch.Tensor, variables: torch.Tensor) -> torch.Tensor:
            return torch.as_tensor(self.line(torch.cat([image, variables], dim=1)))

    def batches(epoch: int) -> Iterator[Batch]:
        for _ in range(5):
            x, v = torch.randn(32, 2), torch.randn(32, 1)
            yield {"image": x, "variables": v, "label": (v > 0).float()}

    made = Task(
        network=Two(),
        loss=lambda out, batch: nn.functional.binary_cross_entropy_with_logits(out, batch["label"]),
        batches=batches,
        steps=5,
        validate=lambda net: float(net.line.weight[0, 2]),
        inputs=("image", "variables"),
    )
    fitted = fit(made, SETTINGS, tmp_path, progress=False)
    assert fitted.best_score > 0.5
    assert (tmp_path / BEST).exists()


def test_the_average_of_the_weights_is_validated_and_kept_through_an_interruption(tmp_path: Path) -> None:
    averaged = replace(SETTINGS, averaging=0.8)
    whole, last = task(), task()
    best = fit(whole, averaged, tmp_path / "whole", progress=False)
    fit(last, SETTINGS, tmp_path / "last", progress=False)
    assert not torch.equal(weights_of(whole), weights_of(last))
    assert whole.validate(whole.network) == pytest.approx(best.best_score)
    with pytest.raises(Interrupted):
        fit(task(break_in_epoch=4), averaged, tmp_path / "broken", progress=False)
    resumed = task(seed=99)
    fit(resumed, averaged, tmp_path / "broken", progress=False)
    assert torch.equal(weights_of(whole), weights_of(resumed))


def test_a_training_begins_with_what_fits_of_another_ones_weights(tmp_path: Path) -> None:
    other, begun = nn.Sequential(nn.Linear(2, 8), nn.Linear(8, 3)), nn.Sequential(nn.Linear(2, 8), nn.Linear(8, 1))
    save_weights(other.state_dict(), tmp_path / "other.safetensors")
    last = begun[1].weight.detach().clone()
    assert begin_with(begun, tmp_path / "other.safetensors") == 2
    assert torch.equal(begun[0].weight, other[0].weight)
    assert torch.equal(begun[1].weight, last)
    around = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Linear(2, 8), nn.Linear(8, 1)))
    assert begin_with(around, tmp_path / "other.safetensors") == 2, "a bundle holds a part of what trains"
    assert torch.equal(around[1][0].weight, other[0].weight)
    with pytest.raises(TrainingError, match="none of its weights has a place"):
        begin_with(nn.Linear(5, 5), tmp_path / "other.safetensors")
    with pytest.raises(TrainingError, match="cannot be loaded"):
        begin_with(begun, tmp_path / "absent.safetensors")
