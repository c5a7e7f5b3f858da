"""What the node writes is for its own user alone: images, database, results, models."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url

from dicomnode.config.whole import Config

log = logging.getLogger(__name__)

PRIVATE_UMASK = 0o077
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_DATABASE_FILES = ("", "-wal", "-shm", "-journal")


@contextmanager
def private_files() -> Iterator[None]:
    """Whatever this process and its children write inside the block is for its user alone: 0600, folders 0700."""
    before = os.umask(PRIVATE_UMASK)
    try:
        yield
    finally:
        os.umask(before)


def close_to_others(config: Config) -> int:
    """Close what an earlier version of the node left open to others; returns how much that was.

    Only what is the node's own: ``data_dir`` may be a folder that holds more.
    """
    closed = sum(_close(path) for path in _own(config))
    if closed:
        log.warning("files were open to other users of this machine; they are closed now", extra={"count": closed})
    return closed


def _own(config: Config) -> Iterator[Path]:
    for top in (config.spool_dir, config.work_dir, config.models_dir):
        yield top
        for folder, folders, files in os.walk(top):
            yield from (Path(folder, name) for name in (*folders, *files))
    yield from config.node.data_dir.glob(".*.lock")
    url = make_url(config.database_url)
    if url.get_backend_name() == "sqlite" and url.database:
        yield from (Path(f"{url.database}{suffix}") for suffix in _DATABASE_FILES)


def _close(path: Path) -> bool:
    """Whether it was open, and is closed now."""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode) or not mode & _OTHERS:
            return False
        path.chmod(stat.S_IMODE(mode) & ~_OTHERS)
    except FileNotFoundError:
        return False
    except OSError as fault:
        # On a file system without modes, or of another user: a reason to be told, not to receive nothing.
        log.warning("cannot be closed to others", extra={"action": "permissions", "error": type(fault).__name__})
        return False
    return True
