"""What a backup holds: the manifest that names and digests it, and the files of a data folder that belong in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from dicomnode.config.whole import Config
from dicomnode.store.opening import sqlite_file
from dicomnode.store.storage import MARKER

MANIFEST = "backup.json"
DATABASE = "database"
CONFIGURATION = "config.toml"
DATA = "data"
FORMAT = 1
SPOOL = "spool"
_NOT_SAVED = frozenset({SPOOL, "upgrades"})
"""Of the data folder: the spool goes by its rows, copies of old schemas stay where they are."""


class Manifest(BaseModel):
    """What a backup says of itself.

    Attributes
    ----------
    format : of the backup.
    database : ``sqlite`` or ``postgresql``.
    revision : of the schema.
    storage : identity that database and spool share.
    with_images : whether the received images are in it.
    digest : sha256 of the database's file.
    """

    model_config = ConfigDict(frozen=True)

    format: int
    node_version: str
    made_at: str
    database: str
    revision: str
    storage: str
    with_images: bool
    digest: str


def data_files(config: Config, images: Iterable[str]) -> Iterator[tuple[Path, str]]:
    """Files below the data folder that belong in a backup, each with its name there.

    Parameters
    ----------
    images : paths below the spool; those that retention has taken meanwhile are passed over.
    """
    root = config.node.data_dir
    database = sqlite_file(config.database_url)
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if path.is_file() and not path.is_symlink() and not _is_left_out(relative) and not _is_of(database, path):
            yield path, f"{DATA}/{relative}"
    for name in (MARKER, *images):
        path = config.spool_dir / name
        if path.is_file():
            yield path, f"{DATA}/{SPOOL}/{name}"


def _is_left_out(relative: Path) -> bool:
    top = relative.parts[0]
    return top in _NOT_SAVED or (top.startswith(".") and top.endswith(".lock"))


def _is_of(database: Path | None, path: Path) -> bool:
    """Whether a file is the database, or one of those that SQLite keeps beside it: it is saved as such."""
    return database is not None and path.parent == database.parent and path.name.startswith(database.name)


def digest_of(path: Path) -> str:
    """sha256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
