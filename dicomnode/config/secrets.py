"""A password in the configuration itself: tolerated, but not where other users of the machine can read it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from dicomnode.config.tls import open_to_others

BETTER = "or give the URL by DICOMNODE_DATABASE__URL, or the password by ~/.pgpass"


def holds_password(text: str) -> bool:
    """Whether the text of a configuration has a password in ``database.url``.

    >>> holds_password('[database]\\nurl = "postgresql+psycopg://node:sesame@host/db"')
    True
    >>> holds_password('[database]\\nurl = "postgresql+psycopg://node@host/db"'), holds_password("no TOML")
    (False, False)
    """
    try:
        section: Any = tomllib.loads(text).get("database")
        url = urlsplit(str(section["url"]))
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError):
        return False
    return bool(url.password or parse_qs(url.query).get("password"))


def open_password(file: Path) -> str:
    """What is wrong where a configuration holds a password that others can read, and what mends it; else empty."""
    try:
        is_held = holds_password(file.read_text(encoding="utf-8-sig"))
        fault = open_to_others(file) if is_held else ""
    except (OSError, UnicodeDecodeError):
        return ""  # said by whoever has to read it
    return f"database.url holds a password, and {fault}; {BETTER}" if fault else ""
