"""Reading headers that break the rules: a value, or None where there is none that can be read."""

from __future__ import annotations

import math
import struct
from typing import Any

from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException

from dicomnode.environment import raise_unless_it_stays

BROKEN_VALUE = (
    ValueError,
    TypeError,
    ArithmeticError,
    LookupError,
    AttributeError,
    NotImplementedError,
    BytesLengthException,
    struct.error,
    EOFError,
    OSError,
)
"""All that pydicom raises on values it cannot convert: a PatientWeight of "70kg", a VR that does not exist, the bytes
of a sequence that are none (OSError without a number). Whoever catches it passes on what the disk says."""


def value_of(ds: Dataset, keyword: str) -> Any | None:
    """The value of an attribute; None where it is absent, empty or cannot be converted.

    Raises
    ------
    OSError : a value that was left on the disk cannot be read now.
    """
    try:
        value = ds[keyword].value
    except BROKEN_VALUE as error:
        raise_unless_it_stays(error)
        return None
    is_empty = value is None or value == "" or (hasattr(value, "__len__") and len(value) == 0)
    return None if is_empty else value


def text_of(ds: Dataset, keyword: str) -> str:
    """The value as text, stripped; empty where there is none."""
    return str(value_of(ds, keyword) or "").strip()


def number_of(ds: Dataset, keyword: str) -> float | None:
    """A single value as a finite number; None where it is none. pydicom hands on what it cannot convert as text."""
    stated = value_of(ds, keyword)
    try:
        value = math.nan if stated is None else float(stated)
    except (TypeError, ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None
