"""Deletes what retention allows. File and status go in one transaction; a crash in between is repeated, not noticed."""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from dicomnode.config.whole import Config
from dicomnode.kinds import Kind
from dicomnode.ops.context import drop_folder_of
from dicomnode.store.clinical.observations import forget_context
from dicomnode.store.engine import Store
from dicomnode.store.forgetting import forget_study, forget_the_rest, forgettable_studies
from dicomnode.store.retention import (
    BEGINNING,
    Limits,
    Place,
    expired_series,
    finished_jobs,
    lock_expired,
    mark_purged,
    paths_of_kind,
)
from dicomnode.store.storage import Storage

log = logging.getLogger(__name__)

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
CONTEXT_FILE = "context.json"
"""What a job knew of its patient: health data, which goes by the retention of such."""


def purge(config: Config, store: Store, *, now: float | None = None) -> int:
    """Delete what is over its age, each class of data by its own; returns how many received files went.

    Raises
    ------
    EnvironmentFault : the spool is away, where nothing could be deleted and everything would seem to be gone.
    """
    spool = Storage(store, config.spool_dir)
    spool.require()
    now = time.time() if now is None else now
    limits = Limits(
        used_before=now - config.operations.retention_days * DAY_S,
        unused_before=now - config.operations.unused_retention_h * HOUR_S,
    )
    gone = sum(
        _purge_series(spool, config.spool_dir, store, series_id, limits) for series_id in _expired(store, limits)
    )
    _purge_work(config, store, now)
    _purge_history(config, store, now)
    _purge_context(config, store, now - config.clinical.retention_days * DAY_S)
    if gone:
        log.info("retention over", extra={"files": gone})
    return gone


def _expired(store: Store, limits: Limits) -> Iterator[int]:
    """Ids of series that hold files whose retention is over, found step by step while what was found is deleted."""
    for unused in (True, False):
        place: Place | None = BEGINNING
        while place is not None:
            with store.read() as session:
                series_ids, place = expired_series(session, limits, unused=unused, after=place)
            yield from series_ids


def _purge_context(config: Config, store: Store, before: float) -> None:
    """Health data goes by its own retention, and the documents that it came in."""
    gone = forget_context(store, before=before)
    folder = drop_folder_of(config, store)
    files = 0 if folder is None else folder.purge(before)
    if gone or files:
        log.info("retention of context over", extra={"rows": gone, "files": files})


def _purge_series(storage: Storage, spool: Path, store: Store, series_id: int, limits: Limits) -> int:
    gone = 0
    folders: set[Path] = set()
    while True:
        with store.write() as session:
            # Under a lock: reception that has the same file again waits, sees it purged, and asks for it once more.
            expired = lock_expired(session, series_id, limits)
            for item in expired:
                (spool / item.path).unlink(missing_ok=True)
            # Else the spool may have gone meanwhile, with all that seemed to be gone already.
            storage.require()
            mark_purged(session, expired)
        if not expired:
            break
        gone += len(expired)
        folders |= {(spool / item.path).parent for item in expired}
    _remove_emptied(folders)
    return gone


def _remove_emptied(series_folders: set[Path]) -> None:
    for folder in series_folders:
        # Not empty: something came, or stays. Gone: another node that shares the spool was first.
        with contextlib.suppress(OSError):
            folder.rmdir()
            folder.parent.rmdir()


def _purge_work(config: Config, store: Store, now: float) -> None:
    """Findings, results, pictures and the context of jobs, each at its age; what waits to be sent is never touched."""
    operations = config.operations
    results_before = now - operations.results_retention_days * DAY_S
    pictures_before = now - operations.pictures_retention_days * DAY_S
    context_before = now - config.clinical.retention_days * DAY_S
    present = _jobs_with_a_folder(config.work_dir)
    with store.read() as session:
        results = finished_jobs(session, present, before=results_before)
        pictures = finished_jobs(session, present, before=pictures_before)
        contexts = finished_jobs(session, present, before=context_before)
        kept = paths_of_kind(session, results ^ pictures, Kind.SC)
    for job_id in sorted(results | pictures | contexts):
        folder = config.work_dir / f"job-{job_id}"
        if job_id in results and job_id in pictures:
            shutil.rmtree(folder, ignore_errors=True)
            continue
        if job_id in contexts:
            (folder / CONTEXT_FILE).unlink(missing_ok=True)
        shown = {config.node.data_dir / path for path in kept.get(job_id, ())}
        if job_id in results:
            _remove_files({path for path in folder.rglob("*") if path.is_file()} - shown)
        elif job_id in pictures:
            _remove_files(shown)


def _jobs_with_a_folder(work_dir: Path) -> set[int]:
    """Ids of the jobs of which there are files: not of all that ever were."""
    ids = (path.name.removeprefix("job-") for path in work_dir.glob("job-*"))
    return {int(job_id) for job_id in ids if job_id.isdecimal()}


def _remove_files(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _purge_history(config: Config, store: Store, now: float) -> None:
    """Rows of studies of which no file is left, a study at a time: reception never waits for long."""
    days = config.operations.history_retention_days
    if days <= 0:
        return
    before = now - days * DAY_S
    with store.read() as session:
        studies = forgettable_studies(session, before)
    gone = 0
    for study_uid in studies:
        with store.write() as session:
            gone += forget_study(session, study_uid, before)
    events = forget_the_rest(store, before)
    if gone or events:
        log.info("retention of history over", extra={"studies": gone, "rows": events})
