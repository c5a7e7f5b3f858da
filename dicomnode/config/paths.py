"""Paths of a configuration: a relative one is relative to the folder of the file that holds it.

So every command finds the same data, from whatever folder it is called. ``~`` is the home of the user.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo

SQLITE = "sqlite:///"


def resolved(path: Path, base: Path | None) -> Path:
    """A path of the configuration, made absolute by the folder ``base``; as it is where there is none.

    Raises
    ------
    ValueError : it begins with ``~``, and there is no such user.
    """
    try:
        path = path.expanduser()
    except RuntimeError as fault:
        raise ValueError(f"{path}: there is no such home folder") from fault
    return path if base is None else base / path


def _base_of(info: ValidationInfo) -> Path | None:
    return info.context.get("base") if isinstance(info.context, dict) else None


def _path(value: Path, info: ValidationInfo) -> Path:
    return resolved(value, _base_of(info))


def _file_name(value: str, info: ValidationInfo) -> str:
    return str(resolved(Path(value), _base_of(info))) if value else value


def _database_url(value: str, info: ValidationInfo) -> str:
    path = value.removeprefix(SQLITE)
    if path == value or not path or path.startswith(("/", ":memory:", "file:")):
        return value
    return f"{SQLITE}{resolved(Path(path), _base_of(info))}"


ConfigPath = Annotated[Path, AfterValidator(_path)]
FileName = Annotated[str, AfterValidator(_file_name)]
"""Text that names a file; empty: none."""
DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
"""A URL of SQLAlchemy; the file of SQLite is a path of the configuration."""
