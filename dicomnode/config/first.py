"""The first configuration of a node: the example that ships with the package, with what is known put in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

SHIPPED = Path(__file__).parents[1] / "shipped"
"""Files that an installation brings along: the example and what a deployment needs."""
FOLDERS = ("compose", "grafana", "kubernetes", "prometheus")
"""Of these files those that stand in folders."""

Value = str | int | bool
Key = tuple[str, str]
"""Section and key; a section that may come several times: its first."""


def deployment_files() -> list[str]:
    """What ships for a deployment, by its path below :data:`SHIPPED`."""
    own = [path for path in SHIPPED.iterdir() if path.is_file() and path.suffix != ".toml"]
    below = [path for folder in FOLDERS for path in (SHIPPED / folder).rglob("*") if path.is_file()]
    return sorted(str(path.relative_to(SHIPPED)) for path in (*own, *below))


def first_config(values: Mapping[Key, Value], senders: Sequence[str] = ()) -> str:
    """The example with other values; its comments stay.

    Parameters
    ----------
    senders : ``AE_TITLE`` or ``AE_TITLE@HOST``, who may send.
    """
    text = (SHIPPED / "config.example.toml").read_text(encoding="utf-8")
    for (section, key), value in values.items():
        text = _with_value(text, section, key, value)
    return _with_senders(text, senders)


def _with_value(text: str, section: str, key: str, value: Value) -> str:
    """One value put in the place of another; the comment behind it keeps its column where it can."""
    begin = re.search(rf"^\[\[?{re.escape(section)}\]\]?$", text, re.M)
    assert begin is not None, section
    line = re.compile(rf"^({re.escape(key)} = )(.*?)( *)(#.*)?$", re.M).search(text, begin.end())
    assert line is not None, key
    start, before, spaces, comment = (part or "" for part in line.groups())
    written = _toml(value)
    gap = " " * max(1, len(before) + len(spaces) - len(written)) if comment else ""
    return f"{text[: line.start()]}{start}{written}{gap}{comment}{text[line.end() :]}"


def _toml(value: Value) -> str:
    # A basic string of TOML takes the escapes that JSON makes.
    return json.dumps(value, ensure_ascii=False)


def _with_senders(text: str, senders: Sequence[str]) -> str:
    tables = ""
    for sender in senders:
        ae_title, _, host = sender.partition("@")
        tables += f"[[sender]]\nae_title = {_toml(ae_title)}\n" + (f"host = {_toml(host)}\n" if host else "") + "\n"
    return text.replace("[[destination]]\n", f"{tables}[[destination]]\n", 1)
