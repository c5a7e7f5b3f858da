"""A backup of a node that may run meanwhile: first one moment of its database, then the files that it names.

A file stands before its row does, so that whatever the saved database names is there. What came later is in the backup
without a row, and is indexed at the next start.
"""

from __future__ import annotations

import os
import secrets
import tarfile
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select

import dicomnode
from dicomnode.app.backup.contents import CONFIGURATION, DATABASE, FORMAT, MANIFEST, Manifest, data_files, digest_of
from dicomnode.config.whole import Config
from dicomnode.errors import BackupRefusal, BackupRefused
from dicomnode.store.engine import Store
from dicomnode.store.saving import kind_of, revision_of, save_database
from dicomnode.store.states import InstanceStatus
from dicomnode.store.tables import Instance, Storage


@dataclass(frozen=True, slots=True)
class Made:
    """What was written."""

    path: Path
    files: int
    size_bytes: int


def make_backup(config: Config, store: Store, out: Path, *, config_file: Path, with_images: bool = True) -> Made:
    """Write a node to one file, for this user alone.

    Parameters
    ----------
    config_file : goes along, to be looked at: what it holds is not brought back.
    with_images : False: without the images that were received; jobs that still need them end refused.

    Raises
    ------
    BackupRefused : the file is there already.
    EnvironmentFault : the database cannot be saved.
    OSError : the file cannot be written.
    """
    if out.exists():
        raise BackupRefused(BackupRefusal.FILE_EXISTS, str(out))
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(4)}")
    try:
        with tempfile.TemporaryDirectory(prefix=".backup-", dir=out.absolute().parent) as scratch:
            saved = Path(scratch) / DATABASE
            save_database(config.database_url, saved)
            manifest = _manifest(config, store, saved, with_images)
            files = _write(temporary, config, manifest, saved, config_file, _images(store) if with_images else [])
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    return Made(out, files, out.stat().st_size)


def _manifest(config: Config, store: Store, saved: Path, with_images: bool) -> Manifest:
    with store.read() as session:
        identity = session.scalars(select(Storage.identity).order_by(Storage.id).limit(1)).one_or_none()
    return Manifest(
        format=FORMAT,
        node_version=dicomnode.__version__,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        database=kind_of(config.database_url),
        revision=revision_of(config.database_url),
        storage=identity or "",
        with_images=with_images,
        digest=digest_of(saved),
    )


def _images(store: Store) -> list[str]:
    """Paths of the images that have not been taken by retention; asked after the database was saved."""
    with store.read() as session:
        return list(session.scalars(select(Instance.path).where(Instance.status != InstanceStatus.PURGED)))


def _write(path: Path, config: Config, manifest: Manifest, saved: Path, config_file: Path, images: list[str]) -> int:
    count = 0
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w+b") as file, tarfile.open(fileobj=file, mode="w") as archive:
        note = saved.with_name(MANIFEST)
        note.write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        for one, name in ((note, MANIFEST), (saved, DATABASE), (config_file, CONFIGURATION)):
            archive.add(one, name, recursive=False)
        for one, name in data_files(config, images):
            try:
                archive.add(one, name, recursive=False)
                count += 1
            except FileNotFoundError:
                continue  # a job has ended meanwhile, or retention has come by
        file.flush()
        os.fsync(file.fileno())
    return count
