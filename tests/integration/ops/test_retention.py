"""What is deleted when: never what a job still needs, and never under the hands of reception."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from sqlalchemy import select, update

from dicomnode.errors import ReceiveError
from dicomnode.ops.retention import DAY_S, HOUR_S, purge
from dicomnode.receive.intake import Intake
from dicomnode.receive.spool import IncomingFile, Spool
from dicomnode.store.deliver.results import Delivery, store_results
from dicomnode.store.engine import Store
from dicomnode.store.queue.jobs import cancel_job, claim_job, requeue_job
from dicomnode.store.queue.runs import source_paths
from dicomnode.store.receive.receptions import Indexed
from dicomnode.store.retention import Limits, lock_expired, mark_purged
from dicomnode.store.states import JOB_OPEN, JobStatus
from dicomnode.store.tables import Instance, Job, Series
from tests.integration.assemble.test_assembly import EVEN, dose_report, head
from tests.integration.assemble.world import World
from tests.integration.deliver.world import encoded_result
from tests.integration.store.fixture import both_databases


@pytest.fixture
def world(store: Store, tmp_path: Path) -> World:
    """Keeps used images for 14 days, unused ones for 24 hours."""
    return World(store, tmp_path / "data")


def files(world: World) -> list[Path]:
    """All files below the spool."""
    return [path for path in world.config.spool_dir.rglob("*") if path.is_file()]


def end_job(world: World, status: JobStatus) -> None:
    """Put the only job into a state."""
    finished_at = None if status in JOB_OPEN else 0.0
    world.change(lambda session: session.execute(update(Job).values(status=status, finished_at=finished_at)))


def purge_all(world: World) -> int:
    """A purge a month later."""
    world.age(30 * DAY_S)
    return purge(world.config, world.store)


@both_databases
def test_images_stay_for_their_retention_and_go_afterwards_with_their_folders(world: World) -> None:
    series = head()
    world.assemble(series)
    end_job(world, JobStatus.DONE)
    world.age(13.9 * DAY_S)
    assert purge(world.config, world.store) == 0
    world.age(0.2 * DAY_S)
    assert purge(world.config, world.store) == len(series)
    assert files(world) == []
    assert [path.name for path in world.config.spool_dir.iterdir()] == ["incoming"]
    assert {row.status for row in world.instances()} == {"purged"}
    assert purge(world.config, world.store) == 0


def test_nothing_of_an_open_job_goes_however_old_failure_mode_02(world: World) -> None:
    world.assemble(head())
    for status in JOB_OPEN:
        end_job(world, status)
        assert purge_all(world) == 0
    assert len(files(world)) == 12


def test_nothing_of_a_series_that_is_being_received_goes_however_old(world: World) -> None:
    world.send(head())
    assert purge_all(world) == 0
    assert len(files(world)) == 12


def test_what_was_never_used_goes_after_a_day_and_leaves_the_slices(world: World) -> None:
    series = head()
    world.assemble([*series, dose_report(series)])
    world.age(23 * HOUR_S)
    assert purge(world.config, world.store) == 0
    world.age(2 * HOUR_S)
    assert purge(world.config, world.store) == 1
    assert len(files(world)) == len(series)


def test_a_refused_series_is_kept_as_long_as_a_used_one(world: World) -> None:
    series = head(SeriesDescription="CTA")
    world.assemble(series)
    assert world.series(series).status == "refused"
    world.age(2 * DAY_S)
    assert purge(world.config, world.store) == 0
    assert purge_all(world) == len(series)


def test_a_purged_image_that_is_sent_again_is_kept_for_a_new_retention_and_starts_no_job(world: World) -> None:
    series = head()
    world.assemble(series)
    end_job(world, JobStatus.DONE)
    purge_all(world)
    peer = world.associate()
    assert set(world.receive(series, peer)) == {Indexed.DUPLICATE}
    world.end(peer)
    world.settle()
    assert {row.status for row in world.instances()} == {"used"}
    assert len(files(world)) == len(series)
    assert [job.status for job in world.jobs()] == ["done"]
    assert purge(world.config, world.store) == 0


def test_a_header_update_stays_the_newest_when_both_versions_come_again(world: World) -> None:
    from_scanner, corrected = head(), head()
    for ds in corrected:
        ds.PatientName = "Correct^Name"
    world.assemble(from_scanner, corrected)
    newest = update(Job).where(Job.generation == 2)
    world.change(lambda session: session.execute(newest.values(status=JobStatus.DONE)))
    purge_all(world)
    world.send(from_scanner)
    world.send(corrected)
    assert [row.status for row in world.instances()] == ["older"] * 12 + ["used"] * 12


def test_what_was_set_aside_stays_so_when_it_comes_again(world: World) -> None:
    series = head()
    localizer = head("scout", [0.0], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    localizer[0].SeriesInstanceUID = series[0].SeriesInstanceUID
    world.assemble([*series, *localizer])
    end_job(world, JobStatus.DONE)
    purge_all(world)
    world.send([*series, *localizer])
    assert [row.status for row in world.instances()] == ["used"] * 12 + ["not_used"]


def done_and_purged(world: World, series: list[Dataset]) -> None:
    """The series was run, and its retention is over."""
    world.assemble(series)
    end_job(world, JobStatus.DONE)
    assert purge_all(world) == len(series)


def test_a_late_slice_of_a_purged_series_is_recorded_and_the_result_stands(world: World) -> None:
    series = head(offsets=(*EVEN, 144.0))
    done_and_purged(world, series[:-1])
    world.assemble(series[-1:])
    world.age(61)
    world.assembler.tick()
    assert [job.status for job in world.jobs()] == ["done"]
    assert world.series(series).status == "chosen"
    late = world.instances()[-1]
    assert (late.status, late.reason) == ("not_used", "after_retention")
    assert [event.detail["sop_instance_uid"] for event in world.events("late_after_retention", "series")] == [
        late.sop_instance_uid
    ]


def test_a_purged_series_that_comes_again_with_a_further_slice_is_run_anew(world: World) -> None:
    series = head(offsets=(*EVEN, 144.0))
    done_and_purged(world, series[:-1])
    world.assemble([series[-1], *series[:-1]])
    world.age(61)
    world.assembler.tick()
    old, new = world.jobs()
    assert (old.status, new.generation) == ("superseded", 2)
    with world.store.read() as session:
        assert len(source_paths(session, new.series_id)) == len(series)


def test_a_purged_series_that_comes_again_with_corrected_headers_is_run_anew(world: World) -> None:
    series = head()
    done_and_purged(world, series)
    for ds in series:
        ds.PatientName = "Correct^Name"
    world.assemble(series[:6])
    assert [job.status for job in world.jobs()] == ["done"]
    world.assemble(series[6:])
    world.age(61)
    world.assembler.tick()
    old, new = world.jobs()
    assert (old.status, new.generation) == ("superseded", 2)
    with world.store.read() as session:
        assert len(source_paths(session, new.series_id)) == len(series)


def test_the_work_folder_of_a_finished_job_goes_and_that_of_an_open_one_stays(world: World) -> None:
    folders = []
    for name, status in (("done", JobStatus.DONE), ("queued", JobStatus.QUEUED), ("failed", JobStatus.FAILED)):
        world.assemble(head(name, StudyInstanceUID=generate_uid()))
        job = world.jobs()[-1]
        finished_at = None if status in JOB_OPEN else 1.0
        values = {"status": status, "finished_at": finished_at}
        world.change(
            lambda session, job=job, values=values: session.execute(update(Job).where(Job.id == job.id).values(values))
        )
        folders.append(world.config.work_dir / f"job-{job.id}")
        folders[-1].mkdir(parents=True)
        (folders[-1] / "findings.npz").touch()
    purge(world.config, world.store)
    assert [folder.exists() for folder in folders] == [False, True, False]


def test_results_that_wait_for_their_destination_keep_their_folder(world: World) -> None:
    world.assemble(head())
    world.age(30)
    end_job(world, JobStatus.QUEUED)
    with world.store.write() as session:
        claim = claim_job(session, owner="worker", lease_s=60.0)
        assert claim is not None
        pacs = Delivery("pacs", ("sr",), accept_research=True)
        store_results(session, claim, [encoded_result(world.config.node.data_dir, "sr")], [pacs])
    folder = world.config.work_dir / f"job-{claim.job_id}"
    folder.mkdir(parents=True)
    world.change(lambda session: session.execute(update(Job).values(status=JobStatus.UNDELIVERED, finished_at=1.0)))
    purge(world.config, world.store)
    assert folder.exists()
    world.change(lambda session: cancel_job(session, claim.job_id))
    purge_all(world)
    assert not folder.exists()


def test_a_job_that_is_queued_again_keeps_its_images_again(world: World) -> None:
    world.assemble(head())
    end_job(world, JobStatus.FAILED)
    job_id = world.jobs()[0].id
    world.age(30 * DAY_S)
    world.change(lambda session: requeue_job(session, job_id))
    assert purge(world.config, world.store) == 0


def test_a_file_that_is_purged_while_it_comes_again_is_asked_for_once_more(world: World) -> None:
    series = head()
    world.assemble(series)
    end_job(world, JobStatus.DONE)
    world.age(30 * DAY_S)
    spool = TellingSpool(world.config.spool_dir)
    world.intake = Intake(world.store, spool, settle_s=0.1, max_instances=10_000)
    with ThreadPoolExecutor(1) as pool:
        with world.store.write() as session:
            # The purge holds its lock; reception finds the same bytes in the spool and waits for the row.
            expired = lock_expired(session, world.series(series).id, Limits(float("inf"), float("inf")))
            again = pool.submit(world.receive, series[:1], world.associate())
            assert spool.committed.wait(60)
            for item in expired:
                (world.config.spool_dir / item.path).unlink()
            mark_purged(session, expired)
        refused = again.exception(20)
    assert isinstance(refused, ReceiveError)
    assert refused.status == 0xA700
    with world.store.read() as session:
        statement = select(Instance.status).where(Instance.sop_instance_uid == series[0].SOPInstanceUID)
        assert session.scalars(statement).one() == "purged"
    assert world.receive(series[:1], world.associate()) == [Indexed.DUPLICATE]
    assert len(files(world)) == 1


class TellingSpool(Spool):
    """Says when a file lies under its name."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.committed = threading.Event()

    def commit(self, incoming: IncomingFile, **uids: str) -> Path:
        path = super().commit(incoming, **uids)
        self.committed.set()
        return path


@both_databases
def test_purging_and_receiving_at_once_lose_no_acknowledged_file_failure_mode_02(world: World) -> None:
    series = head()
    world.assemble(series)
    end_job(world, JobStatus.DONE)
    stop, faults, acknowledged = threading.Event(), [], 0

    def purge_always() -> None:
        while not stop.is_set():
            try:
                purge(world.config, world.store, now=4e9)
            except BaseException as fault:  # noqa: BLE001 (handed to the test)
                faults.append(fault)

    purging = threading.Thread(target=purge_always)
    purging.start()
    for _ in range(2):
        for ds in series:
            with contextlib.suppress(ReceiveError):
                acknowledged += len(world.receive([ds], world.associate()))
    stop.set()
    purging.join(60)
    assert faults == []
    assert acknowledged > 0
    kept = {row.path for row in world.instances() if row.status == "used"}
    assert kept == {str(path.relative_to(world.config.spool_dir)) for path in files(world)}
    with world.store.read() as session:
        assert session.scalars(select(Series.status)).one() == "chosen"
