"""Deletes what retention allows: first the file, then the row's status; a crash in between is repeated, not noticed."""

from __future__ import annotations

import logging
import shutil
import time

from dicomnode.config import Config
from dicomnode.store.engine import Store
from dicomnode.store.retention import Expired, expired_instances, finished_jobs, mark_purged

log = logging.getLogger(__name__)

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S


def purge(config: Config, store: Store, *, now: float | None = None) -> int:
    """Delete received files and work folders whose retention is over; returns how many files went."""
    now = time.time() if now is None else now
    used_before = now - config.operations.retention_days * DAY_S
    unused_before = now - config.operations.unused_retention_h * HOUR_S
    gone = 0
    while batch := _batch(store, used_before, unused_before):
        for item in batch:
            (config.spool_dir / item.path).unlink(missing_ok=True)
        with store.write() as session:
            mark_purged(session, batch)
        gone += len(batch)
    _purge_work(config, store, used_before)
    if gone:
        log.info("retention over", extra={"files": gone})
    return gone


def _batch(store: Store, used_before: float, unused_before: float) -> list[Expired]:
    with store.read() as session:
        return expired_instances(session, used_before=used_before, unused_before=unused_before)


def _purge_work(config: Config, store: Store, before: float) -> None:
    with store.read() as session:
        jobs = finished_jobs(session, before=before)
    for job_id in jobs:
        shutil.rmtree(config.work_dir / f"job-{job_id}", ignore_errors=True)
