"""The drop folder: documents with values and texts of patients are stored, then moved to ``done`` or ``failed``.

A document is moved only after it was stored and committed: what a crash leaves in the folder is read again, and a
repeat is one row. File names are the sender's and may name a patient: no log line has one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from dicomnode.clinical.sources.document import MAX_BYTES, Document, Reader
from dicomnode.errors import ContextError, ContextRefusal
from dicomnode.store.clinical.observations import store_context
from dicomnode.store.engine import Store

log = logging.getLogger(__name__)

DONE, FAILED = "done", "failed"
REASON = ".reason.txt"
SETTLED_S = 1.0
"""A document that was written to this long ago is whole; one that grows is left for the next look."""
SUFFIXES = frozenset({".json", ".csv"})
"""Others are left alone: a sender may write under another name and rename what is whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DropFolder:
    """A folder that is looked at again and again.

    Attributes
    ----------
    zone : of times without an offset.
    issuer : of patient IDs that state none.
    """

    store: Store
    folder: Path
    zone: ZoneInfo
    issuer: str = ""

    def look(self) -> int:
        """Take every whole document; returns how many were taken, stored or refused.

        Raises
        ------
        SQLAlchemyError : the database is away; what was not stored stays in the folder.
        """
        taken = 0
        try:
            self._make_folders()
            for path in self._whole():
                taken += self._take(path)
        except OSError as fault:
            log.error("drop folder cannot be used", extra={"reason": fault.strerror})
        return taken

    def purge(self, before: float) -> int:
        """Delete documents that were moved before a moment, with their reasons; returns how many files went."""
        gone = 0
        for folder in (self.folder / DONE, self.folder / FAILED):
            for path in folder.glob("*"):
                with contextlib.suppress(OSError):
                    # when it was moved, not when its sender wrote it
                    if path.lstat().st_ctime < before:
                        path.unlink()
                        gone += 1
        return gone

    def _make_folders(self) -> None:
        for name in (DONE, FAILED):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    def _whole(self) -> Iterator[Path]:
        """Regular files that nobody writes to any more, by name."""
        for path in sorted(self.folder.iterdir()):
            if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
                continue
            with contextlib.suppress(FileNotFoundError):
                found = path.lstat()
                if stat.S_ISREG(found.st_mode) and time.time() - found.st_mtime >= SETTLED_S:
                    yield path

    def _take(self, path: Path) -> bool:
        """False where another node has taken it."""
        try:
            document = self._read(path)
        except FileNotFoundError:
            return False
        except ContextError as fault:
            self._refuse(path, fault)
            return True
        with self.store.write() as session:
            stored = store_context(session, document.observations, document.texts)
        self._move(path, DONE)
        log.info("context stored", extra={"new": stored.new, "known": stored.known})
        return True

    def _read(self, path: Path) -> Document:
        try:
            with path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except PermissionError as fault:
            raise ContextError([("", ContextRefusal.NOT_READABLE)]) from fault
        return Reader(zone=self.zone, issuer=self.issuer).read(content)

    def _refuse(self, path: Path, fault: ContextError) -> None:
        """Beside the document stands why: first the reason, so that no refused document is without."""
        target = self._free(FAILED, path.name)
        reason = target.with_name(target.name + REASON)
        with reason.open("w", encoding="utf-8") as file:
            file.write(f"{fault}\n")
            file.flush()
            os.fsync(file.fileno())
        self._rename(path, target)
        codes = sorted({ContextRefusal(why).value for _, why in fault.faults})
        log.warning("context refused", extra={"reasons": codes, "faults": len(fault.faults)})

    def _move(self, path: Path, to: str) -> None:
        self._rename(path, self._free(to, path.name))

    def _rename(self, path: Path, target: Path) -> None:
        with contextlib.suppress(FileNotFoundError):  # another node was first
            path.rename(target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _free(self, to: str, name: str) -> Path:
        """A name that no earlier document has."""
        target = self.folder / to / name
        number = 1
        while target.exists():
            number += 1
            target = self.folder / to / f"{Path(name).stem}-{number}{Path(name).suffix}"
        return target
