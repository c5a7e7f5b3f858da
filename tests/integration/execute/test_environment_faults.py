"""What the environment does to a job passes: it is tried again, costs no attempt, and never becomes a refusal."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import update

from dicomnode.environment import Fault
from dicomnode.execute.child import ChildProcess
from dicomnode.execute.dispatcher import _do
from dicomnode.execute.job import ClaimedJob
from dicomnode.store.engine import Store
from dicomnode.store.queue.jobs import claim_job
from dicomnode.store.storage import Storage
from dicomnode.store.tables import Job
from tests.integration.execute.world import Bundles, ExecutionWorld, Workers
from tests.integration.receive.world import wait_until

SHORT = """
import resource
from dicomnode.environment import fault_of
from dicomnode.execute.limits import reading
resource.setrlimit(resource.RLIMIT_AS, (600 << 20, resource.RLIM_INFINITY))
try:
    with reading(1):
        bytearray(700 << 20)
except Exception as fault:
    print(fault_of(fault))
"""


@pytest.fixture
def world(sqlite_template: Path, tmp_path: Path, bundles: Bundles, workers: Workers) -> Iterator[ExecutionWorld]:
    """A node with one attempt for each job, whose database and spool belong together."""
    store = Store(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'node.db')}")
    made = ExecutionWorld(store, tmp_path / "data", bundles, ("threshold",), max_attempts=1)
    made.use(workers)
    workers.start()
    Storage(store, made.config.spool_dir).bind()
    yield made
    store.close()


def claimed(world: ExecutionWorld) -> ClaimedJob:
    """The next job, as a dispatcher holds it."""
    with world.store.write() as session:
        claim = claim_job(session, owner="node", lease_s=60)
    assert claim is not None
    return ClaimedJob(world.dispatcher._workplace(), claim)


def be_due(world: ExecutionWorld) -> None:
    """Whatever waits is due."""
    world.change(lambda session: session.execute(update(Job).values(ready_at=0.0)))


@contextmanager
def away(folder: Path) -> Iterator[None]:
    """As a mount that is gone: an empty folder is left."""
    elsewhere = folder.with_name("elsewhere")
    folder.rename(elsewhere)
    folder.mkdir()
    try:
        yield
    finally:
        folder.rmdir()
        elsewhere.rename(folder)


@contextmanager
def limited(pid: int, what: int, limit: int) -> Iterator[None]:
    """A process runs into a limit of the operating system."""
    soft, hard = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (limit, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, what, (soft, hard))


def test_a_job_waits_for_its_spool_untouched(world: ExecutionWorld) -> None:
    job_id = world.queue_head()
    with away(world.config.spool_dir):
        assert not world.step()
        assert world.job(job_id).status == "queued"
    assert world.step()
    assert world.job(job_id).status == "delivering"


def test_a_spool_that_goes_while_the_job_runs_postpones_it_and_costs_no_attempt_failure_mode_06(
    world: ExecutionWorld, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = world.queue_head()
    for _ in range(3):
        job = claimed(world)
        with away(world.config.spool_dir):
            _do(job)
        assert world.job(job_id).status == "queued"
        be_due(world)
    alarms = [record for record in caplog.records if getattr(record, "action", "") == "environment"]
    assert [record.levelname for record in alarms] == ["ERROR"] * 3
    pauses = [record.retry_s for record in alarms]
    assert pauses == [pauses[0], 2 * pauses[0], 4 * pauses[0]]
    assert len(world.events("postpone", "job")) == 3
    assert world.step()
    assert world.job(job_id).status == "delivering"


@pytest.mark.parametrize("what", [resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE])
def test_a_worker_out_of_descriptors_or_disk_refuses_nothing(
    world: ExecutionWorld, workers: Workers, what: int
) -> None:
    job_id = world.queue_head()
    pid = workers.case_worker.pid
    assert pid is not None
    with limited(pid, what, 3):  # below what it has already: nothing more is given to it
        assert world.step()
        job = world.job(job_id)
    assert (job.status, job.refusal) == ("queued", "")
    be_due(world)
    wait_until(world.step, 90)
    assert world.job(job_id).status == "delivering"


def test_a_job_that_always_needs_more_memory_than_there_is_ends_after_so_many_times(
    world: ExecutionWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("dicomnode.execute.job.OUT_OF_MEMORY_MAX", 3)
    job_id = world.queue_head()
    hungry = ChildProcess("tests.integration.execute.hungry_worker", None, start_timeout_s=60)
    world.dispatcher.case_worker = hungry
    for _ in range(2):
        assert world.step()
        assert (world.job(job_id).status, hungry.is_running) == ("queued", False)
        be_due(world)
    assert world.step()
    job = world.job(job_id)
    assert (job.status, job.refusal) == ("failed", "")
    assert job.error.startswith("out of memory 3 times in a row: MemoryError")
    assert [record.message for record in caplog.records if record.levelname == "ERROR"][-1] == "job failed"


def test_a_job_that_was_short_of_memory_for_a_while_is_done(
    world: ExecutionWorld, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicomnode.execute.job.OUT_OF_MEMORY_MAX", 2)
    job_id = world.queue_head()
    with world.store.write() as session:
        claim = claim_job(session, owner="node", lease_s=60)
    assert claim is not None
    ClaimedJob(world.dispatcher._workplace(), claim).postpone("MemoryError", Fault.MEMORY)
    be_due(world)
    assert world.step()
    assert world.job(job_id).status == "delivering"


def test_a_process_with_less_memory_than_reading_may_take_blames_no_image() -> None:
    answered = subprocess.run([sys.executable, "-c", SHORT], capture_output=True, text=True, check=True, timeout=60)
    assert answered.stdout.strip() == "memory"


def test_a_file_that_is_missing_in_a_spool_that_is_there_ends_the_job_without_blaming_the_images(
    world: ExecutionWorld,
) -> None:
    job_id = world.queue_head()
    next(world.config.spool_dir.rglob("*.dcm")).unlink()
    assert world.step()
    job = world.job(job_id)
    assert (job.status, job.refusal) == ("failed", "")
    assert "No such file" in job.error


def test_a_damaged_file_is_refused_at_once(world: ExecutionWorld) -> None:
    job_id = world.queue_head()
    next(world.config.spool_dir.rglob("*.dcm")).write_bytes(b"no image at all" * 100)
    assert world.step()
    job = world.job(job_id)
    assert (job.status, job.refusal) == ("refused", "unreadable")
