"""Whether the node does what it is there for: receives, stores, has a worker, and its database and spool agree."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from dicomnode.config.whole import Config
from dicomnode.ops.state import NodeState
from dicomnode.store.clock import last_seen_at
from dicomnode.store.engine import Store
from dicomnode.store.storage import Storage

GB = 1e9


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a node must be able to do. ``says`` names no patient."""

    what: str
    ok: bool
    says: str = ""


class Readiness:
    """Looks at a node; writes nothing and takes no lock."""

    def __init__(self, config: Config, store: Store) -> None:
        self._config, self._store = config, store
        self._storage = Storage(store, config.spool_dir)

    def checks(self, state: NodeState) -> list[Check]:
        """All that its role asks for."""
        return [*self._parts(state), self._disk(), *self._database()]

    def _parts(self, state: NodeState) -> Iterator[Check]:
        if state.has_failed:
            yield Check("parts", False, "a part of the node died")
        if state.receives is not None:
            yield Check("receives", state.receives, "" if state.receives else "the DICOM port is closed")
        if state.works is not None:
            yield Check("works", state.works, "" if state.works else state.worker_fault or "no worker is ready yet")

    def _disk(self) -> Check:
        try:
            free_gb = shutil.disk_usage(self._config.spool_dir).free / GB
        except OSError as fault:
            return Check("stores", False, f"the spool cannot be read ({fault.strerror})")
        reserve = self._config.reception.min_free_gb
        is_ok = free_gb > reserve
        return Check("stores", is_ok, "" if is_ok else f"{free_gb:.1f} GB free, {reserve:g} GB are the reserve")

    def _database(self) -> Iterator[Check]:
        try:
            with self._store.read() as session:
                last_seen_at(session)
            is_there = self._storage.is_there()
        except SQLAlchemyError as fault:
            yield Check("database", False, f"the database is away ({type(fault).__name__})")
            return
        yield Check("database", True)
        yield Check("spool", is_there, "" if is_there else "the spool is not that of the database, or is away")
