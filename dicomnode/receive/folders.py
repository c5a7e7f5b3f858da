"""Folders of the spool made durable: a new one with those above it, one that is known alone."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

MOST_HELD = 8
"""Series that arrive at the same time; of further ones the folders above are synchronised again."""


class Folders:
    """Which folders of series are durable together with their own entry in the folders above.

    Each is held open: as long as it is, no other folder can have its inode. So a folder that stands under the same
    path with the same inode is the one that was synchronised, and not one that somebody made in its place. Several
    folders may be synchronised at once: the lock is of what is held alone.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._held: dict[Path, int] = {}
        self._lock = threading.Lock()

    def sync(self, folder: Path) -> None:
        """Make the entries of a series' folder durable, and the folder itself.

        Raises
        ------
        OSError : the disk failed; FileNotFoundError: somebody removed it.
        """
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
            with self._lock:
                is_held = self._is_held(folder, descriptor)
            if not is_held:
                # Each time: whoever made one of them may not have synchronised it yet.
                sync_folder(folder.parent)
                sync_folder(self._root)
                with self._lock:
                    self._hold(folder, descriptor)
                return
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)

    def let_go(self) -> None:
        """Hold none: a file system whose folders are open cannot be unmounted."""
        with self._lock:
            while self._held:
                os.close(self._held.popitem()[1])

    def _is_held(self, folder: Path, descriptor: int) -> bool:
        held = self._held.get(folder)
        return held is not None and os.path.samestat(os.fstat(held), os.fstat(descriptor))

    def _hold(self, folder: Path, descriptor: int) -> None:
        with contextlib.suppress(KeyError):
            os.close(self._held.pop(folder))
        self._held[folder] = descriptor
        if len(self._held) > MOST_HELD:
            os.close(self._held.pop(next(iter(self._held))))


def sync_folder(folder: Path) -> None:
    """Make the entries of a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
