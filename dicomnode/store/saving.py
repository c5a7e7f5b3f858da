"""A database as one file and back: SQLite by its online backup, PostgreSQL by pg_dump and pg_restore.

Both give one moment of a database that goes on being written.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from sqlalchemy import make_url, text
from sqlalchemy.engine import URL

from dicomnode.errors import EnvironmentFault
from dicomnode.store.engine import BUSY_TIMEOUT_S, Store
from dicomnode.store.opening import sqlite_file

SQLITE, POSTGRESQL = "sqlite", "postgresql"
_AS_HERE = ("--no-owner", "--no-privileges")
"""Tables belong to whoever brings them back."""


def kind_of(url: str) -> str:
    """``sqlite`` or ``postgresql``."""
    return SQLITE if make_url(url).get_backend_name() == SQLITE else POSTGRESQL


def revision_of(url: str) -> str:
    """Revision of the schema, as Alembic names it.

    Raises
    ------
    sqlalchemy.exc.SQLAlchemyError : the database is away, or holds no tables of the node.
    """
    store = Store(url)
    try:
        with store.read() as session:
            return str(session.execute(text("SELECT version_num FROM alembic_version")).scalar())
    finally:
        store.close()


def save_database(url: str, path: Path) -> None:
    """Write the database to a file that is not there yet, for this user alone.

    Raises
    ------
    EnvironmentFault : the tools of PostgreSQL are not installed or fail, or the disk does; what to do.
    """
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    if kind_of(url) == POSTGRESQL:
        _run("pg_dump", "--format=custom", *_AS_HERE, f"--file={path}", url=url)
        return
    source = sqlite_file(url)
    if source is None:
        raise EnvironmentFault("a database in memory cannot be saved")
    try:
        with closing(_opened(source)) as here, closing(sqlite3.connect(path)) as there:
            here.backup(there)
            # in one file, without the journal that the copy's header asks for
            there.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as fault:
        raise EnvironmentFault(f"the database {source} cannot be saved ({fault})") from fault


def load_database(path: Path, url: str) -> None:
    """Fill an empty database from a file of :func:`save_database`.

    Raises
    ------
    EnvironmentFault : as :func:`save_database`; or there is a database already.
    """
    if kind_of(url) == POSTGRESQL:
        _run("pg_restore", *_AS_HERE, "--exit-on-error", "--single-transaction", str(path), url=url)
        return
    target = sqlite_file(url)
    if target is None or target.exists():
        raise EnvironmentFault(f"the database {target} is there already; move it away")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(path, target)
        target.chmod(0o600)
    except OSError as fault:
        raise EnvironmentFault(f"the database {target} cannot be written ({fault.strerror})") from fault


def _opened(source: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S)


def _run(program: str, *arguments: str, url: str) -> None:
    """Run a tool of PostgreSQL; the password goes by the environment, where other users do not see it."""
    found = shutil.which(program)
    if found is None:
        raise EnvironmentFault(f"{program} is not installed: apt-get install postgresql-client, as new as the server")
    parsed = make_url(url)
    environment = {**os.environ, **({"PGPASSWORD": str(parsed.password)} if parsed.password else {})}
    command = [found, *arguments, f"--dbname={_libpq(parsed)}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        said = next(iter(done.stderr.strip().splitlines()), "no reason given")
        raise EnvironmentFault(f"{program} failed: {said}")


def _libpq(url: URL) -> str:
    """A URL of SQLAlchemy as one of libpq, without the password."""
    plain = url.set(drivername=POSTGRESQL)._replace(password=None)
    return plain.render_as_string(hide_password=False)
