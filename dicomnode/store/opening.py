"""Opening the database: the node brings it up to date, commands take it as it is; every fault is a sentence.

A command creates and migrates nothing: an empty database in the wrong folder would say "none" about a node that works,
and a new version must not change the schema below a node of the old one that still runs.
"""

from __future__ import annotations

import os
import pwd
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import create_engine, inspect, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from dicomnode.errors import ConfigError, DatabaseUnusable
from dicomnode.store.engine import BUSY_TIMEOUT_S, Store, alembic_config

POSTGRES_EXTRA = (
    "database.url names PostgreSQL, whose driver is not installed: pip install 'dicomnode[postgres]', or in a checkout "
    ".venv/bin/pip install --constraint constraints.txt --editable '.[postgres]'"
)
_HINTS = {
    "refused": "does the server run, and do host and port of database.url fit?",
    "resolve": "is the host of database.url right?",
    "no such file": "does the server run, and do host and port of database.url fit?",
    "password": "put the password into ~/.pgpass of the node's user, or into PGPASSWORD",
    "role": "create the role there (createuser), or correct the user of database.url",
    "timeout": "does the server answer from this machine?",
    "pg_hba": "allow this machine and user in pg_hba.conf",
    "is not a database": "the file is another one, or damaged: move it away, or correct node.data_dir or database.url",
    "malformed": "it is damaged: restore a backup of it, or move it away and start anew",
    "full": "the disk is full: make room on it",
    "i/o error": "is its disk still there, and not full?",
    "locked": "another process holds it: try again",
}
"""What a database or its driver says, in part and in lower case -> what to do."""


class Schema(StrEnum):
    """How the tables of a database stand to those of this version."""

    CURRENT = "current"
    OLDER = "older"
    NEWER = "newer"
    NONE = "none"


def up_to_date_store(url: str) -> Store:
    """The database of a running node: made where there is none, its schema brought up to date.

    Raises
    ------
    ConfigError : the driver is not installed.
    DatabaseUnusable : with what to do.
    """
    with _sentences(url):
        store = Store(url)
        try:
            store.migrate()
        except BaseException:
            store.close()
            raise
        return store


@contextmanager
def existing_store(url: str) -> Iterator[Store]:
    """The database as it is, for a command.

    Raises
    ------
    ConfigError : the driver is not installed.
    DatabaseUnusable : there is none, it is of another version, or it cannot be used, also within the ``with`` block.
    """
    with _sentences(url):
        _require_file(url)
        _require_current(_look(url), url)
        store = Store(url)
        try:
            yield store
        finally:
            store.close()


def schema_at(url: str) -> Schema:
    """How the tables of a database stand; nothing is made, and a SQLite file that is not there holds none.

    Raises
    ------
    ConfigError : the driver is not installed.
    DatabaseUnusable : it is of a newer version, or cannot be used.
    """
    path = sqlite_file(url)
    with _sentences(url):
        schema = Schema.NONE if path is not None and not path.exists() else _look(url)
    if schema is Schema.NEWER:
        _require_current(schema, url)
    return schema


def require_existing(url: str) -> None:
    """Do nothing where a node has worked on this database; nothing is made.

    Raises
    ------
    ConfigError : the driver is not installed.
    DatabaseUnusable : there is none, or none that holds tables of dicomnode; or it cannot be used.
    """
    if schema_at(url) is Schema.NONE:
        raise DatabaseUnusable(f"{_where(url)} {NO_NODE_YET}")


NO_NODE_YET = (
    "is not there or is empty, and node.require_existing is true: is its disk mounted, and is it the right one? For "
    "the first start of a new node, or where the data is lost for good, set it to false"
)


def _look(url: str) -> Schema:
    """How the tables stand. The file may be another program's: it is read, not even its journal mode is changed."""
    path = sqlite_file(url)
    engine = Store(url).engine if path is None else create_engine("sqlite://", creator=lambda: _read_only(path))
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return Schema.NONE
            revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    finally:
        engine.dispose()
    if revision == ScriptDirectory.from_config(alembic_config()).get_current_head():
        return Schema.CURRENT
    return Schema.OLDER if is_known_revision(str(revision)) else Schema.NEWER


