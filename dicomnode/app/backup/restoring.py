"""A backup brought back into an empty data folder and an empty database."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from dicomnode.app.backup.contents import DATA, DATABASE, FORMAT, MANIFEST, Manifest, digest_of
from dicomnode.config.whole import Config
from dicomnode.errors import BackupRefusal, BackupRefused
from dicomnode.ops.permissions import private_files
from dicomnode.store.opening import Schema, is_known_revision, schema_at, up_to_date_store
from dicomnode.store.ops.restored import Restored, after_restore
from dicomnode.store.saving import kind_of, load_database


@dataclass(frozen=True, slots=True)
class BroughtBack:
    """What was brought back, and from when."""

    manifest: Manifest
    found: Restored


def restore_backup(config: Config, path: Path) -> BroughtBack:
    """Bring a node back from a file of :func:`~dicomnode.app.backup.making.make_backup`; the node does not run.

    Identity of database and spool stay. A schema of an older version is brought up to date. What may have happened
    since the backup counts as unknown (:func:`~dicomnode.store.ops.restored.after_restore`).

    Raises
    ------
    BackupRefused : it is none, is damaged, does not fit the configuration, or there is a node already; nothing was
        changed.
    EnvironmentFault : disk or database fail.
    """
    _refuse_unless_empty(config)
    data_dir = config.node.data_dir.absolute()
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    with private_files(), tempfile.TemporaryDirectory(prefix=".restore-", dir=data_dir.parent) as scratch:
        manifest = _unpacked(path, Path(scratch))
        _refuse_unless_it_fits(config, manifest, Path(scratch) / DATABASE)
        data_dir.mkdir(exist_ok=True)
        for one in sorted((Path(scratch) / DATA).glob("*")):
            shutil.move(one, data_dir / one.name)
        load_database(Path(scratch) / DATABASE, config.database_url)
    store = up_to_date_store(config.database_url)
    try:
        with store.write() as session:
            return BroughtBack(manifest, after_restore(session, config.spool_dir))
    finally:
        store.close()


def _refuse_unless_empty(config: Config) -> None:
    data_dir = config.node.data_dir
    if data_dir.is_dir() and any(data_dir.iterdir()):
        raise BackupRefused(BackupRefusal.NOT_EMPTY, f"{data_dir} is not empty.")
    if schema_at(config.database_url) is not Schema.NONE:
        raise BackupRefused(BackupRefusal.NOT_EMPTY, "database.url holds the tables of one.")


def _unpacked(path: Path, folder: Path) -> Manifest:
    """The manifest, and all files below ``folder``; links and paths that lead elsewhere are refused by the filter."""
    try:
        with tarfile.open(path) as archive:
            archive.extractall(folder, filter="data")
        return Manifest.model_validate_json((folder / MANIFEST).read_text(encoding="utf-8"))
    except (tarfile.TarError, ValidationError, UnicodeDecodeError) as fault:
        raise BackupRefused(BackupRefusal.NO_BACKUP) from fault
    except FileNotFoundError as fault:
        if fault.filename == str(path):
            raise
        raise BackupRefused(BackupRefusal.NO_BACKUP) from fault


def _refuse_unless_it_fits(config: Config, manifest: Manifest, database: Path) -> None:
    if manifest.format > FORMAT or not is_known_revision(manifest.revision):
        raise BackupRefused(BackupRefusal.NEWER, f"It was made by {manifest.node_version}.")
    if manifest.database != kind_of(config.database_url):
        raise BackupRefused(BackupRefusal.OTHER_DATABASE, f"It holds {manifest.database}.")
    if not database.is_file() or digest_of(database) != manifest.digest:
        raise BackupRefused(BackupRefusal.DAMAGED, DATABASE)
