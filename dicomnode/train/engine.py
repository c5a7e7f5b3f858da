"""Trains any network: MONAI's ignite engine with checkpoints, early stopping, mixed precision, seeds and TensorBoard.

Every random draw of an epoch derives from the seed and the number of the epoch, so that a training that was broken off
and resumed ends with the same weights as one that was not.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import EarlyStopping
from monai.engines import IterationEvents, SupervisedTrainer
from monai.inferers import SimpleInferer
from monai.utils import CommonKeys
from rich.progress import Progress
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.tensorboard import SummaryWriter

from dicomnode.cohort.streams import derived_seed
from dicomnode.errors import TrainingError
from dicomnode.train.checkpoint import (
    Checkpoint,
    latest_checkpoint,
    load_weights_file,
    save_checkpoint,
    save_weights,
)
from dicomnode.zoo.devices import resolve_device

log = logging.getLogger(__name__)

WARM_UP_SHARE = 0.1
FINAL_RATE_SHARE = 0.01
BEST = "best.safetensors"
FREE_TO_CHANGE = ("device", "mixed_precision")
"""Settings that a resumed training may change: they alter where it runs, not what it learns."""

Batch = Mapping[str, Any]


def _computes_bfloat16() -> bool:
    return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """One training.

    Attributes
    ----------
    patience : epochs without a better validation score before it stops; 0 never stops early.
    device : ``auto`` takes a CUDA device where there is one.
    mixed_precision : float16 on CUDA; on a CPU bfloat16, where the CPU computes in it, else nothing.
    clip_norm : largest norm of the gradient.
    averaging : share of the past in the moving average of the weights, which is validated and kept in place of the
        weights themselves; 0 averages nothing. Reference: Polyak and Juditsky, SIAM J Control Optim 30 (1992) 838.
    """

    epochs: int = 30
    learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    patience: int = 8
    seed: int = 1
    device: str = "auto"
    mixed_precision: bool = True
    clip_norm: float = 1.0
    averaging: float = 0.0

    def torch_device(self) -> torch.device:
        """The device to use.

        Raises
        ------
        DeviceMissing : it is not there.
        """
        return torch.device(resolve_device(self.device))

    def bfloat16(self) -> bool:
        """Is the forward pass to be computed in bfloat16? Only CPUs with such instructions gain by it."""
        return self.mixed_precision and self.torch_device().type == "cpu" and _computes_bfloat16()


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is trained.

    Attributes
    ----------
    inputs : keys of a batch that the network takes, in the order of its arguments.
    loss : (what the network gave, the batch on the device) -> scalar.
    batches : epoch (from 1) -> its batches, ``steps`` of them; dicts whose tensors go to the device.
    validate : network in evaluation mode -> score, higher is better.
    """

    network: torch.nn.Module
    loss: Callable[[Any, Batch], torch.Tensor]
    batches: Callable[[int], Iterable[Batch]]
    steps: int
    validate: Callable[[torch.nn.Module], float]
    inputs: tuple[str, ...] = ("image",)


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a training gave; the network holds the best weights.

    Attributes
    ----------
    history : per epoch ``epoch``, ``loss``, ``score``, ``learning_rate``.
    weights : file with the best weights, float32.
    """

    history: tuple[dict[str, float], ...]
    best_epoch: int
    best_score: float
    weights: Path


def learning_rate(settings: FitSettings, share: float) -> float:
    """Linear warm-up, then a cosine to 1 % of the peak.

    Parameters
    ----------
    share : of all steps, 0 to 1.
    """
    if share < WARM_UP_SHARE:
        return settings.learning_rate * max(share / WARM_UP_SHARE, FINAL_RATE_SHARE)
    cosine = (1.0 + math.cos(math.pi * (share - WARM_UP_SHARE) / (1.0 - WARM_UP_SHARE))) / 2
    return settings.learning_rate * (FINAL_RATE_SHARE + (1.0 - FINAL_RATE_SHARE) * cosine)


def fit(task: Task, settings: FitSettings, out: Path, *, progress: bool = True) -> Fitted:
    """Train, or go on where an earlier call into the same folder was broken off.

    Parameters
    ----------
    out : gets ``best.safetensors``, ``checkpoints/`` and ``tensorboard/``.

    Raises
    ------
    TrainingError : the loss or the validation score is not finite, or the folder holds a checkpoint that cannot be read
        or was made with other settings.
    """
    out.mkdir(parents=True, exist_ok=True)
    run = _Run(task, settings, out)
    run.resume()
    with Progress(disable=not progress) as bars:
        run.attach(bars)
        if not run.done:
            run.trainer.run()
    run.writer.close()
    best = max(run.history, key=lambda entry: entry["score"])
    load_weights_file(task.network, out / BEST)
    task.network.eval()
    return Fitted(tuple(run.history), int(best["epoch"]), best["score"], out / BEST)


def channels_last(value: torch.Tensor) -> torch.Tensor:
    """An image in the layout in which convolutions are faster (``benchmarks/training_step.py``); else as it is."""
    return value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value


def _place(network: torch.nn.Module, device: torch.device) -> None:
    """Move a network to its device; one that convolves in two dimensions to the faster layout, too."""
    network.to(device)
    if not any(value.ndim == 5 for value in network.parameters()):  # 3D convolutions have a layout of their own
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _averaged(network: torch.nn.Module, decay: float) -> AveragedModel | None:
    """The moving average of a network, buffers included: those of a normalisation belong to its weights."""
    average: Any = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(network, multi_avg_fn=average, use_buffers=True) if decay else None


class _Half(SimpleInferer):  # type: ignore[misc]
    """Forward pass in bfloat16 on the CPU; weights, loss and optimiser stay in float32, as on CUDA."""

    def __init__(self, enabled: bool) -> None:
        super().__init__()
        self.enabled = enabled

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.enabled):
            return network(inputs, *args, **kwargs)


class _Run:
    """The engine of one training with its handlers."""

    def __init__(self, task: Task, settings: FitSettings, out: Path) -> None:
        self.task, self.settings, self.out = task, settings, out
        self.device = settings.torch_device()
        self.history: list[dict[str, float]] = []
        self.losses: list[float] = []
        self.start = 0
        _place(task.network, self.device)
        self.optimizer = torch.optim.AdamW(
            task.network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.averaged = _averaged(task.network, settings.averaging)
        self.trainer: Any = self._trainer()
        self.stopping = EarlyStopping(
            patience=settings.patience or settings.epochs + 1,
            score_function=lambda engine: self.history[-1]["score"],
            trainer=self.trainer,
        )
        self.stopping.logger.setLevel(logging.WARNING)
        self.writer: Any = None

    def _trainer(self) -> Any:
        trainer = SupervisedTrainer(
            device=self.device,
            max_epochs=self.settings.epochs,
            train_data_loader=self._stream(),
            epoch_length=self.task.steps,
            network=self.task.network,
            optimizer=self.optimizer,
            loss_function=self.task.loss,
            prepare_batch=self._prepare,
            inferer=_Half(self.settings.bfloat16()),
            optim_set_to_none=True,
            decollate=False,
            amp=self.settings.mixed_precision and self.device.type == "cuda",
        )
        trainer.logger.setLevel(logging.WARNING)
        return trainer

    @property
    def network(self) -> torch.nn.Module:
        """The one that is validated and kept."""
        return self.task.network if self.averaged is None else self.averaged.module

    @property
    def done(self) -> bool:
        """Was it finished before, by its epochs or early?"""
        return self.start >= self.settings.epochs or self.stopping.counter >= self.stopping.patience

    def resume(self) -> None:
        """Take up the last checkpoint, if there is one.

        Raises
        ------
        TrainingError : it cannot be read, was made with other settings, or does not fit the network.
        """
        found = latest_checkpoint(self.out / "checkpoints")
        if found is not None:
            self._refuse_other_settings(found.progress["settings"])
            try:
                self.task.network.load_state_dict(found.weights)
                self.optimizer.load_state_dict(found.state["optimizer"])
                if self.averaged is not None:
                    self.averaged.load_state_dict(found.state["averaged"])
            except (RuntimeError, ValueError) as error:
                raise TrainingError(f"the checkpoint in {self.out} does not fit this network: {error}") from error
            self.stopping.load_state_dict(found.state["stopping"])
            if self.trainer.scaler is not None and found.state["scaler"]:
                self.trainer.scaler.load_state_dict(found.state["scaler"])
            self.history = list(found.progress["history"])
            self.start = int(found.progress["epoch"])
            self.trainer.state.epoch = self.start
            self.trainer.state.iteration = self.start * self.task.steps
            log.info("training resumed", extra={"action": "resume", "epoch": self.start})
        self.writer = SummaryWriter(str(self.out / "tensorboard"), purge_step=self.start + 1)

    def _refuse_other_settings(self, before: Mapping[str, Any]) -> None:
        now = {**asdict(self.settings), "steps": self.task.steps}
        changed = [
            f"{name} {before.get(name)} -> {value}"
            for name, value in now.items()
            if name not in FREE_TO_CHANGE and before.get(name) != value
        ]
        if changed:
            raise TrainingError(
                f"{self.out} holds a training with other settings ({', '.join(changed)}); choose another folder"
            )

    def attach(self, bars: Progress) -> None:
        """Add the handlers, in the order in which they must run."""
        bar = bars.add_task("training", total=self.settings.epochs * self.task.steps)
        bars.update(bar, completed=self.start * self.task.steps)
        add = self.trainer.add_event_handler
        add(Events.ITERATION_STARTED, self._set_rate)
        add(IterationEvents.BACKWARD_COMPLETED, self._clip)
        add(Events.ITERATION_COMPLETED, self._note_loss)
        add(Events.ITERATION_COMPLETED, self._average)
        add(Events.ITERATION_COMPLETED, lambda engine: bars.advance(bar))
        add(Events.EPOCH_COMPLETED, self._validate)
        add(Events.EPOCH_COMPLETED, self.stopping)
        add(Events.EPOCH_COMPLETED, self._save)
        add(Events.EPOCH_COMPLETED, lambda engine: bars.update(bar, description=self._line()))

    def _stream(self) -> Iterator[Batch]:
        """Batches of the epochs to come, one after the other; draws of an epoch depend on its number alone."""
        for epoch in count(self.start + 1):
            torch.manual_seed(derived_seed(self.settings.seed, "epoch", epoch))
            yield from self.task.batches(epoch)

    def _prepare(self, batch: Batch, device: Any, non_blocking: bool, **_: Any) -> tuple[Any, ...]:
        moved = {
            name: value.to(device, non_blocking=non_blocking) if isinstance(value, torch.Tensor) else value
            for name, value in batch.items()
        }
        first, *others = (channels_last(moved[name]) for name in self.task.inputs)
        return first, moved, tuple(others), {}

    def _set_rate(self, engine: Engine) -> None:
        share = (engine.state.iteration - 1) / (self.settings.epochs * self.task.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.settings, share)

    def _clip(self, engine: Engine) -> None:
        if self.trainer.scaler is not None:
            self.trainer.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.task.network.parameters(), self.settings.clip_norm)

    def _note_loss(self, engine: Engine) -> None:
        loss = float(engine.state.output[CommonKeys.LOSS].detach())
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss} at step {engine.state.iteration}; try a lower learning rate than "
                f"{self.settings.learning_rate:g}"
            )
        self.losses.append(loss)

    def _average(self, engine: Engine) -> None:
        if self.averaged is not None:
            self.averaged.update_parameters(self.task.network)

    def _validate(self, engine: Engine) -> None:
        self.network.eval()
        with torch.inference_mode():
            score = float(self.task.validate(self.network))
        self.network.train()
        epoch = int(engine.state.epoch)
        if not math.isfinite(score):
            raise TrainingError(f"the validation score is {score} after epoch {epoch}: no epoch can be called the best")
        entry = {
            "epoch": float(epoch),
            "loss": sum(self.losses) / len(self.losses),
            "score": score,
            "learning_rate": float(self.optimizer.param_groups[0]["lr"]),
        }
        self.losses.clear()
        if not self.history or score > max(past["score"] for past in self.history):
            save_weights(self.network.state_dict(), self.out / BEST)
        self.history.append(entry)
        for name in ("loss", "score", "learning_rate"):
            self.writer.add_scalar(name, entry[name], epoch)

    def _save(self, engine: Engine) -> None:
        state = {
            "optimizer": self.optimizer.state_dict(),
            "stopping": dict(self.stopping.state_dict()),
            "scaler": self.trainer.scaler.state_dict() if self.trainer.scaler is not None else {},
            "averaged": self.averaged.state_dict() if self.averaged is not None else {},
        }
        progress = {
            "epoch": engine.state.epoch,
            "history": self.history,
            "settings": {**asdict(self.settings), "steps": self.task.steps},
        }
        save_checkpoint(self.out / "checkpoints", Checkpoint(self.task.network.state_dict(), state, progress))

    def _line(self) -> str:
        last = self.history[-1]
        return f"epoch {last['epoch']:.0f}: loss {last['loss']:.4f}, score {last['score']:.4f}"
