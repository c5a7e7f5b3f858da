"""After a crash: what is on the disk but not in the database is indexed; what is missing is said."""

from __future__ import annotations

import hashlib
import logging
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pydicom.errors import InvalidDicomError
from sqlalchemy import select
from sqlalchemy.exc import DataError

from dicomnode.environment import raise_unless_it_stays, said_by
from dicomnode.receive.intake import describe
from dicomnode.receive.part10 import data_offset_of, origin_of
from dicomnode.receive.reading import read
from dicomnode.receive.spool import Spool, relative_path
from dicomnode.store.engine import Store
from dicomnode.store.receive.indexing import index_instances
from dicomnode.store.receive.series_now import Arrived
from dicomnode.store.states import InstanceStatus
from dicomnode.store.tables import Instance

log = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 20
_ROWS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep found.

    Attributes
    ----------
    indexed : files without a row that have one now.
    foreign : files that the spool did not write, or that no row can describe; left where they are.
    unread : files that the disk did not give out now; the next sweep reads them.
    missing : rows whose file is gone although it was not purged.
    """

    indexed: int
    foreign: int
    unread: int
    missing: int


def sweep(store: Store, spool: Spool, *, settle_s: float, max_instances: int, min_age_s: float = 0.0) -> Swept:
    """Bring spool and database together; call at start, after :meth:`Spool.prepare`.

    A crash between rename and row, or a database that was away, leaves whole files without a row. Indexing a file
    that is just being received changes nothing: its row is written once.

    Parameters
    ----------
    max_instances : of one series; further ones are kept as bytes only.
    min_age_s : younger files are left alone.
    """
    known, missing = _known_paths(store), 0
    indexed = foreign = unread = 0
    for path in spool.files():
        if known.pop(str(path), None) is not None:
            continue
        if _is_younger(spool.root / path, min_age_s):
            continue
        try:
            is_ours = _index(store, spool, path, settle_s, max_instances)
        except (OSError, MemoryError) as fault:
            unread += 1
            log.error("file in the spool cannot be read now", extra={"path": str(path), "error": said_by(fault)})
            continue
        if is_ours:
            indexed += 1
        else:
            foreign += 1
            log.warning("foreign file in the spool", extra={"path": str(path)})
    for path_text, status in known.items():
        if status != InstanceStatus.PURGED and not (spool.root / path_text).exists():
            missing += 1
            log.error("file of an instance is missing", extra={"path": path_text})
    swept = Swept(indexed, foreign, unread, missing)
    log.info("spool swept", extra=asdict(swept))
    return swept


def _known_paths(store: Store) -> dict[str, str]:
    """Path to status, of all rows."""
    with store.read() as session:
        rows = session.execute(select(Instance.path, Instance.status).execution_options(yield_per=_ROWS_AT_ONCE))
        return {path: status for path, status in rows}


def _is_younger(path: Path, min_age_s: float) -> bool:
    try:
        return min_age_s > 0 and time.time() - path.stat().st_mtime < min_age_s
    except FileNotFoundError:
        return True


def _index(store: Store, spool: Spool, path: Path, settle_s: float, max_instances: int) -> bool:
    """Index one file as its association would have done; False where the spool cannot have written it.

    Raises
    ------
    OSError, MemoryError : the disk or the memory failed.
    """
    file = spool.root / path
    try:
        origin, digest = origin_of(file), _digest_of(file)
    except (OSError, ValueError, EOFError, InvalidDicomError) as fault:
        raise_unless_it_stays(fault)
        return False
    received = describe(read(file), origin, digest=digest, size_bytes=file.stat().st_size)
    if path != relative_path(received.study_uid, received.series_uid, received.sop_instance_uid, digest):
        return False
    try:
        with store.write() as session:
            index_instances(
                session,
                [Arrived(replace(received, path=path), None, origin.calling_ae)],
                settle_s=settle_s,
                max_instances=max_instances,
            )
    except DataError:
        return False  # refused at reception for the same reason; it must not keep the node from starting
    return True


def _digest_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(data_offset_of(path))
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
