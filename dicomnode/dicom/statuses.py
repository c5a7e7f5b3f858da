"""DIMSE status codes (DICOM PS3.7 annex C) and what the storage service says by them (PS3.4 B.2.3)."""

from __future__ import annotations

from enum import StrEnum

SUCCESS = 0x0000
PENDING = 0xFF00

# C-STORE (PS3.4 table B.2-1)
OUT_OF_RESOURCES = 0xA700
DOES_NOT_MATCH_SOP_CLASS = 0xA900
CANNOT_UNDERSTAND = 0xC000
COERCION_OF_DATA_ELEMENTS = 0xB000
ELEMENTS_DISCARDED = 0xB006
WARNING_DOES_NOT_MATCH_SOP_CLASS = 0xB007

# any service (PS3.7 annex C)
CANCEL = 0xFE00
ATTRIBUTE_LIST_ERROR = 0x0107
PROCESSING_FAILURE = 0x0110
DUPLICATE_SOP_INSTANCE = 0x0111
NO_SUCH_SOP_INSTANCE = 0x0112
INVALID_ARGUMENT_VALUE = 0x0115
ATTRIBUTE_VALUE_OUT_OF_RANGE = 0x0116
INVALID_OBJECT_INSTANCE = 0x0117
NO_SUCH_SOP_CLASS = 0x0118
CLASS_INSTANCE_CONFLICT = 0x0119
MISSING_ATTRIBUTE = 0x0120
SOP_CLASS_NOT_SUPPORTED = 0x0122
NO_SUCH_ACTION = 0x0123
NOT_AUTHORISED = 0x0124
DUPLICATE_INVOCATION = 0x0210
UNRECOGNISED_OPERATION = 0x0211
RESOURCE_LIMITATION = 0x0213

_WARNINGS = frozenset({0x0001, ATTRIBUTE_LIST_ERROR, ATTRIBUTE_VALUE_OUT_OF_RANGE})
_PENDING = frozenset({PENDING, 0xFF01})


class Category(StrEnum):
    """Status type of PS3.7 C.1: what the status means for the operation."""

    SUCCESS = "success"
    WARNING = "warning"
    PENDING = "pending"
    CANCEL = "cancel"
    FAILURE = "failure"


def category(status: int) -> Category:
    """Status type of a code. Codes that no table names are failures: success is said in one way only.

    >>> [str(category(code)) for code in (0x0000, 0xB007, 0xFF01, 0xFE00, 0xA7FF, 0x0122, 0x1234)]
    ['success', 'warning', 'pending', 'cancel', 'failure', 'failure', 'failure']
    """
    if status == SUCCESS:
        return Category.SUCCESS
    if status in _WARNINGS or 0xB000 <= status <= 0xBFFF:
        return Category.WARNING
    if status in _PENDING:
        return Category.PENDING
    return Category.CANCEL if status == CANCEL else Category.FAILURE


def is_stored(status: int) -> bool:
    """Whether a C-STORE with this status was stored: success, or a warning (PS3.4 B.2.3: stored, though coerced)."""
    return category(status) in (Category.SUCCESS, Category.WARNING)


def sentence(status: int) -> str:
    """The status as a person reads it, such as ``0xA700 failure (out of resources)``."""
    return f"0x{status:04X} {category(status)}" + (f" ({meaning})" if (meaning := _meaning(status)) else "")


def _meaning(status: int) -> str:
    for low, high, meaning in _RANGES:
        if low <= status <= high:
            return meaning
    return _MEANINGS.get(status, "")


_RANGES = (
    (OUT_OF_RESOURCES, 0xA7FF, "out of resources"),
    (DOES_NOT_MATCH_SOP_CLASS, 0xA9FF, "data set does not match SOP class"),
    (CANNOT_UNDERSTAND, 0xCFFF, "cannot understand"),
)
_MEANINGS = {
    COERCION_OF_DATA_ELEMENTS: "coercion of data elements",
    ELEMENTS_DISCARDED: "elements discarded",
    WARNING_DOES_NOT_MATCH_SOP_CLASS: "data set does not match SOP class",
    ATTRIBUTE_LIST_ERROR: "attribute list error",
    PROCESSING_FAILURE: "processing failure",
    DUPLICATE_SOP_INSTANCE: "duplicate SOP instance",
    NO_SUCH_SOP_INSTANCE: "no such SOP instance",
    INVALID_ARGUMENT_VALUE: "invalid argument value",
    ATTRIBUTE_VALUE_OUT_OF_RANGE: "attribute value out of range",
    INVALID_OBJECT_INSTANCE: "invalid object instance",
    NO_SUCH_SOP_CLASS: "no such SOP class",
    CLASS_INSTANCE_CONFLICT: "class and instance contradict each other",
    MISSING_ATTRIBUTE: "missing attribute",
    SOP_CLASS_NOT_SUPPORTED: "SOP class not supported",
    NO_SUCH_ACTION: "no such action",
    NOT_AUTHORISED: "not authorised",
    DUPLICATE_INVOCATION: "duplicate invocation",
    UNRECOGNISED_OPERATION: "unrecognised operation",
    RESOURCE_LIMITATION: "resource limitation",
}
