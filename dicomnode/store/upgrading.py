"""A new version of the node on the database of an older one: copied first, then brought up to date."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from pathlib import Path

from dicomnode.errors import EnvironmentFault
from dicomnode.store.engine import Store
from dicomnode.store.opening import Schema, schema_at, up_to_date_store
from dicomnode.store.saving import revision_of, save_database

log = logging.getLogger(__name__)

KEPT = 3
"""Copies; an older one goes when a new one is made."""


def upgraded_store(url: str, copies: Path | None) -> Store:
    """The database of a running node, as :func:`~dicomnode.store.opening.up_to_date_store`.

    Parameters
    ----------
    copies : folder for a copy of a database whose schema is about to change; None: none is made.

    Raises
    ------
    ConfigError : the driver is not installed.
    DatabaseUnusable : it is of a newer version, or cannot be used.
    EnvironmentFault : it could not be copied; nothing was changed.
    """
    if copies is not None and schema_at(url) is Schema.OLDER:
        log.warning("database copied before its schema changes", extra={"path": str(_copy(url, copies))})
    return up_to_date_store(url)


def _copy(url: str, folder: Path) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    path = folder / f"{stamp}-{revision_of(url)}.database"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        save_database(url, path)
    except (EnvironmentFault, OSError) as fault:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        says = "or set database.backup_before_upgrade = false after a backup of your own"
        raise EnvironmentFault(
            f"the database is not upgraded, since it cannot be copied: {fault}; mend that, {says}"
        ) from fault
    for old in sorted(folder.glob("*.database"))[:-KEPT]:
        old.unlink(missing_ok=True)
    return path
