"""How a result stands: whether it is used, replaces an earlier one, or takes it back (OBX-11, HL7 table 0085)."""

from __future__ import annotations

from enum import Enum

from dicomnode.clinical.values import refused
from dicomnode.errors import ContextRefusal


class Standing(Enum):
    """What a statement about an observation does; the value orders those that are written in the same second."""

    PRELIMINARY = 1
    FINAL = 2
    CORRECTED = 3
    WITHDRAWN = 4


_STANDINGS = {
    **dict.fromkeys("PRS", Standing.PRELIMINARY),
    **dict.fromkeys(("", "F", "U", "V"), Standing.FINAL),
    **dict.fromkeys("CAB", Standing.CORRECTED),
    **dict.fromkeys("DWX", Standing.WITHDRAWN),
}
"""V is the verified result of German laboratories; A and B are an amended and an appended one of v2.7 on."""


NO_RESULT = frozenset("OIN")
"""Ordered, in the laboratory, not asked for."""


def standing_of(status: str) -> Standing | None:
    """None where there is no result.

    Raises
    ------
    ContextError : a status that table 0085 does not have.
    """
    if status.upper() in NO_RESULT:
        return None
    found = _STANDINGS.get(status.upper())
    if found is None:
        raise refused(ContextRefusal.UNKNOWN_WORD)
    return found
