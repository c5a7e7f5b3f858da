"""What stands in place of a UID, a patient ID and a date: derived from a key, so that it is the same in every export.

Without the key nobody can tell, or try out, what an identifier was.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

DAYS_LEAST, DAYS_MOST = 365, 3650
_FORMS = ("%Y%m%d", "%Y.%m.%d")


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """Of one key.

    Parameters
    ----------
    key : secret of a node.
    """

    key: bytes

    def uid(self, original: str) -> str:
        """A UID below ``2.25`` (PS3.5 B.2), always the same for one original."""
        return f"2.25.{uuid.UUID(bytes=self._digest('uid', original)[:16], version=4).int}"

    def patient(self, patient_id: str, issuer: str) -> str:
        """An ID in place of a patient's, such as ``P-3f9a0c1d2e4b``."""
        return f"P-{self._digest('patient', issuer, patient_id).hex()[:12]}"

    def days(self, patient_id: str, issuer: str) -> int:
        """By how many days the dates of a patient are moved, always the same for one patient: one to ten years back."""
        drawn = int.from_bytes(self._digest("days", issuer, patient_id)[:8])
        return -(DAYS_LEAST + drawn % (DAYS_MOST - DAYS_LEAST))

    def _digest(self, *parts: str) -> bytes:
        return hmac.new(self.key, "\0".join(parts).encode(), hashlib.sha256).digest()


def moved(value: str, days: int) -> str:
    """A value of VR DA or DT, moved by days; its time and offset stay. Empty where it is no date.

    >>> moved("20260301", -1), moved("20260301101500.5+0100", -1), moved("March", -1)
    ('20260228', '20260228101500.5+0100', '')
    """
    value = value.strip()
    for form, length in zip(_FORMS, (8, 10), strict=True):
        try:
            day = datetime.strptime(value[:length], form)
            return (day + timedelta(days=days)).strftime("%Y%m%d") + value[length:]
        except (ValueError, OverflowError):
            continue
    return ""