def is_known_revision(revision: str) -> bool:
    """Whether this version knows a schema: it is its own, or an older one."""
    scripts = ScriptDirectory.from_config(alembic_config())
    return revision in {script.revision for script in scripts.walk_revisions()}


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S)


def sqlite_file(url: str) -> Path | None:
    """The file of a SQLite database; None for another database, or one in memory."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        return None
    return Path(str(parsed.database))


def _require_file(url: str) -> None:
    path = sqlite_file(url)
    if path is None:
        return
    try:
        path.stat()
    except PermissionError as fault:
        raise DatabaseUnusable(f"the database {path} cannot be read{_whose(path)}") from fault
    except OSError as fault:
        says = f"there is no database at {path}: the node makes it when it first starts (dicomnode serve)"
        raise DatabaseUnusable(
            f"{says}; if it runs already, name its configuration with --config{_nearby()}"
        ) from fault


def _nearby() -> str:
    """A hint for those whose ``data_dir`` was relative to the working directory, as it was once."""
    here = Path("data/node.db").absolute()
    return f" (there is one at {here}: a relative data_dir belongs to the folder of its file)" if here.exists() else ""


def _require_current(schema: Schema, url: str) -> None:
    where = _where(url)
    if schema is Schema.NONE:
        says = f"{where} holds no tables of dicomnode: the node makes them at its first start ('dicomnode serve')"
        raise DatabaseUnusable(says)
    if schema is Schema.OLDER:
        says = f"{where} is of an older version of dicomnode: 'dicomnode serve' brings it up to date when it starts"
        raise DatabaseUnusable(says)
    if schema is Schema.NEWER:
        raise DatabaseUnusable(f"{where} {_OF_NEWER}")


_OF_NEWER = (
    "is of a newer version of dicomnode, or of another program: install that version, bring back the copy that was "
    "made before the upgrade (docs/life-cycle.md), or correct database.url"
)


@contextmanager
def _sentences(url: str) -> Iterator[None]:
    """Errors of the database and of its driver as sentences.

    Raises
    ------
    ConfigError : the driver is not installed.
    DatabaseUnusable : with what to do.
    """
    try:
        yield
    except ImportError as fault:
        if fault.name not in ("psycopg", "psycopg_binary", "psycopg_c") and "libpq" not in str(fault):
            raise
        raise ConfigError([POSTGRES_EXTRA]) from fault
    except CommandError as fault:
        raise DatabaseUnusable(f"{_where(url)} {_OF_NEWER}") from fault
    except (SQLAlchemyError, PermissionError) as fault:
        raise database_fault(url, fault) from fault


def database_fault(url: str, fault: Exception) -> DatabaseUnusable:
    """An error of a database or of its driver, to be raised with what to do."""
    return DatabaseUnusable(_says_of(url, fault))


def _says_of(url: str, fault: Exception) -> str:
    """An error of the database as a sentence: which database, what it says, what to do."""
    path = sqlite_file(url)
    lines = str(getattr(fault, "orig", None) or fault).strip().splitlines()
    said = lines[0] if lines else type(fault).__name__
    if path is not None and path.is_dir():
        return f"the database cannot be used: {path} is a folder, not a file"
    if path is not None and any(part in said for part in ("unable to open", "readonly database")):
        return f"the database cannot be used: {path} ({said}){_whose(path)}"
    hint = next((hint for part, hint in _HINTS.items() if part in said.lower()), "")
    if "database" in said and "does not exist" in said:
        hint = "create it there (createdb), or correct database.url"
    return f"the database cannot be used: {_name(url)} ({said}){f': {hint}' if hint else ''}"


def _where(url: str) -> str:
    return f"the database {_name(url)}"


def _name(url: str) -> str:
    path = sqlite_file(url)
    return str(path) if path is not None else make_url(url).render_as_string(hide_password=True)


def _whose(path: Path) -> str:
    """Whom the command must be run as, where file or folder belongs to another user."""
    near = next((one for one in (path, *path.parents) if _is_seen(one)), path.parent)
    if os.access(near, os.R_OK | os.W_OK):
        return ": is its disk still there, and not full?"
    try:
        owner = pwd.getpwuid(near.stat().st_uid).pw_name
    except (OSError, KeyError):
        return ": this user may not use it"
    return f": {near} belongs to {owner}; run this as that user (sudo -u {owner} dicomnode ...)"


def _is_seen(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False
