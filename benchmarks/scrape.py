"""What a scrape of /metrics and a look at the overview cost, beside a database that has seen much.

    python -m benchmarks.scrape [--studies 20000]

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

from benchmarks.past import fill
from dicomnode.config.whole import Config
from dicomnode.ops.http.metrics import Metrics
from dicomnode.ops.readiness import Readiness
from dicomnode.ops.state import BreakerState, NodeState
from dicomnode.store.engine import Store
from dicomnode.store.history.held import list_held
from dicomnode.store.history.series import list_series_without_job
from dicomnode.store.ops import standing, studies
from dicomnode.store.storage import Storage

IMAGES, EVENTS = 32, 24
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
            fill(store, range(first, min(first + PORTION, wanted + 1)), images=IMAGES, events=EVENTS)
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
        fill(store, range(number, number + 1), images=IMAGES, events=EVENTS, age_s=10.0)
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


if __name__ == "__main__":
    main()
