"""Does an urgent study wait behind what is routine? Seconds from its last image to its proven result, three times over.

    python -m benchmarks.priority --jobs 200 --repeats 3 [--keep FILE]

``dicomnode serve`` runs as a process with two protocols, stat and routine, on a model whose run waits ``--run-s``
seconds as for a graphics card, and a PACS that takes ``--answer-s`` for each C-STORE. An urgent study is sent to a node
that

- has nothing to do ("alone");
- has ``--jobs`` routine jobs queued ("queue");
- has the results of ``--few`` routine jobs to send, since its PACS was away ("PACS back");
- has ``--few`` routine jobs queued that have waited for an hour, before all others ("old queue").

``--keep`` lets the node work off the rest of the queue, and copies its database for ``benchmarks.simulate``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import evt
from rich.console import Console
from rich.table import Table
from sqlalchemy import func, select, update

from benchmarks.history import STAGES, Course, course_of
from benchmarks.slow_model import write_slow_bundle
from dicomnode.app.demo_pacs import ReceivingPacs
from dicomnode.config.destinations import Destination
from dicomnode.deliver.outgoing import Outgoing
from dicomnode.deliver.scu import send
from dicomnode.store.engine import Store
from dicomnode.store.pausing import Part, pause, resume
from dicomnode.store.tables import Event, Job
from tests.acceptance.scanner import head_with_bleed
from tests.tools.series import ct_series, write_series

PATIENCE_S = 1800.0
POLL_S = 0.05
GOAL = 1.5
OLD_S = 3600.0
OFFSETS_MM, WIDTH_MM = tuple(range(0, 144, 6)), 211.0
CONFIG = """
[node]
ae_title = "AINODE"
host = "127.0.0.1"
port = {port}
data_dir = "{folder}/data"
[reception]
min_free_gb = 0.1
settle_s = 0.5
quiet_period_s = 2.0
selection_wait_s = 0.0
[execution]
devices = ["cpu"]
[zoo]
paths = ["{folder}/slow"]
selftest = false
[[destination]]
name = "pacs"
ae_title = "PACS"
host = "127.0.0.1"
port = {pacs_port}
accept_research = true
[[protocol]]
name = "routine"
match = {{ Modality = "^CT$", StudyDescription = "^routine$" }}
models = ["slow"]
destinations = ["pacs"]
[[protocol]]
name = "stat"
match = {{ Modality = "^CT$", StudyDescription = "^stroke$" }}
models = ["slow"]
destinations = ["pacs"]
priority = "stat"
"""


class PatientPacs(ReceivingPacs):
    """Takes its time for each instance."""

    answer_s = 0.0

    def answer_to(self, event: evt.Event) -> int:
        """Success, a while later."""
        time.sleep(self.answer_s)
        return super().answer_to(event)


@dataclass
class Scene:
    """A running node, and the one series that is sent to it under ever new UIDs."""

    folder: Path
    port: int
    store: Store
    series: list[Dataset]

    def send(self, description: str) -> tuple[str, float]:
        """A study arrives; returns its UID and when its last image was acknowledged."""
        study_uid, series_uid = str(generate_uid()), str(generate_uid())
        for ds in self.series:
            ds.StudyInstanceUID, ds.SeriesInstanceUID = study_uid, series_uid
            ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = str(generate_uid())
            ds.StudyDescription, ds.AccessionNumber = description, study_uid[-12:]
        paths = write_series(self.folder / "sent", self.series)
        target = Destination(name="node", ae_title="AINODE", host="127.0.0.1", port=self.port)
        for outcome in send([Outgoing.from_file(path) for path in paths], target, "CT1"):
            assert outcome.error is None, outcome.error
        at = time.time()
        for path in paths:
            path.unlink()
        return study_uid, at

    def count(self, *statuses: str, priority: str = "routine") -> int:
        """How many jobs are in one of these states."""
        with self.store.read() as session:
            wanted = (Job.priority == priority, Job.status.in_(statuses))
            return session.scalar(select(func.count()).select_from(Job).where(*wanted)) or 0

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what the database says."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(POLL_S)

    def urgent(self) -> dict[str, float]:
        """Seconds by stage of an urgent study that is sent now."""
        study_uid, sent_at = self.send("stroke")
        wanted = select(Job.id).where(Job.study_uid == study_uid, Job.status == "done")
        self.until(lambda: self._first(wanted) is not None)
        job_id = self._first(wanted)
        with self.store.read() as session:
            rows = session.scalars(select(Event).where(Event.job_id == job_id).order_by(Event.id)).all()
        return stages_of(course_of(rows), sent_at)

    def _first(self, statement: Any) -> Any:
        with self.store.read() as session:
            return session.scalar(statement)


def stages_of(course: Course, sent_at: float) -> dict[str, float]:
    """Seconds by stage, from the last image on."""
    return {"settle": course.moments["queued"] - sent_at, **{stage: course.seconds(stage) for stage in STAGES}}


@contextmanager
def scene(folder: Path, run_s: float, answer_s: float, matrix: int) -> Iterator[Scene]:
    """A node as a process, and its PACS."""
    write_slow_bundle(folder / "slow", run_s)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    with PatientPacs(folder / "pacs", "PACS") as pacs, (folder / "node.log").open("wb") as log:
        pacs.answer_s = answer_s
        (folder / "config.toml").write_text(CONFIG.format(folder=folder, port=port, pacs_port=pacs.port))
        command = [sys.executable, "-m", "dicomnode", "serve", "--config", str(folder / "config.toml")]
        node = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})
        try:
            wait_for_line(folder / "node.log", b"dicomnode.execute.model_worker", node)
            store = Store(f"sqlite:///{folder}/data/node.db")
            pixel_mm = WIDTH_MM / matrix
            series = ct_series(OFFSETS_MM, matrix=matrix, pixel_spacing_mm=(pixel_mm, pixel_mm), hu=head_with_bleed)
            yield Scene(folder, port, store, series)
            store.close()
        finally:
            node.terminate()
            node.wait(120)


def wait_for_line(log: Path, text: bytes, node: subprocess.Popen[bytes]) -> None:
    """Until the log of the node says so."""
    deadline = time.monotonic() + PATIENCE_S
    while text not in log.read_bytes():
        assert node.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(POLL_S)


def measure(at: Scene, jobs: int, repeats: int, few: int) -> dict[str, list[dict[str, float]]]:
    """Seconds by stage of each urgent study, by what the node had to do beside."""
    at.urgent()  # warm-up
    found = {"alone": [at.urgent() for _ in range(repeats)]}
    with at.store.write() as session:
        pause(session, Part.QUEUE)
    for _ in range(jobs):
        at.send("routine")
    at.until(lambda: at.count("queued") == jobs)
    with at.store.write() as session:
        resume(session, Part.QUEUE)
    at.until(lambda: at.count("delivering", "done") > 0)
    found["queue"] = [at.urgent() for _ in range(repeats)]
    found["PACS back"] = [after_an_outage(at, few) for _ in range(repeats)]
    found["old queue"] = [with_an_old_queue(at, few) for _ in range(repeats)]
    return found


def after_an_outage(at: Scene, few: int) -> dict[str, float]:
    """The results of a few jobs wait when the PACS comes back, and an urgent study with it."""
    at.until(lambda: at.count("delivering") <= 1)
    with at.store.write() as session:
        pause(session, Part.DESTINATION, "pacs")
    at.until(lambda: at.count("delivering") >= few)
    with at.store.write() as session:
        resume(session, Part.DESTINATION, "pacs")
    return at.urgent()


def with_an_old_queue(at: Scene, few: int) -> dict[str, float]:
    """A few of the queued jobs have waited for an hour when the urgent study comes."""
    with at.store.write() as session:
        waiting = select(Job.id).where(Job.status == "queued", Job.priority == "routine")
        oldest = session.scalars(waiting.order_by(Job.ready_at).limit(few)).all()
        session.execute(update(Job).where(Job.id.in_(oldest)).values(ready_at=time.time() - OLD_S))
    return at.urgent()


def drain(at: Scene) -> None:
    """Let the node work off what is queued, and say its pace."""
    done, began = at.count("done"), time.monotonic()
    at.until(lambda: at.count("queued", "running", "delivering") == 0)
    took_s, jobs = time.monotonic() - began, at.count("done") - done
    print(f"{jobs} routine jobs in {took_s:.0f} s: {jobs / took_s * 3600:.0f} an hour")


def report(found: dict[str, list[dict[str, float]]]) -> int:
    """The table, with the ratio to the median alone; 1 where the goal is missed."""
    alone_s = statistics.median(sum(row.values()) for row in found["alone"])
    table = Table(title="an urgent study: seconds from its last image to its proven result, medians")
    for name in ("beside", "settle", *STAGES, "in all", "slowest", "times alone", f"goal {GOAL:g}"):
        table.add_column(name, justify="left" if name == "beside" else "right")
    worst = 0.0
    for name, rows in found.items():
        totals = [sum(row.values()) for row in rows]
        times = statistics.median(totals) / alone_s
        worst = max(worst, times)
        middle = [f"{statistics.median(row[stage] for row in rows):.1f}" for stage in rows[0]]
        ends = [f"{statistics.median(totals):.1f}", f"{max(totals):.1f}", f"{times:.2f}"]
        table.add_row(name, *middle, *ends, "yes" if times <= GOAL else "NO")
    Console(width=120).print(table)
    says = "met" if worst <= GOAL else "NOT MET"
    print(f"goal: an urgent study takes at most {GOAL:g} times its time alone: {worst:.2f}: {says}")
    return int(worst > GOAL)


def main() -> int:
    """Measure and print; 1 where the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--few", type=int, default=15)
    parser.add_argument("--run-s", type=float, default=1.0)
    parser.add_argument("--answer-s", type=float, default=0.2)
    parser.add_argument("--matrix", type=int, default=256)
    parser.add_argument("--keep", type=Path, metavar="FILE", help="gets the database once the queue is worked off")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        scene(Path(name), options.run_s, options.answer_s, options.matrix) as at,
    ):
        missed = report(measure(at, options.jobs, options.repeats, options.few))
        if options.keep:
            drain(at)
            at.store.close()
            shutil.copy(Path(name) / "data/node.db", options.keep)
    return missed


if __name__ == "__main__":
    raise SystemExit(main())
