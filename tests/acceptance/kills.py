"""kill -9 of the node or of a worker, at random moments of reception, run, encoding and delivery: nothing is lost.

After every kill the node is started again, as a service manager does. In the end each acknowledged series has exactly
one set of results in the PACS. The seed is printed with the plan of every kill; the same seed gives the same plan.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psutil
import pydicom
from sqlalchemy import func, select

from dicomnode.app.demo_pacs import ReceivingPacs
from dicomnode.store.engine import Store
from dicomnode.store.states import JOB_INACTIVE, JobStatus, OutboxStatus
from dicomnode.store.tables import Association, Event, Instance, Job, Outbox, Series
from tests.acceptance.orthanc import free_port
from tests.acceptance.scanner import Scanner
from tests.acceptance.served import ServedNode
from tests.tools.bundle import write_threshold_bundle

PHASES = ("reception", "run", "encoding", "delivery", "any moment")
LONGEST_WAIT_S = 20.0
MOST_OPEN = 3
"""Studies sent and not done yet at which the scanner pauses: enough that something is always in the queue."""
SETTLING_S = 180.0
ONE_SET = Counter({"SEG": 1, "SR": 2, "OT": 1})


@dataclass(frozen=True)
class Kill:
    """One planned kill: what is waited for, how long after it, and who dies."""

    phase: str
    delay_s: float
    victim: str


def plan_of(seed: int, count: int) -> Iterator[Kill]:
    """The kills of a seed."""
    chance = random.Random(seed)
    for _ in range(count):
        victim = "worker" if chance.random() < 0.25 else "node"
        yield Kill(chance.choice(PHASES), chance.uniform(0.0, 0.3), victim)


def wait_for_phase(store: Store, phase: str, scanner: Scanner) -> None:
    """Return when the node is seen in that phase, or after a while in any case."""
    with store.read() as session:
        instances = session.scalar(select(func.max(Instance.id))) or 0
    if phase == "reception":
        scanner.scan()
    wanted = {"run": ("run", "start"), "encoding": ("run", "succeed"), "delivery": ("job", "encoded")}
    begun = time.time()
    while time.time() < begun + LONGEST_WAIT_S:
        with store.read() as session:
            if phase == "reception" and (session.scalar(select(func.max(Instance.id))) or 0) > instances:
                return
            if phase in wanted:
                subject, name = wanted[phase]
                seen = select(Event.id).where(Event.at > begun, Event.subject == subject, Event.name == name)
                if session.scalar(seen.limit(1)) is not None:
                    return
        if phase == "any moment":
            time.sleep(0.5)
            return
        time.sleep(0.02)


def strike(node: ServedNode, kill: Kill, hit_jobs: set[int], store: Store) -> None:
    """Kill the victim. A worker is killed once per job only: twice would rightly quarantine the run."""
    with store.read() as session:
        running = set(session.scalars(select(Job.id).where(Job.status == JobStatus.RUNNING)))
    workers = node.workers()
    if kill.victim == "worker" and workers and not running & hit_jobs:
        hit_jobs |= running
        for worker in workers:
            try:
                worker.kill()
            except psutil.NoSuchProcess:
                continue
        return
    node.kill()
    node.start()


def wait_until_settled(store: Store, studies: int) -> None:
    """Return when every study has a job that is over and nothing is left to send, or when nothing moves any more."""
    before, moved = -1, time.monotonic()
    while time.monotonic() < moved + SETTLING_S:
        with store.read() as session:
            over = session.scalar(select(func.count()).where(Job.status == JobStatus.DONE)) or 0
            open_jobs = select(func.count()).where(Job.status.not_in((*JOB_INACTIVE, JobStatus.DONE)))
            if over >= studies and session.scalar(open_jobs) == 0:
                return
        if over > before:
            # a hundred restarts leave a queue behind, which a slow machine works off one by one
            before, moved = over, time.monotonic()
        time.sleep(0.2)


def count_open(store: Store) -> int:
    """Studies that arrived, wholly or in part, and whose job is not done."""
    with store.read() as session:
        arrived = session.scalar(select(func.count(Series.study_uid.distinct()))) or 0
        done = select(func.count(Job.study_uid.distinct())).where(Job.status == JobStatus.DONE)
        return arrived - (session.scalar(done) or 0)


def results_by_study(pacs: ReceivingPacs) -> dict[str, Counter[str]]:
    """Modalities of the distinct result instances in the PACS, per study."""
    found: dict[str, Counter[str]] = {}
    for path in pacs.folder.glob("*.dcm"):
        ds = pydicom.dcmread(path, stop_before_pixels=True)
        found.setdefault(str(ds.StudyInstanceUID), Counter())[str(ds.Modality)] += 1
    return found


def survive(tmp_path: Path, database_url: str, *, seed: int, kills: int) -> None:
    """Play a plan of kills and check what the PACS holds in the end."""
    bundle = write_threshold_bundle(tmp_path / "bundle")
    with ReceivingPacs(tmp_path / "pacs", "PACS") as pacs:
        node = ServedNode(
            tmp_path / "node",
            free_port(),
            [
                {
                    "name": "pacs",
                    "ae_title": "PACS",
                    "host": "127.0.0.1",
                    "port": pacs.port,
                    "accept_research": True,
                    "retry_min_s": 0.3,
                    "retry_max_s": 2.0,
                }
            ],
            database_url=database_url,
            reception={"settle_s": 0.2, "quiet_period_s": 8.0, "selection_wait_s": 0.0},
            execution={"retry_min_s": 0.2},
            models=("threshold",),
            zoo_paths=(bundle,),
        )
        store = Store(database_url)
        with closing(store), node:
            node.start()
            scanner = Scanner(tmp_path / "scanner", node.port, pause_s=0.5, busy=lambda: count_open(store) >= MOST_OPEN)
            scanner.start()
            hit_jobs: set[int] = set()
            for number, kill in enumerate(plan_of(seed, kills), 1):
                wait_for_phase(store, kill.phase, scanner)
                time.sleep(kill.delay_s)
                print(f"seed {seed}, kill {number}: {kill}")
                strike(node, kill, hit_jobs, store)
            scanner.stop()
            wait_until_settled(store, len(scanner.sent))
            assert node.stop() == 0
            check(store, scanner.sent, results_by_study(pacs))


def check(store: Store, sent: list[str], found: dict[str, Counter[str]]) -> None:
    """Every acknowledged study has exactly one set of results, and the database agrees."""
    assert len(sent) >= 3, "the scanner got nothing through: the test proves nothing"
    wrong = {study: dict(found.get(study, Counter())) for study in sent if found.get(study) != ONE_SET}
    assert not wrong, f"not exactly one set of results: {wrong}"
    with store.read() as session:
        active = select(Job.study_uid, Job.status).where(Job.status.not_in(JOB_INACTIVE))
        jobs = Counter(f"{study} {status}" for study, status in session.execute(active))
        assert all(jobs[f"{study} done"] == 1 for study in sent)
        unsent = (OutboxStatus.PENDING, OutboxStatus.SENDING, OutboxStatus.FAILED)
        assert session.scalar(select(func.count()).where(Outbox.status.in_(unsent))) == 0
        assert session.scalar(select(func.count()).where(Association.outcome == "open")) == 0
