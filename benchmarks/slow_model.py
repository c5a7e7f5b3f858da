"""A model whose run takes a set time and next to no processor: what a graphics card would do, without one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from tests.tools.bundle import write_threshold_bundle


class Waiting(torch.nn.Conv2d):
    """One convolution that marks bright spots, after a pause."""

    def __init__(self, *arguments: Any, wait_s: str, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.wait_s = float(wait_s)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(slices, 1, rows, columns) from (slices, 6, rows, columns)."""
        time.sleep(self.wait_s)
        return super().forward(image)


def write_slow_bundle(folder: Path, wait_s: float) -> Path:
    """A bundle named ``slow``."""
    return write_threshold_bundle(folder, "slow", f"{__name__}.Waiting", wait_s=str(wait_s))
