"""Database and spool belong together: both carry one identity, and a mount that is absent is no empty node.

The identity stands in a row of the database and in a marker file of the spool. Apart, the node does not start; while it
runs, a spool without its marker is away: nothing is received, run or deleted until it is back.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicomnode.environment import said_by
from dicomnode.errors import EnvironmentFault
from dicomnode.store.engine import Store
from dicomnode.store.states import InstanceStatus
from dicomnode.store.tables import Event, Instance
from dicomnode.store.tables import Storage as Row

log = logging.getLogger(__name__)

MARKER = ".dicomnode-spool"
_NEWEST = 50
"""Files that a database without an identity knows last: one of them in the spool shows that the two belong together."""


class Storage:
    """The spool of a database.

    Parameters
    ----------
    root : of the spool.
    """

    def __init__(self, store: Store, root: Path) -> None:
        self._store, self._root = store, root.absolute()
        self._identity = ""
        self._was_there = True

    @property
    def marker(self) -> Path:
        """The file that tells whose spool it is."""
        return self._root / MARKER

    def bind(self) -> None:
        """At start: make sure that the spool is there and is this database's; a fresh install is given an identity.

        Raises
        ------
        EnvironmentFault : they belong to different nodes, the spool is away, or it cannot be written.
        sqlalchemy.exc.SQLAlchemyError : the database is away.
        """
        try:
            with self._store.write() as session:
                self._store.alone(session)
                identity = self._bind(session)
        except OSError as fault:
            what = f"node.data_dir: the spool {self._root} cannot be used ({said_by(fault)})"
            raise EnvironmentFault(what) from fault
        self._identity = identity

    def _bind(self, session: Session) -> str:
        row, marked = _row(session), self._marked()
        if row is None:
            identity = self._first_identity(session, marked)
            if not marked:
                self._mark(identity)
            now = time.time()
            session.add(Row(identity=identity, bound_at=now, seen_at=now))
            log.info("database and spool belong together from now on", extra={"storage": identity})
            if not marked and not _newest_files(session):
                facts = {"action": "storage", "path": str(self._root), "storage": identity}
                says = "a new and empty node: nothing was received here before; see node.require_existing"
                log.warning(says, extra=facts)
            return identity
        if row.identity != marked:
            raise EnvironmentFault(self._why_not(row.identity, marked))
        return row.identity

    def _first_identity(self, session: Session, marked: str) -> str:
        known = _newest_files(session)
        if known and not any((self._root / path).exists() for path in known):
            raise EnvironmentFault(
                f"{self._root} holds none of the files that the database knows: is it mounted, and is it this "
                "database's? Nothing was changed. Mount it, or correct node.data_dir or database.url."
            )
        if marked and not known and self._holds_files():
            raise EnvironmentFault(
                f"{self._root} is the spool of another database, and this one is empty: correct node.data_dir or "
                f"database.url. If that database is lost for good, delete {self.marker} and start again: the files are "
                "indexed anew."
            )
        return marked or secrets.token_hex(16)

    def _why_not(self, identity: str, marked: str) -> str:
        if marked:
            return (
                f"{self._root} is the spool of another database ({marked}, not {identity}): several nodes on one "
                "database share one spool. Correct node.data_dir or database.url."
            )
        return (
            f"{self._root} is not mounted, or is not the spool of this database: {MARKER} is missing there. Mount it, "
            f"or correct node.data_dir. If the old spool is lost for good: mkdir -p {self._root} && echo {identity} > "
            f"{self.marker}"
        )

    def is_there(self) -> bool:
        """Whether the spool of this database is at its place now; a database without an identity asks for none.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError : the database is away.
        """
        if not self._identity:
            with self._store.read() as session:
                row = _row(session)
            self._identity = "" if row is None else row.identity
        return not self._identity or self._marked() == self._identity

    def require(self) -> None:
        """Do nothing where the spool is there.

        Raises
        ------
        EnvironmentFault : it is away.
        sqlalchemy.exc.SQLAlchemyError : the database is away.
        """
        if not self.is_there():
            raise EnvironmentFault("the spool is away")

    def watch(self) -> None:
        """Say once that the spool went away, and once that it is back.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError : the database is away.
        """
        there = self.is_there()
        if there == self._was_there:
            return
        self._was_there = there
        facts = {"action": "storage", "path": str(self._root)}
        if there:
            log.warning("spool is back", extra=facts)
        else:
            log.error("spool is away: nothing is received, run or deleted until it is back", extra=facts)
        with self._store.write() as session:
            name = "spool_back" if there else "spool_away"
            session.add(Event(at=time.time(), subject="storage", name=name, detail={}))

    def _marked(self) -> str:
        """What the marker says; empty where it cannot be read."""
        try:
            return self.marker.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return ""

    def _holds_files(self) -> bool:
        return any(path.is_dir() and path.name[:1].isdigit() for path in self._root.iterdir())

    def _mark(self, identity: str) -> None:
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = self.marker.with_name(f"{MARKER}.{secrets.token_hex(8)}")
        with temporary.open("x", encoding="ascii") as file:
            file.write(f"{identity}\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.marker)
        descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _row(session: Session) -> Row | None:
    return session.scalars(select(Row).order_by(Row.id).limit(1)).one_or_none()


def _newest_files(session: Session) -> Sequence[str]:
    kept = select(Instance.path).where(Instance.status != InstanceStatus.PURGED)
    return session.scalars(kept.order_by(Instance.id.desc()).limit(_NEWEST)).all()
