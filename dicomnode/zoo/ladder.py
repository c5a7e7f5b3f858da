"""Runs a network with less memory where it does not suffice: fewer windows at once, then on the CPU.

A window is not made smaller: what a network sees around a voxel is part of what it was trained on.
"""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

T = TypeVar("T")

FEWER = 4
"""By what the number of windows is divided from one rung to the next: each is a run in vain where it is not enough."""
_SAID = ("out of memory", "can't allocate memory", "not enough memory", "could not create a memory object")
"""By torch's allocators and by oneDNN, in a RuntimeError that has no type of its own."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One way to run. ``windows``: at once; 0 where the inferer has none."""

    windows: int
    device: torch.device

    def in_words(self) -> str:
        """As events and log tell it."""
        count = f"{self.windows} window{'' if self.windows == 1 else 's'} at once " if self.windows else ""
        return f"{count}on {self.device}"


class Ladder:
    """A network, how it is run, and where.

    Parameters
    ----------
    inferer : of MONAI, called with an image and the network; None where the network is called by code of its bundle.

    Attributes
    ----------
    told : what the last run made do with, for want of memory; empty where it had enough.
    """

    def __init__(
        self, network: torch.nn.Module, device: torch.device, inferer: Callable[..., Any] | None = None
    ) -> None:
        self._network, self._inferer = network, inferer
        self._rungs = _rungs(int(getattr(inferer, "sw_batch_size", 0)), device)
        self.told = ""

    def infer(self, image: torch.Tensor) -> Any:
        """What the inferer makes of an image (1, channels, ...); it may lie on the CPU where the network does not.

        Raises
        ------
        RuntimeError, MemoryError : as the network raises it; of too little memory where the last rung fails, too.
        """
        return self.climb(lambda rung: self.infer_on(rung, image))

    def infer_on(self, rung: Rung, image: torch.Tensor) -> Any:
        """As :meth:`infer`, of an attempt of :meth:`climb`."""
        return self._inferer_of(rung)(image.to(rung.device), self._network)

    def climb(self, attempt: Callable[[Rung], T]) -> T:
        """The first attempt for which there is memory enough.

        Raises
        ------
        RuntimeError, MemoryError : as :meth:`infer`.
        """
        *others, last = self._rungs
        for rung in others:
            try:
                return self._attempted(attempt, rung)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # Only here, where the error is gone, are the tensors that did not fit.
            _let_go(rung.device)
        return self._attempted(attempt, last)

    def _attempted(self, attempt: Callable[[Rung], T], rung: Rung) -> T:
        self.told = "" if rung == self._rungs[0] else rung.in_words()
        # At each attempt, not back after one: on a card that is full the way back might fail halfway.
        self._network.to(rung.device)
        return attempt(rung)

    def _inferer_of(self, rung: Rung) -> Callable[..., Any]:
        assert self._inferer is not None
        if rung.windows == self._rungs[0].windows:
            return self._inferer
        lighter: Any = copy.copy(self._inferer)
        lighter.sw_batch_size = rung.windows
        chosen: Callable[..., Any] = lighter
        return chosen


def _rungs(windows: int, device: torch.device) -> list[Rung]:
    fewer = [windows]
    while fewer[-1] > 1:
        fewer.append(max(1, fewer[-1] // FEWER))
    devices = [device] if device.type == "cpu" else [device, torch.device("cpu")]
    return [Rung(count, where) for where in devices for count in fewer]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of a network says that there is too little memory.

    >>> is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory")), is_out_of_memory(RuntimeError("shapes differ"))
    (True, False)
    """
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(words in str(error) for words in _SAID)


def _let_go(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
