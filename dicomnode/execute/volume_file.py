"""A volume on its way from the process that reads images to the one that runs models: one ``.npz`` file, unpacked.

Scratch of one claim: not fsynced, never read after a crash. Nothing is unpickled.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dicomnode.execute.handed import readable
from dicomnode.records import Stack, Volume

VOLUME = "the volume"
"""What such a file is called where it cannot be read."""
_TUPLES = ("order", "shear")
_NUMBERS = {"rows": int, "columns": int, "row_spacing_mm": float, "column_spacing_mm": float}


def save_volume(path: Path, volume: Volume) -> None:
    """Write atomically: a file with this name is whole.

    Raises
    ------
    OSError : the disk is full or gone.
    """
    stack: dict[str, Any] = {field.name: np.asarray(getattr(volume.stack, field.name)) for field in fields(Stack)}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        np.savez(file, hu=volume.hu, sop_instance_uids=np.asarray(volume.sop_instance_uids), **stack)
    temporary.replace(path)


def load_volume(path: Path | BinaryIO) -> Volume:
    """Read what :func:`save_volume` wrote.

    Raises
    ------
    InferenceError : the file is missing or damaged.
    OSError, MemoryError : disk or memory failed; see :mod:`dicomnode.environment`.
    """
    with readable(VOLUME), np.load(path, allow_pickle=False) as arrays:
        return _volume({name: arrays[name] for name in arrays.files})


def _volume(arrays: dict[str, Any]) -> Volume:
    uids = tuple(str(uid) for uid in arrays.pop("sop_instance_uids"))
    hu = arrays.pop("hu")
    plain: dict[str, Any] = {name: tuple(arrays.pop(name).tolist()) for name in _TUPLES}
    plain |= {name: kind(arrays.pop(name)) for name, kind in _NUMBERS.items()}
    return Volume(hu, Stack(**arrays, **plain), uids)
