"""What a scrape of /metrics and a look at the overview cost, beside a database that has seen much.

    python benchmarks/scrape.py [--studies 20000]

Each study is one series with 32 images, a job with a run, four deliveries and 24 events, all in the past; between two
scrapes one more comes in. SQLite in a temporary folder.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import insert

from dicomnode.config.whole import Config
from dicomnode.ops.http.metrics import Metrics
from dicomnode.ops.readiness import Readiness
from dicomnode.ops.state import BreakerState, NodeState
from dicomnode.store.engine import Store
from dicomnode.store.history import list_held, list_series_without_job
from dicomnode.store.ops import standing, studies
from dicomnode.store.storage import Storage
from dicomnode.store.tables import Association, Event, Instance, Job, Outbox, Result, Run, Series

IMAGES, RESULTS, EVENTS = 32, 4, 24
JOB_EVENTS = ("created", "ready", "claim", "encoded", "delivered")
PORTION = 500
UP = NodeState(
    role="all",
    receives=True,
    works=True,
    worker_fault="",
    has_failed=False,
    breakers=(BreakerState("pacs", False, 0),),
)


def main() -> None:
    """Fill, scrape, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=20_000)
    wanted = parser.parse_args().studies
    with tempfile.TemporaryDirectory() as folder:
        config = Config.model_validate(
            {
                "node": {"data_dir": folder},
                "destination": [{"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": 104}],
            }
        )
        store = Store(config.database_url)
        store.migrate()
        Storage(store, config.spool_dir).bind()
        for first in range(1, wanted + 1, PORTION):
            fill(store, range(first, min(first + PORTION, wanted + 1)))
        megabytes = Path(folder, "node.db").stat().st_size / 1e6
        print(f"{wanted} studies, {wanted * IMAGES} images, {wanted * EVENTS} events, {megabytes:.0f} MB")
        measure(config, store, wanted)


def measure(config: Config, store: Store, known: int) -> None:
    """Print what is asked for again and again, in milliseconds of processor time."""
    began = time.process_time()
    metrics = Metrics(config, store, lambda: UP, Readiness(config, store))
    print(f"begin: {1e3 * (time.process_time() - began):.1f} ms")
    costs = []
    for number in range(known + 1, known + 21):
        fill(store, range(number, number + 1), age_s=10.0)
        metrics._made_at = float("-inf")
        began = time.process_time()
        metrics.text()
        costs.append(time.process_time() - began)
    each_s = median(costs)
    print(f"scrape with one new study: {1e3 * each_s:.1f} ms, every 15 s {100 * each_s / 15:.2f} % of a core")
    for name, look in LOOKS.items():
        times = []
        for _ in range(5):
            began = time.process_time()
            with store.read() as session:
                look(session)
            times.append(time.process_time() - began)
        print(f"{name}: {1e3 * median(times):.1f} ms")


LOOKS: dict[str, Any] = {
    "queue": standing.waiting_jobs,
    "deliveries": lambda session: standing.unsent(session, ["pacs"]),
    "senders": standing.last_associations,
    "seconds to the PACS": standing.to_pacs,
    "newest studies": studies.newest_studies,
    "search by accession": lambda session: studies.find_studies(session, "ACC123"),
    "held": list_held,
    "series without a job": lambda session: list_series_without_job(session, limit=10),
}


def fill(store: Store, numbers: range, *, age_s: float = 86400.0) -> None:
    """Studies that are over; row ids are their numbers."""
    at = time.time() - age_s
    rows: dict[type[Any], list[dict[str, Any]]] = {
        table: [] for table in (Association, Series, Instance, Job, Run, Result, Outbox, Event)
    }
    for n in numbers:
        for table, row in rows_of(n, at):
            rows[table].append(row)
    with store.write() as session:
        for table, some in rows.items():
            session.execute(insert(table), some)


def rows_of(n: int, at: float) -> list[tuple[type[Any], dict[str, Any]]]:
    """All rows of one study."""
    uid = f"1.2.3.{n}"
    common = {"study_uid": uid, "series_uid": f"{uid}.1"}
    series = dict(id=n, **common, accession_number=f"ACC{n}", modality="CT", sender_ae=f"CT{n % 5}", status="chosen")
    series |= dict(first_instance_at=at - 20, last_instance_at=at - 10, acquisition_key="1", reopened=0)
    job = dict(id=n, study_uid=uid, accession_number=f"ACC{n}", acquisition_key="1", protocol="head-ct", series_id=n)
    job |= dict(generation=1, status="done", priority="stat", created_at=at, ready_at=at, finished_at=at + 30)
    run = dict(id=n, job_id=n, model="hemorrhage", position=0, status="succeeded", device="cpu", outcomes=[])
    run |= dict(started_at=at + 1, finished_at=at + 9)
    ended = dict(receiver="r", called_ae="NODE", peer_address="10.0.0.1", outcome="released", instances=IMAGES)
    times = dict(opened_at=at - 21, last_seen_at=at - 10, ended_at=at - 10)
    rows: list[tuple[type[Any], dict[str, Any]]] = [
        (Association, dict(id=n, calling_ae=f"CT{n % 5}", **ended, **times)),
        (Series, series),
        (Job, job),
        (Run, run),
    ]
    for i in range(IMAGES):
        image = dict(series_id=n, association_id=n, sop_instance_uid=f"{uid}.1.{i}", sop_class_uid="1.2.840", **common)
        image |= dict(transfer_syntax_uid="1.2.840", path=f"{n}/{i}", digest=f"{n}.{i}", size_bytes=500_000, header={})
        rows.append((Instance, image | dict(status="used", received_at=at - 10)))
    for i in range(RESULTS):
        key = n * RESULTS + i
        result = dict(id=key, job_id=n, kind="seg", **common, sop_instance_uid=f"{uid}.9.{i}", sop_class_uid="1.2.840")
        rows.append((Result, result | dict(path="p", digest="d", size_bytes=1, research=True, created_at=at)))
        sent = dict(result_id=key, job_id=n, destination="pacs", status="proven", created_at=at, next_attempt_at=at)
        rows.append((Outbox, sent | dict(sent_at=at + 20)))
    for i, name in enumerate(JOB_EVENTS):
        event = dict(at=at + i, subject="job", subject_id=n, name=name, study_uid=uid, series_uid="", job_id=n)
        rows.append((Event, event | dict(detail={})))
    rows.append((Event, dict(at=at + 9, subject="run", subject_id=n, name="succeed", job_id=n, detail={})))
    for i in range(EVENTS - len(JOB_EVENTS) - 1):
        event = dict(at=at + i, subject="outbox", subject_id=n * RESULTS + i % RESULTS, name="sent", job_id=n)
        rows.append((Event, event | dict(detail={})))
    return rows


if __name__ == "__main__":
    main()
