"""A running Storage SCP with its spool and database, and what tests ask of them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import select

from dicomnode.config.whole import Config
from dicomnode.receive.scp import StorageScp, spool_of
from dicomnode.receive.spool import INCOMING
from dicomnode.store.engine import Store
from dicomnode.store.tables import Association, Instance, Series


class Reception:
    """Started on a free port of the loopback address."""

    def __init__(self, store: Store, data_dir: Path, *, owner: str, senders: tuple, **reception: object) -> None:
        destinations, port = reception.pop("destinations", ()), reception.pop("port", 0)
        reception = {"min_free_gb": 0, "settle_s": 0.2, **reception}
        self.config = Config.model_validate(
            {
                "node": {"ae_title": "NODE", "host": "127.0.0.1", "port": port, "data_dir": data_dir},
                "reception": reception,
                "sender": senders,
                "destination": destinations,
            }
        )
        self.store = store
        self.spool = spool_of(self.config, owner)
        self.scp = StorageScp(self.config, store, self.spool, owner)
        self.scp.start()

    @property
    def port(self) -> int:
        return self.scp.port

    def instances(self) -> list[Instance]:
        with self.store.read() as session:
            return list(session.scalars(select(Instance).order_by(Instance.id)))

    def series(self) -> list[Series]:
        with self.store.read() as session:
            return list(session.scalars(select(Series).order_by(Series.id)))

    def associations(self) -> list[Association]:
        with self.store.read() as session:
            return list(session.scalars(select(Association).order_by(Association.id)))

    def ended_association(self) -> Association:
        """The only association, once its end is recorded."""
        wait_until(lambda: self.associations() and self.associations()[0].ended_at is not None)
        (association,) = self.associations()
        return association

    def files(self) -> list[Path]:
        """Committed files, relative to the spool."""
        return sorted(self.spool.files())

    def half_files(self) -> list[Path]:
        return [path for path in (self.spool.root / INCOMING).rglob("*") if path.is_file()]

    def everything_below(self) -> list[Path]:
        """All files of the data folder and beside it, wherever a hostile name might have put them."""
        return [path for path in self.spool.root.parent.parent.rglob("*") if path.is_file()]


def wait_until(condition: Callable[[], object], timeout_s: float = 60.0) -> None:
    """Until ``condition`` holds; fails the test where it never does."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        time.sleep(0.02)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
