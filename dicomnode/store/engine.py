"""The connection: SQLite in WAL mode or PostgreSQL, migrated at start.

Every unit of work is one transaction: ``with store.write() as session``. SQLite takes its write lock at BEGIN, so that
a read inside a write transaction is never stale; PostgreSQL relies on guarded updates and row locks.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.orm import Session, sessionmaker

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_TIMEOUT_S = 20.0
CONNECT_TIMEOUT_S = 10


class Store:
    """Sessions on one database.

    Parameters
    ----------
    url : ``sqlite:///path`` or ``postgresql+psycopg://user@host/name``.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = _engine(url)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        self._for_reading = self.engine.execution_options(dicomnode_read_only=True, postgresql_readonly=True)

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One transaction: commits at the end, rolls back on any error."""
        with self._sessions.begin() as session:
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for reading; nothing is kept of what is written in it. PostgreSQL refuses to write in it."""
        with self._sessions(bind=self._for_reading) as session:
            yield session
            if self.engine.dialect.name == "postgresql":
                # psycopg forgets with each ROLLBACK which statements the server has prepared.
                session.expunge_all()
                session.commit()

    def migrate(self) -> None:
        """Bring the schema up to date; safe to call from several processes and at every start."""
        with self.engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(20260721)")
            command.upgrade(alembic_config(connection), "head")

    def alone(self, session: Session) -> None:
        """Until the transaction ends whoever else calls this waits; on SQLite a writing transaction is alone anyway."""
        if self.engine.dialect.name == "postgresql":
            session.execute(text("SELECT pg_advisory_xact_lock(20260722)"))

    def close(self) -> None:
        """Close all pooled connections."""
        self.engine.dispose()


def alembic_config(connection: Connection | None = None) -> AlembicConfig:
    """Alembic's configuration for the migrations that ship with the package."""
    config = AlembicConfig()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def _engine(url: str) -> Engine:
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(
            url,
            pool_pre_ping=True,
            pool_size=10,
            max_overflow=20,
            hide_parameters=True,
            connect_args={} if "connect_timeout" in make_url(url).query else {"connect_timeout": CONNECT_TIMEOUT_S},
        )
    database = make_url(url).database
    if database and database != ":memory:":
        # Where it cannot be made, SQLite says so when it opens the file.
        with suppress(OSError):
            Path(database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url,
        connect_args={"timeout": BUSY_TIMEOUT_S, "autocommit": True}
        if hasattr(sqlite3, "LEGACY_TRANSACTION_CONTROL")
        else {"timeout": BUSY_TIMEOUT_S, "isolation_level": None},
        pool_size=10,
        max_overflow=20,
        hide_parameters=True,  # an error is logged, and a row may hold what a log must not
    )
    event.listen(engine, "do_connect", _make_private)
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_private(_dialect: Any, _record: Any, arguments: list[Any], _named: Any) -> None:
    """Make the file for this user alone before SQLite would make it for all; its ``-wal`` and ``-shm`` follow it."""
    path = str(arguments[0]) if arguments else ""
    if path and path != ":memory:" and not path.startswith("file:") and not os.path.exists(path):
        # Never one that is there: to close any descriptor of a file drops the locks that SQLite holds on it.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _configure_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    # FULL: C-STORE Success promises the row as much as the bytes, also through a power cut.
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    read_only = connection.get_execution_options().get("dicomnode_read_only", False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
