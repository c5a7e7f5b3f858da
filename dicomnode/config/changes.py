"""What differs between two configurations, key by key, in words that a log may hold."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dicomnode.config.whole import Config

FIXED = (
    "node.ae_title",
    "node.name",
    "node.host",
    "node.port",
    "node.data_dir",
    "database",
    "reception.receivers",
    "reception.tls",
    "clinical.hl7.host",
    "clinical.hl7.port",
    "clinical.hl7.tls",
    "operations.host",
    "operations.port",
    "operations.tls",
    "operations.metrics_token_file",
    "operations.log_format",
)
"""Keys, and all below them, that a running node cannot change: its names, ports and what lies on disk."""
_HIDDEN = ("url", "user", "secret", "password", "token", "client_id")
"""In the name of a key: its value is not shown. A URL may hold a token, as those of chat services do."""
_LONGEST = 200
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Change:
    """One key. ``before``, ``after``: JSON, cut short; ``-`` where the key, or its table, is not there."""

    key: str
    before: str
    after: str

    @property
    def needs_restart(self) -> bool:
        """Whether a running node cannot take it over."""
        return any(self.key == fixed or self.key.startswith(f"{fixed}.") for fixed in FIXED)

    def __str__(self) -> str:
        return f"{self.key}: {self.before} -> {self.after}" if self.before or self.after else f"{self.key}: changed"


def changes(before: Config, after: Config) -> list[Change]:
    """Every key that differs, in the order of the file. Values of keys that may hold a secret are left out.

    Tables of a list are told apart by their name or AE title: one that moved has not changed.
    """
    return list(_changes("", before.model_dump(mode="json"), after.model_dump(mode="json")))


def _changes(key: str, before: Any, after: Any) -> Iterator[Change]:
    if before == after:
        return
    old, new = _tables(before), _tables(after)
    if old is None or new is None or (not old and not new):
        yield _change(key, before, after)
        return
    for name in dict.fromkeys([*old, *new]):
        inner = f"{key}.{name}" if key else name
        yield from _changes(inner, old.get(name, _ABSENT), new.get(name, _ABSENT))


def _tables(value: Any) -> Mapping[str, Any] | None:
    """A table, or a list of tables by their names; None where it is a value."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(one, Mapping) for one in value):
        named: dict[str, Any] = {}
        for one in value:
            name = str(one.get("name") or one.get("ae_title") or len(named))
            named[f"[{name}]" if f"[{name}]" not in named else f"[{name} {len(named)}]"] = one
        return named
    return None


def _change(key: str, before: Any, after: Any) -> Change:
    if any(word in key.rpartition(".")[2] for word in _HIDDEN):
        return Change(key, "", "")
    return Change(key, _shown(before), _shown(after))


def _shown(value: Any) -> str:
    if value is _ABSENT:
        return "-"
    if isinstance(value, Mapping):
        return "a table"  # with all that it holds, secrets too
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
