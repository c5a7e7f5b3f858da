"""Networks that fail as real ones do: they raise, run out of memory, or do not answer."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from typing import Any

import torch

PATIENCE_S = 60.0


class Raising(torch.nn.Conv2d):
    """Raises what nobody expects, with a message that must not be passed on."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        raise LookupError("Doe^Jane")


class OutOfMemory(torch.nn.Conv2d):
    """Raises as torch does where the device is full."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("out of memory")


class Capped(torch.nn.Conv2d):
    """Has 200 MB left, and takes 20 of them for each slice that it is given at once."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 200_000_000, hard))
        try:
            torch.empty(len(image), 5_000_000)
            return super().forward(image)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


class Gated(torch.nn.Conv2d):
    """Says that it runs by making ``gate/running``, and goes on once ``gate/open`` is there."""

    def __init__(self, *arguments: Any, gate: str, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.gate = Path(gate)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        (self.gate / "running").touch()
        deadline = time.monotonic() + PATIENCE_S
        while not (self.gate / "open").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        return super().forward(image)


class Fatal(torch.nn.Conv3d):
    """Takes its process with it, as a fault in a compiled library does."""

    def __init__(self, *_: Any, **__: Any) -> None:
        os._exit(3)
