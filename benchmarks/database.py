"""What the queue, the outbox and an operator's questions cost beside a database that has seen much.

    python -m benchmarks.database [--studies 100000] [--postgres [URL]]

Each study of the past is one series with 2 images, a job with a run, 4 results, 4 deliveries and 12 events. Beside them
some are under way. Every call is a transaction of its own, as the node makes it; beside what it costs stand how many
statements it makes at most, and a transaction that writes nothing but one row. SQLite in a temporary folder; with
``--postgres`` an empty database there, and without its URL one on a server that is started for it (pgserver, of the
extra ``dev``), which syncs as others do.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table
from sqlalchemy import event, text, update
from sqlalchemy.orm import Session

from benchmarks.past import RESULTS, fill
from dicomnode.store.assemble.assembly import due_series
from dicomnode.store.assemble.not_performed import due_studies
from dicomnode.store.deliver import outbox, proofs
from dicomnode.store.engine import Store
from dicomnode.store.history.events import events_of
from dicomnode.store.history.held import list_held
from dicomnode.store.history.jobs import JobFilter
from dicomnode.store.history.listing import list_all
from dicomnode.store.ops import standing, studies
from dicomnode.store.queue.jobs import claim_job, heartbeat, recover_leases, release_waiting
from dicomnode.store.queue.notes import release_notes
from dicomnode.store.retention import Limits, expired_series, finished_jobs, lock_expired, mark_purged
from dicomnode.store.tables import Job, Outbox, Storage

IMAGES, EVENTS = 2, 12
PORTION = 1000
OWN_SERVER = "own"
ROUNDS = 60
QUEUED, DELIVERING = 100, 100
GOAL_MS = 5.0
DAY_S = 86400.0


@dataclass(frozen=True)
class Call:
    """One thing that is asked for or written again and again."""

    name: str
    work: Callable[[Session, int], object]
    writes: bool = False


@dataclass(frozen=True)
class Cost:
    """Statements at most; median and 95th percentile, ms."""

    statements: int
    p50: float
    p95: float

    def row(self) -> tuple[str, str, str]:
        """As cells of the table."""
        return str(self.statements), f"{self.p50:.1f}", f"{self.p95:.1f}"


def main() -> int:
    """Fill, measure, print; 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=100_000)
    says = "of an empty database: postgresql+psycopg://...; without it a server is started"
    parser.add_argument("--postgres", nargs="?", const=OWN_SERVER, metavar="URL", help=says)
    options = parser.parse_args()
    with database(options.postgres) as url:
        store = Store(url)
        store.migrate()
        prepare(store, options.studies)
        missed = report(store, options.studies)
        store.close()
    return int(missed > 0)


@contextmanager
def database(postgres: str | None) -> Iterator[str]:
    """URL of an empty one: SQLite, one on a server of its own, or the one that is named."""
    if postgres not in (None, OWN_SERVER):
        yield str(postgres)
        return
    with tempfile.TemporaryDirectory(prefix="dicomnode-benchmark-", ignore_cleanup_errors=True) as folder:
        if postgres is None:
            yield f"sqlite:///{folder}/node.db"
            return
        # The server runs as a user of its own where this one is root.
        Path(folder).chmod(0o755)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pgserver's own imports
            import pgserver
        server = pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        server.cleanup()


def prepare(store: Store, wanted: int) -> None:
    """A past, and some work under way."""
    for first in track(range(1, wanted + 1, PORTION), f"{store.engine.dialect.name}: {wanted} studies"):
        fill(store, range(first, min(first + PORTION, wanted + 1)), images=IMAGES, events=EVENTS, age_s=3 * DAY_S)
    newest = wanted + QUEUED + DELIVERING
    fill(store, range(wanted + 1, newest + 1), images=IMAGES, events=EVENTS, age_s=60.0)
    queued, delivering = range(wanted + 1, wanted + QUEUED + 1), range(wanted + QUEUED + 1, newest + 1)
    with store.write() as session:
        session.add(Storage(identity="benchmark", bound_at=0.0, seen_at=0.0))
        session.execute(update(Job).where(Job.id.in_(queued)).values(status="queued", finished_at=None))
        session.execute(update(Job).where(Job.id.in_(delivering)).values(status="delivering", finished_at=None))
        pending = (Outbox.job_id.in_(delivering), Outbox.id % RESULTS < 2)
        session.execute(update(Outbox).where(*pending).values(status="pending", sent_at=None))
        sent = (Outbox.job_id.in_(delivering), Outbox.id % RESULTS == 2)
        session.execute(update(Outbox).where(*sent).values(status="sent"))
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))


