"""Escape sequences of HL7 v2 (v2.5 chapter 2, 2.7).

Not by the library that splits messages: what it cannot read it writes to the log with the whole text, and it makes as
many line breaks of ``.sp999999999`` as are asked for.
"""

from __future__ import annotations

import re
from functools import partial

from dicomnode.clinical.sources.hl7.header import Separators

UNKNOWN = "\ufffd"
MAX_LINES = 10
"""Line breaks that one sequence makes at most."""
MAX_SEQUENCE = 2000
"""Longer is no sequence: an escape character that stands for itself would take all that follows with it."""
_HEX = re.compile(r"X((?:[0-9A-Fa-f]{2})+)")
_FORMAT = re.compile(r"\.(br|sp|sk|fi|nf|in|ti|ce)([+-]?\d{0,3})")
_NOTHING = re.compile(r"[HN]|Z\w*|\.(?:fi|nf)")
_CHANGES_SET = re.compile(r"[CM][0-9A-Fa-f]+")


def unescaped(text: str, separators: Separators, codec: str) -> str:
    r"""Text as it is meant; what is no sequence stays as it is.

    Parameters
    ----------
    codec : in which the bytes of ``\X..\`` are.
    """
    escape = separators.escape
    if escape not in text:
        return text
    mark = re.escape(escape)
    sequence = re.compile(rf"{mark}([^{mark}\r\n]{{1,{MAX_SEQUENCE}}}){mark}")
    return sequence.sub(partial(_meant, separators, codec), text)


def _meant(separators: Separators, codec: str, found: re.Match[str]) -> str:
    said = found[1]
    plain = {
        "F": separators.field,
        "S": separators.component,
        "T": separators.subcomponent,
        "R": separators.repetition,
        "E": separators.escape,
    }
    if said in plain:
        return plain[said]
    if hexadecimal := _HEX.fullmatch(said):
        return bytes.fromhex(hexadecimal[1]).decode(codec, "replace")
    if _NOTHING.fullmatch(said):
        return ""
    if _CHANGES_SET.fullmatch(said):
        return UNKNOWN
    if layout := _FORMAT.fullmatch(said):
        return _layout(layout[1], layout[2])
    return found[0]


def _layout(command: str, number: str) -> str:
    """Lines and blanks of formatted text (FT); indents are those of a page, which a report here does not have."""
    count = min(int(number), MAX_LINES) if number.isdigit() else 1
    if command in ("br", "sp"):
        return "\n" * count
    return {"ce": "\n", "sk": " "}.get(command, "")
