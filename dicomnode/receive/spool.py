"""The spool: files written whole or not at all, below ``<Study>/<Series>/<SOP instance>.<digest>.dcm``.

Bytes go to a temporary file on the spool's own file system; fsync, rename, fsync of the folders. A name that stands in
the spool stands for a whole file, also after a power cut.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from dicomnode.dicom.statuses import OUT_OF_RESOURCES
from dicomnode.dicom.uids import is_valid_uid
from dicomnode.errors import ReceiveError
from dicomnode.receive.folders import Folders, sync_folder

INCOMING = "incoming"
SUFFIX = ".dcm"
DIGEST_CHARACTERS = 16
"""Of the SHA-256 in a file name: 64 bits tell apart what one SOP instance UID was ever used for."""
RESERVE_CHECK_BYTES = 64 << 20
"""A large object asks again for the disk reserve every so often."""

_BUFFER_BYTES = 256 << 10
_COMMIT_TIMEOUT_S = 10.0
"""Of trying against somebody who removes folders; a count of attempts is used up in a millisecond on a busy machine."""


class Spool:
    """The folder of received instances.

    Parameters
    ----------
    root : made when absent, for this user only.
    owner : the node; several that share one spool keep their temporary files apart.
    receiver : of the node's receivers, from 0. The first removes what any of them left half-written.
    min_free_bytes : reserve of the file system below which nothing more is taken.
    max_instance_bytes : of one data set; 0: as large as it likes to be.
    is_there : whether the folder at ``root`` is the spool; where its mount is away, an empty folder is not.
    """

    def __init__(
        self,
        root: Path,
        *,
        owner: str = "node",
        receiver: int = 0,
        min_free_bytes: int = 0,
        max_instance_bytes: int = 0,
        is_there: Callable[[], bool] = lambda: True,
    ) -> None:
        self.root = root.absolute()
        self.is_there = is_there
        self.min_free_bytes = min_free_bytes
        self.max_instance_bytes = max_instance_bytes
        own = self.root / INCOMING / re.sub(r"[^A-Za-z0-9-]", "_", owner)
        self._incoming = own / str(receiver) if receiver else own
        self._durable = Folders(self.root)

    def prepare(self) -> int:
        """Make the folders and remove what a crash of this receiver left half-written; returns how many files.

        Call at start, before anything is received.

        Raises
        ------
        OSError : the spool is away, or cannot be written.
        """
        if not self.is_there():
            raise FileNotFoundError(errno.ENOENT, "the spool is away")
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._incoming.mkdir(parents=True, exist_ok=True)
        stale = [path for path in self._incoming.rglob("*") if path.is_file()]
        for path in stale:
            path.unlink()
        sync_folder(self._incoming)
        sync_folder(self.root.parent)
        return len(stale)

    def check_reserve(self) -> None:
        """Whether there is room for more.

        Raises
        ------
        ReceiveError : 0xA700, the reserve of the disk is reached, or the disk is away.
        """
        if not self.is_there():
            raise ReceiveError("the spool is away", OUT_OF_RESOURCES)
        try:
            free = shutil.disk_usage(self.root).free
        except OSError as fault:
            raise _refusal(fault) from fault
        if free < self.min_free_bytes:
            raise ReceiveError(f"disk reserve reached: {free} of {self.min_free_bytes} bytes free", OUT_OF_RESOURCES)

    def open(self, preamble: bytes) -> IncomingFile:
        """A new temporary file.

        Parameters
        ----------
        preamble : preamble, prefix and file meta information (DICOM PS3.10 7.1), not part of the digest.

        Raises
        ------
        ReceiveError : 0xA700, the reserve of the disk is reached or the file cannot be made.
        """
        self.check_reserve()
        return IncomingFile(self, self._incoming / f"{secrets.token_hex(16)}.part", preamble)

    def commit(
        self,
        incoming: IncomingFile,
        *,
        study_uid: str,
        series_uid: str,
        sop_instance_uid: str,
        unsynced: set[Path] | None = None,
    ) -> Path:
        """Make the bytes durable under their name; returns the path relative to the spool.

        Where the same bytes lie already they stay untouched and the temporary file goes.

        Parameters
        ----------
        unsynced : takes the folder that is still to be made durable (:meth:`sync`), and the temporary file stays until
            its owner discards it; None: the folder is made durable here.

        Raises
        ------
        ValueError : a UID that is no UID; nothing may be made of it that serves as a path.
        ReceiveError : 0xA700, the disk is full or failed; the temporary file is gone.
        """
        relative = relative_path(study_uid, series_uid, sop_instance_uid, incoming.digest)
        try:
            incoming.sync()
            self._place(incoming, self.root / relative, unsynced)
        except OSError as fault:
            incoming.discard()
            raise _refusal(fault) from fault
        if unsynced is None:
            incoming.discard()
        return relative

    def sync(self, folder: Path) -> None:
        """Make a folder durable that :meth:`commit` left to its caller, once for all files in it.

        Raises
        ------
        OSError : the disk failed; FileNotFoundError: retention took the folder, with the file that lay there before.
        """
        self._durable.sync(folder)

    def let_go(self) -> None:
        """Keep no folder open; call when nothing arrives."""
        self._durable.let_go()

    def _place(self, incoming: IncomingFile, target: Path, unsynced: set[Path] | None) -> None:
        """Rename and synchronise; again where retention takes an empty folder, or the same file, meanwhile."""
        deadline = time.monotonic() + _COMMIT_TIMEOUT_S
        while True:
            if not self.is_there():
                # Not "no such file": that is what retention leaves behind, and is tried again here.
                raise OSError(errno.ESTALE, "the spool is away")
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                if not target.exists():
                    incoming.path.rename(target)
                if unsynced is None:
                    self._durable.sync(target.parent)
                else:
                    unsynced.add(target.parent)
                return
            except (FileNotFoundError, FileExistsError):
                is_lost = not target.exists() and not incoming.path.exists()
                is_file = target.parent.is_file() or target.parent.parent.is_file()
                if is_lost or is_file or time.monotonic() > deadline:
                    raise

    def files(self) -> Iterator[Path]:
        """Every committed file, relative to the spool, in no order."""
        for study in self._folders(self.root):
            if study.name == INCOMING:
                continue
            for series in self._folders(Path(study.path)):
                with os.scandir(series.path) as entries:
                    for entry in entries:
                        if entry.name.endswith(SUFFIX) and entry.is_file(follow_symlinks=False):
                            yield Path(study.name, series.name, entry.name)

    @staticmethod
    def _folders(folder: Path) -> list[os.DirEntry[str]]:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if entry.is_dir(follow_symlinks=False)]


class IncomingFile:
    """A file that is being received. Belongs to one thread at a time; whole, it may be synchronised while it is read.

    Attributes
    ----------
    size_bytes : of the file so far, file meta information included.
    data_offset : where the data set begins.
    """

    def __init__(self, spool: Spool, path: Path, preamble: bytes) -> None:
        self.path = path
        self.size_bytes = self.data_offset = len(preamble)
        self._spool = spool
        self._hash = hashlib.sha256()
        self._unchecked_bytes = 0
        self._is_synced = False
        self._sync_fault: OSError | None = None
        try:
            self._file = path.open("xb", buffering=_BUFFER_BYTES)
            self._file.write(preamble)
        except OSError as fault:
            raise _refusal(fault) from fault

    @property
    def digest(self) -> str:
        """SHA-256 of the data set so far, hex."""
        return self._hash.hexdigest()

    def write(self, data: bytes | memoryview) -> None:
        """Append a part of the data set.

        Raises
        ------
        ReceiveError : 0xA700, the disk is full or failed.
        """
        try:
            self._file.write(data)
        except OSError as fault:
            raise _refusal(fault) from fault
        self._is_synced = False
        self._hash.update(data)
        self.size_bytes += len(data)
        self._unchecked_bytes += len(data)
        if self._unchecked_bytes >= RESERVE_CHECK_BYTES:
            self._unchecked_bytes = 0
            self._spool.check_reserve()

    def flush(self) -> None:
        """Hand all bytes to the operating system, so that the file can be read.

        Raises
        ------
        ReceiveError : 0xA700, the disk is full or failed.
        """
        try:
            self._file.flush()
        except OSError as fault:
            raise _refusal(fault) from fault

    def sync(self) -> None:
        """Bytes and size to the disk, unless they are there already.

        Raises
        ------
        OSError : the disk is full or failed.
        """
        if self._sync_fault is not None:
            raise self._sync_fault
        if self._is_synced:
            return
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as fault:
            # Kept: asked again, an operating system that has dropped the bytes says that all is well.
            self._sync_fault = fault
            raise
        self._is_synced = True

    def discard(self) -> None:
        """Close the file and remove it where it was not committed. May be called again, from any thread."""
        with contextlib.suppress(OSError):  # of what is still to be written to a full disk, and is thrown away here
            self._file.close()
        self.path.unlink(missing_ok=True)


def relative_path(study_uid: str, series_uid: str, sop_instance_uid: str, digest: str) -> Path:
    """Path of an instance in the spool.

    Raises
    ------
    ValueError : a UID that is no UID; nothing may be made of it that serves as a path.
    """
    for uid in (study_uid, series_uid, sop_instance_uid):
        if not is_valid_uid(uid):
            raise ValueError("not a UID, hence no file name")
    return Path(study_uid, series_uid, f"{sop_instance_uid}.{digest[:DIGEST_CHARACTERS]}{SUFFIX}")


def _refusal(fault: OSError) -> ReceiveError:
    """A failure of the disk passes: the sender is to try again, whatever the disk's reason was."""
    return ReceiveError(f"spool: {fault.strerror or type(fault).__name__}", OUT_OF_RESOURCES)