def report(store: Store, wanted: int) -> int:
    """Print the table; returns how many goals are missed."""
    times_of(store, EMPTY)  # until the disk has taken what was filled in
    empty = times_of(store, EMPTY)
    table = Table(title=f"{store.engine.dialect.name}: {wanted} studies, {wanted * RESULTS} results, ms", width=100)
    for name in ("call", "statements", "p50", "p95", "p95 over an empty write", f"goal {GOAL_MS:g}"):
        table.add_column(name, justify="left" if name == "call" else "right")
    missed = 0
    for call in calls(wanted):
        cost = times_of(store, call)
        over = cost.p95 - empty.p95
        missed += over > GOAL_MS
        table.add_row(call.name, *cost.row(), f"{over:.1f}", "yes" if over <= GOAL_MS else "NO")
    table.add_row(EMPTY.name, *empty.row(), "", "", style="dim")
    Console(width=100).print(table)
    met = "met by every call" if not missed else f"NOT MET by {missed}"
    print(f"goal: p95 at most {GOAL_MS:g} ms over an empty write on {store.engine.dialect.name}: {met}")
    return missed


def times_of(store: Store, call: Call) -> Cost:
    """What a transaction costs."""
    spent, most = [], 0
    for number in range(ROUNDS):
        made: list[str] = []
        with heard(store, made):
            began = time.perf_counter()
            with store.write() if call.writes else store.read() as session:
                call.work(session, number)
            spent.append(1e3 * (time.perf_counter() - began))
        most = max(most, sum(not statement.startswith("BEGIN") for statement in made))
    return Cost(most, quantiles(spent, n=2)[0], quantiles(spent, n=20)[18])


