"""The folder of a node: one node of a role has it for itself."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path
from typing import IO

from sqlalchemy.exc import SQLAlchemyError

from dicomnode.app.role import Role
from dicomnode.config.whole import Config
from dicomnode.environment import said_by
from dicomnode.errors import EnvironmentFault
from dicomnode.store.opening import database_fault
from dicomnode.store.storage import Storage


def exclusive_folder(config: Config, role: Role) -> IO[str]:
    """The claim to the folder; it ends where the file is closed.

    Raises
    ------
    EnvironmentFault : the folder cannot be used, or another node of this role and name has it.
    """
    folder = config.node.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / f".{'-'.join(filter(None, (role, config.node.name)))}.lock").open("w")
    except OSError as fault:
        raise folder_fault(folder, fault) from fault
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as fault:
        lock.close()
        says = f"node.data_dir: another dicomnode (role {role}) runs on {folder}; several have a node.name each"
        raise EnvironmentFault(says) from fault
    lock.write(f"{os.getpid()} {socket.gethostname()}")
    lock.flush()
    return lock


def folder_fault(folder: Path, fault: OSError) -> EnvironmentFault:
    """That a folder cannot be used, and why."""
    return EnvironmentFault(f"node.data_dir: {folder} cannot be used ({said_by(fault)})")


def bind(config: Config, storage: Storage) -> None:
    """Tie the storage to its database, and make the folder of what is at work.

    Raises
    ------
    EnvironmentFault : the database or a folder cannot be used.
    """
    try:
        storage.bind()
        config.work_dir.mkdir(parents=True, exist_ok=True)
    except SQLAlchemyError as fault:
        raise database_fault(config.database_url, fault) from fault
    except OSError as fault:
        raise folder_fault(config.work_dir, fault) from fault
