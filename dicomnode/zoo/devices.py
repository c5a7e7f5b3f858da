"""The device that models run on, and a sentence where it is not there."""

from __future__ import annotations

import torch

from dicomnode.errors import DeviceMissing

INSTEAD = "use 'cpu', or 'auto' for what is there"


def resolve_device(device: str) -> str:
    """``auto`` -> ``cuda:0`` where CUDA works, else ``cpu``; ``cuda`` -> ``cuda:0``.

    Raises
    ------
    DeviceMissing : there is no such device; the message says what to do.
    """
    if device == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return device
    name = "cuda:0" if device == "cuda" else device
    if torch.version.cuda is None:
        says = (
            f"device {device}: torch {torch.__version__} is built for the CPU; {INSTEAD}, or install the one with CUDA"
        )
        raise DeviceMissing(f"{says} (make install GPU=1)")
    if not torch.cuda.is_available():
        says = f"device {device}: no NVIDIA card answers; look at nvidia-smi and its driver, or {INSTEAD}"
        raise DeviceMissing(says)
    if int(name.partition(":")[2]) >= torch.cuda.device_count():
        raise DeviceMissing(f"device {device}: there are {torch.cuda.device_count()} cards, counted from 0; {INSTEAD}")
    return name
