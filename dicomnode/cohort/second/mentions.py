"""What a referrer says of one symptom."""

from __future__ import annotations

from enum import StrEnum


class Mention(StrEnum):
    """How a symptom stands in the indication of a request."""

    PRESENT = "present"
    UNCERTAIN = "uncertain"
    DENIED = "denied"
    ABSENT = "not mentioned"
