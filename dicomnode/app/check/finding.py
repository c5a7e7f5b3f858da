"""One thing that ``dicomnode check`` looked at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing checked. ``fatal``: the node would not do its work."""

    what: str
    ok: bool
    says: str
    fatal: bool = True