@contextmanager
def heard(store: Store, made: list[str]) -> Iterator[None]:
    """Adds the statements that are made meanwhile to ``made``."""

    def keep(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        made.append(statement)

    event.listen(store.engine, "before_cursor_execute", keep)
    try:
        yield
    finally:
        event.remove(store.engine, "before_cursor_execute", keep)


def write_nothing(session: Session, number: int) -> None:
    """One row that is there anyway."""
    session.execute(update(Storage).values(seen_at=float(number)))


EMPTY = Call("an empty write", write_nothing, writes=True)


def calls(wanted: int) -> Iterator[Call]:
    """All that is measured: by a worker, the sender, the assembler, every few seconds, and for operators."""
    claims: list[Any] = []
    parcels: list[Any] = []
    sent: list[Any] = []
    some = itertools.cycle(range(7, wanted, max(1, wanted // ROUNDS)))

    def claim(session: Session, _: int) -> None:
        claims.append(claim_job(session, owner="benchmark", lease_s=600.0))

    def beat(session: Session, number: int) -> None:
        heartbeat(session, claims[number % len(claims)], lease_s=600.0)

    def claim_delivery(session: Session, _: int) -> None:
        parcels.extend(outbox.claim_parcels(session, "pacs", owner="benchmark", lease_s=600.0, limit=1))

    def send(session: Session, number: int) -> None:
        outbox.record_sent(session, parcels[number], status=0)

    def look(session: Session, _: int) -> None:
        sent[:] = proofs.unproven(session, "pacs", "query")

    def prove(session: Session, number: int) -> None:
        proofs.record_proven(session, sent[number], by="query")

    yield Call("claim a job", claim, writes=True)
    yield Call("heartbeat", beat, writes=True)
    yield Call("is anything to be sent?", lambda session, _: outbox.has_due_parcels(session, "pacs"))
    yield Call("claim one delivery", claim_delivery, writes=True)
    yield Call("record that it was sent", send, writes=True)
    yield Call("what is to be proven?", look)
    yield Call("record one proof", prove, writes=True)
    yield Call("what is held and to be looked for?", lambda session, _: proofs.held_unproven(session, "pacs"))
    yield Call("series due", lambda session, _: due_series(session, time.time()))
    yield Call("studies to decide on", lambda session, _: due_studies(session, time.time()))
    yield Call("release waiting jobs", lambda session, _: release_waiting(session, time.time()), writes=True)
    yield Call("release notes", lambda session, _: release_notes(session, time.time()), writes=True)
    yield Call("recover leases of jobs", lambda session, _: recover_leases(session, time.time()), writes=True)
    yield Call("... of a node that starts", lambda s, _: recover_leases(s, 0.0, owner="gone"), writes=True)
    yield Call("recover deliveries", lambda s, _: outbox.recover_parcels(s, time.time()), writes=True)
    yield Call("... of a sender that starts", lambda s, _: outbox.recover_parcels(s, 0.0, owner="gone"), writes=True)
    yield Call("settle stranded jobs", lambda session, _: outbox.settle_stranded_jobs(session), writes=True)
    yield Call("research that is no longer accepted", lambda s, _: outbox.withhold_research(s, "gone"), writes=True)
    yield Call("results for destinations that are gone", lambda session, _: outbox.orphaned(session, ["pacs"]))
    yield Call("jobs list", lambda session, _: list_all(session, JobFilter(), limit=50))
    yield Call("jobs list --status failed", lambda s, _: list_all(s, JobFilter(status="failed"), limit=50))
    yield Call("jobs list of an accession", lambda s, n: list_all(s, JobFilter(accession_number=f"ACC{n}"), limit=50))
    yield Call("destinations held", lambda session, _: list_held(session))
    for name, form in IDENTIFIERS.items():
        yield Call(f"why {name}", lambda session, _, form=form: events_of(session, form.format(n=next(some))))
    yield Call("page: queue", lambda session, _: standing.waiting_jobs(session))
    yield Call("page: deliveries", lambda session, _: standing.unsent(session, ["pacs"]))
    yield Call("page: seconds to the PACS", lambda session, _: standing.to_pacs(session))
    yield Call("page: newest studies", lambda session, _: studies.newest_studies(session))
    yield Call("page: search", lambda session, _: studies.find_studies(session, f"ACC{next(some)}"))
    old, now = time.time() - 30 * DAY_S, time.time()
    for name, limits in (("none", Limits(old, old)), ("all", Limits(now, now))):
        yield Call(f"files to delete, {name}: not used", lambda s, _, at=limits: expired_series(s, at, unused=True))
        yield Call(f"files to delete, {name}: a step", lambda s, _, at=limits: expired_series(s, at, unused=False))
    yield Call("delete the files of a series", lambda s, n: purge_series(s, n + 1, Limits(now, now)), writes=True)
    yield Call(
        "work folders that may go (of 1,000)",
        lambda s, _: finished_jobs(s, FOLDERS, before=old),
    )


def purge_series(session: Session, series_id: int, limits: Limits) -> None:
    """As retention does, without the files."""
    mark_purged(session, lock_expired(session, series_id, limits))


FOLDERS = range(1, 1001)
"""Jobs whose files are still there, as in two weeks of a busy hospital."""
IDENTIFIERS = {
    "JOB": "{n}",
    "ACCESSION": "ACC{n}",
    "STUDY": "1.2.3.{n}",
    "SERIES": "1.2.3.{n}.1",
    "IMAGE": "1.2.3.{n}.1.0",
    "RESULT": "1.2.3.{n}.9.0",
    "what is unknown": "1.2.9.{n}",
}


if __name__ == "__main__":
    sys.exit(main())
