"""Transforms of a foreign bundle that touch files or undo geometry: left out, since the node does that itself."""

from __future__ import annotations

import re
from typing import Any

FILE_STEPS = {"loadimage", "ensurechannelfirst", "addchannel", "aschannelfirst", "saveimage", "invert"}
"""Transforms that the node does itself or has no use for."""


def base_name(target: str) -> str:
    """``monai.transforms.LoadImaged`` and its aliases -> ``loadimage``.

    >>> base_name("monai.transforms.LoadImaged"), base_name("SaveImageDict"), base_name("UNet")
    ('loadimage', 'saveimage', 'unet')
    """
    return re.sub(r"(Dict|d|D)$", "", target.rpartition(".")[2]).lower()


def without_file_steps(value: Any) -> Any:
    """A configuration without the transforms of ``FILE_STEPS``, wherever they stand in a list."""
    if isinstance(value, dict):
        return {key: without_file_steps(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_file_steps(item) for item in value if not _is_file_step(item)]
    return value


def _is_file_step(item: Any) -> bool:
    return isinstance(item, dict) and base_name(str(item.get("_target_", ""))) in FILE_STEPS
