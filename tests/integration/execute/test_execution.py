"""Jobs on a real worker process: results, crashes, time-outs, refusals, lost leases, retries."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from sqlalchemy import update

from dicomnode.config.notify import Notify
from dicomnode.errors import WorkerCrashed
from dicomnode.execute.findings_file import load_findings
from dicomnode.execute.tasks import EncodeTask, ReadTask, Reply, Task
from dicomnode.ops.notify.findings import urgent_findings
from dicomnode.ops.retention import DAY_S, purge
from dicomnode.receive.part10 import Origin, preamble_of
from dicomnode.records import MaskFinding
from dicomnode.store.deliver.outbox import settle_stranded_jobs
from dicomnode.store.engine import Store
from dicomnode.store.queue.jobs import cancel_job, claim_job, recover_leases, requeue_job
from dicomnode.store.queue.runs import RunIdentity, pending_runs
from dicomnode.store.tables import Job
from tests.acceptance.scanner import small_study
from tests.integration.attack.bombs import jpeg_2000
from tests.integration.execute.world import Bundles, ExecutionWorld, Workers
from tests.integration.store.fixture import both_databases, sqlite_only

NewWorld = Callable[..., ExecutionWorld]


@pytest.fixture
def new_world(
    new_database: Callable[..., str], tmp_path: Path, bundles: Bundles, workers: Workers
) -> Iterator[NewWorld]:
    """Makes a world with the session's worker: ``new_world("threshold", run_timeout_s=1)``."""
    opened = Store(new_database())

    def make(*models: str, **execution: object) -> ExecutionWorld:
        world = ExecutionWorld(opened, tmp_path / "data", bundles, models, **execution)
        world.use(workers)
        workers.start()
        return world

    bundles.close()
    yield make
    opened.close()


@sqlite_only
def test_kinds_made_on_request_are_made_where_a_destination_takes_them(new_world: NewWorld) -> None:
    world = new_world("threshold")
    (pacs,) = world.config.destination
    taking = pacs.model_copy(update={"results": ("text", "kos")})
    world.dispatcher.config = world.config.model_copy(update={"destination": (taking,)})
    job_id = world.queue_head()
    assert world.step()
    assert sorted(line.kind for line in world.job(job_id).deliveries) == ["kos", "text"]
    assert {result.kind for result in world.results()} == {"seg", "sr", "text", "sc", "kos"}


@sqlite_only
def test_the_probabilities_of_a_run_reach_a_destination_that_takes_them(new_world: NewWorld) -> None:
    world = new_world("threshold")
    (pacs,) = world.config.destination
    taking = pacs.model_copy(update={"results": ("probability",)})
    world.dispatcher.config = world.config.model_copy(update={"destination": (taking,)})
    job_id = world.queue_head()
    assert world.step()
    assert [line.kind for line in world.job(job_id).deliveries] == ["probability"]
    paths = {result.kind: world.config.node.data_dir / result.path for result in world.results()}
    seg, pm = pydicom.dcmread(paths["seg"]), pydicom.dcmread(paths["probability"])
    assert np.count_nonzero(pm.pixel_array > 0.5) == np.count_nonzero(seg.pixel_array) > 0


def test_a_job_runs_to_results_that_wait_in_the_outbox(new_world: NewWorld) -> None:
    world = new_world("threshold")
    job_id = world.queue_head()
    assert world.step()
    job = world.job(job_id)
    assert (job.status, job.attempts) == ("delivering", 1)
    (run,) = job.runs
    assert (run.status, run.device, run.attempts, run.crashes) == ("succeeded", "cpu", 1, 0)
    assert run.digest == world.dispatcher.backend.models["threshold"]
    assert {"seg", "sr", "sc"} <= {line.kind for line in job.deliveries}
    assert {line.status for line in job.deliveries} == {"pending"}
    for result in world.results():
        ds = pydicom.dcmread(world.config.node.data_dir / result.path)
        assert ds.StudyInstanceUID == job.study_uid
    assert world.brain_hu(job_id) == pytest.approx(32.0, abs=1.0)  # as tests.tools.series.head_hu draws it
    assert not world.step()


@sqlite_only
def test_two_models_run_in_order_and_are_encoded_together(new_world: NewWorld) -> None:
    world = new_world("second", "threshold")
    job_id = world.queue_head()
    world.step()
    job = world.job(job_id)
    assert [(run.model, run.status) for run in job.runs] == [("second", "succeeded"), ("threshold", "succeeded")]
    assert world.run(job_id, "second").finished_at <= world.run(job_id, "threshold").started_at
    (seg,) = [pydicom.dcmread(world.config.node.data_dir / r.path) for r in world.results() if r.kind == "seg"]
    assert len(seg.SegmentSequence) == 2


@sqlite_only
def test_a_model_that_raises_is_tried_again_and_then_fails_without_its_message(
    new_world: NewWorld, capfd: pytest.CaptureFixture[str]
) -> None:
    world = new_world("threshold", "raising", max_attempts=2)
    job_id, pid = world.queue_head(), world.worker_pid
    world.step()
    assert world.job(job_id).status == "queued"
    world.step_again()
    job = world.job(job_id)
    assert (job.status, job.attempts) == ("failed", 2)
    assert job.error.startswith("LookupError at ladder.py:")
    assert [(run.model, run.status, run.attempts) for run in job.runs] == [
        ("threshold", "succeeded", 1),
        ("raising", "failed", 2),
    ]
    assert world.worker_pid == pid
    assert world.results() == []
    assert "Doe" not in "".join(capfd.readouterr())
    assert world.change(lambda session: requeue_job(session, job_id)) == "queued"


@sqlite_only
def test_a_model_that_runs_out_of_memory_costs_the_run_not_the_worker_failure_mode_20(new_world: NewWorld) -> None:
    world = new_world("memory", max_attempts=1)
    job_id, pid = world.queue_head(), world.worker_pid
    world.step()
    job = world.job(job_id)
    assert (job.status, job.runs[0].crashes) == ("failed", 0)
    assert "out of memory" in job.error
    assert world.worker_pid == pid


@sqlite_only
def test_a_run_with_too_little_memory_makes_do_with_fewer_windows_and_says_so(
    new_world: NewWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world = new_world("threshold", "capped")
    job_id = world.queue_head()
    world.step()
    job = world.job(job_id)
    assert (job.status, [run.status for run in job.runs]) == ("delivering", ["succeeded", "succeeded"])
    told = {event.detail["model"]: event.detail.get("too little memory") for event in world.events("succeed", "run")}
    assert told == {"threshold": None, "capped": "4 windows at once on cpu"}
    (warning,) = [record for record in caplog.records if record.message == "too little memory"]
    assert (warning.__dict__["model"], warning.__dict__["made_do"]) == ("capped", "4 windows at once on cpu")
    paths = [world.config.work_dir / world.run(job_id, model).findings_path for model in told]
    (plain,), (capped,) = map(load_findings, paths)
    assert isinstance(plain, MaskFinding)
    assert isinstance(capped, MaskFinding)
    assert np.array_equal(plain.mask, capped.mask)


@sqlite_only
def test_a_volume_without_a_brain_refuses_the_job_for_that(new_world: NewWorld) -> None:
    world = new_world("threshold")
    job_id, pid = world.queue_phantom(), world.worker_pid
    world.step()
    job = world.job(job_id)
    assert (job.status, job.refusal, job.attempts) == ("refused", "not_a_head", 1)
    assert job.runs[0].status == "failed"
    assert world.worker_pid == pid
    assert world.results() == []
    world.change(lambda session: requeue_job(session, job_id))
    world.step()
    assert world.job(job_id).status == "refused"


@both_databases
def test_a_job_superseded_while_it_runs_writes_nothing_and_keeps_the_worker(new_world: NewWorld) -> None:
    world = new_world("gated")
    study = small_study("head")
    world.assemble(study[:-1])
    (old,), pid = world.active_jobs(), world.worker_pid
    with world.running():
        world.send(study[-1:])
        assert world.job(old.id).status == "superseded"
        world.bundles.open()
    job = world.job(old.id)
    assert job.status == "superseded"
    assert job.runs[0].status == "pending"
    assert world.results() == []
    assert world.worker_pid == pid
    time.sleep(0.1)
    world.assembler.tick()
    world.step()
    (new,) = world.active_jobs()
    assert (new.status, new.generation) == ("delivering", 2)


def test_a_job_cancelled_while_it_runs_writes_nothing_and_can_be_retried(new_world: NewWorld) -> None:
    world = new_world("gated")
    job_id, pid = world.queue_head(), world.worker_pid
    with world.running():
        world.change(lambda session: cancel_job(session, job_id))
        world.bundles.open()
    job = world.job(job_id)
    assert (job.status, job.runs[0].status) == ("cancelled", "pending")
    assert world.results() == []
    assert world.worker_pid == pid
    assert not world.step()
    world.change(lambda session: requeue_job(session, job_id))
    world.step()
    assert world.job(job_id).status == "delivering"


@sqlite_only
def test_a_long_run_keeps_its_lease(new_world: NewWorld) -> None:
    world = new_world("gated", lease_s=2.0)
    job_id = world.queue_head()
    with world.running():
        time.sleep(2.5)
        assert world.change(lambda session: recover_leases(session, time.time())) == 0
        world.bundles.open()
    assert world.job(job_id).status == "delivering"


def stat_head(world: ExecutionWorld) -> int:
    """An urgent job comes."""
    job_id = world.queue_head("urgent")
    with world.store.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(priority="stat"))
    return job_id


@sqlite_only
def test_a_stat_job_waits_for_the_run_that_has_begun_and_not_for_its_encoding(new_world: NewWorld) -> None:
    world = new_world("gated")
    routine = world.queue_head()
    with world.running():
        urgent = stat_head(world)
        world.bundles.open()
    assert (world.job(routine).status, world.run(routine, "gated").status) == ("queued", "succeeded")
    assert world.step()
    assert (world.job(routine).status, world.job(urgent).status) == ("queued", "delivering")
    assert world.step()
    assert (world.job(routine).status, world.job(routine).attempts) == ("delivering", 1)
    assert world.run(routine, "gated").attempts == 1


@sqlite_only
def test_a_node_that_is_drained_finishes_the_job_at_hand_though_a_stat_one_waits(new_world: NewWorld) -> None:
    world = new_world("gated")
    routine = world.queue_head()
    with world.running():
        stat_head(world)
        world.dispatcher.takes_jobs = False
        world.bundles.open()
    assert world.job(routine).status == "delivering"


@sqlite_only
def test_findings_damaged_on_disk_are_made_again(new_world: NewWorld) -> None:
    world = new_world("threshold", "gated", max_attempts=5)
    job_id = world.queue_head()
    with world.running():
        findings = world.config.work_dir / world.run(job_id, "threshold").findings_path
        assert load_findings(findings)
        findings.write_bytes(findings.read_bytes()[:100])
        world.bundles.open()
    job = world.job(job_id)
    assert (job.status, [run.status for run in job.runs]) == ("queued", ["pending", "pending"])
    assert "findings cannot be read" in job.error
    world.step_again()
    assert load_findings(world.config.work_dir / world.run(job_id, "threshold").findings_path)


@sqlite_only
def test_a_job_whose_runs_have_all_succeeded_is_encoded_again_without_a_volume_for_the_models(
    new_world: NewWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = new_world("threshold")
    worker, asked = world.workers.case_worker, list[Task]()
    really_ask = worker.ask

    def ask(task: Task, **options: Any) -> Reply:
        asked.append(task)
        if [type(one) for one in asked].count(EncodeTask) == 1 and isinstance(task, EncodeTask):
            raise WorkerCrashed("killed")
        return really_ask(task, **options)

    monkeypatch.setattr(worker, "ask", ask)
    job_id = world.queue_head()
    world.step()
    assert world.job(job_id).status == "queued"
    first = len(asked)
    world.step_again()
    assert world.job(job_id).status == "delivering"
    assert [task.volume for task in asked[first:] if isinstance(task, ReadTask)] == [None]


@sqlite_only
def test_a_model_that_changed_runs_again_and_one_that_did_not_does_not(new_world: NewWorld) -> None:
    world = new_world("threshold", "raising")
    world.queue_head()
    world.step()
    time.sleep(0.05)
    with world.store.write() as session:
        claim = claim_job(session, owner="node", lease_s=60)
        assert claim is not None
        wanted = {name: RunIdentity(digest, "") for name, digest in world.dispatcher.backend.models.items()}
        same = pending_runs(session, claim, wanted)
        assert [row.model for row in same] == ["raising"]
        changed = {**wanted, "threshold": RunIdentity("sha256:another", "")}
        assert [row.model for row in pending_runs(session, claim, changed)] == ["threshold", "raising"]


@sqlite_only
def test_a_run_whose_inputs_changed_runs_again(new_world: NewWorld) -> None:
    world = new_world("threshold", "raising")
    world.queue_head()
    world.step()
    time.sleep(0.05)
    with world.store.write() as session:
        claim = claim_job(session, owner="node", lease_s=60)
        assert claim is not None
        digest = world.dispatcher.backend.models["threshold"]
        later = {"threshold": RunIdentity(digest, "another context")}
        assert [row.model for row in pending_runs(session, claim, later)] == ["threshold", "raising"]


@sqlite_only
def test_a_retried_job_whose_images_are_gone_fails_with_that_reason(new_world: NewWorld) -> None:
    world = new_world("memory", max_attempts=1)
    job_id = world.queue_head()
    world.step()
    world.age(30 * DAY_S)
    purge(world.config, world.store)
    world.change(lambda session: requeue_job(session, job_id))
    assert world.step()
    job = world.job(job_id)
    assert (job.status, job.error) == ("failed", "the images are no longer kept: their retention is over")


@sqlite_only
def test_a_run_that_costs_two_workers_is_quarantined_until_an_operator_retries_failure_mode_07(
    new_world: NewWorld,
) -> None:
    world = new_world("gated", run_timeout_s=2.0)
    job_id = world.queue_head()
    with world.running():
        world.kill_worker()
    job = world.job(job_id)
    assert (job.status, job.runs[0].status, job.runs[0].crashes) == ("queued", "failed", 1)
    assert "exit code -9" in job.runs[0].error
    world.step()
    job = world.job(job_id)
    assert (job.status, job.runs[0].status, job.runs[0].crashes) == ("quarantined", "quarantined", 2)
    assert "no answer within 2 s" in job.runs[0].error
    assert world.worker_pid is None
    assert world.change(lambda session: requeue_job(session, job_id)) == "queued"
    assert world.job(job_id).runs[0].crashes == 0


@sqlite_only
def test_a_worker_ended_together_with_the_node_is_nobodys_fault(new_world: NewWorld) -> None:
    world = new_world("gated")
    job_id = world.queue_head()
    stop = threading.Event()
    node = threading.Thread(target=world.dispatcher.run, args=(stop,))
    node.start()
    world.bundles.wait_until_running()
    stop.set()
    world.kill_worker()
    node.join(60)
    world.change(lambda session: recover_leases(session, time.time(), owner="node"))
    job = world.job(job_id)
    assert (job.status, job.attempts) == ("queued", 0)
    assert (job.runs[0].status, job.runs[0].crashes) == ("pending", 0)


@sqlite_only
def test_a_slice_that_is_a_bomb_refuses_the_job_once_and_for_all(new_world: NewWorld) -> None:
    world = new_world("threshold")
    job_id = world.queue_head()
    row = world.instances()[0]
    bomb = jpeg_2000(row.sop_instance_uid)
    origin = Origin(row.sop_class_uid, row.sop_instance_uid, bomb.syntax, "CT1", "NODE")
    (world.config.spool_dir / row.path).write_bytes(preamble_of(origin) + bomb.data_set)
    assert world.step()
    job = world.job(job_id)
    assert (job.status, job.refusal, job.attempts) == ("refused", "implausible_size", 1)


@sqlite_only
def test_a_series_of_two_patients_is_refused_and_one_whose_patient_was_named_meanwhile_is_not(
    new_world: NewWorld,
) -> None:
    world = new_world("threshold")
    mixed, named = small_study("mixed"), small_study("named")
    for ds in mixed[::2]:
        ds.PatientID, ds.PatientName = "0815", "Suzuki^Ichirou"
    for ds in named[::2]:
        ds.PatientID, ds.PatientName = "TMP-12", "Unknown^Male"
    world.assemble(mixed, named)
    refused, done = world.active_jobs()
    assert world.step()
    assert world.step()
    job = world.job(refused.id)
    assert (job.status, job.refusal) == ("refused", "mixed_patients")
    assert "Suzuki" not in str([event.detail for event in world.events("refuse", "job")])
    assert world.job(done.id).status == "delivering"


@sqlite_only
def test_a_dispatcher_that_retires_leaves_what_is_queued_to_its_successor(new_world: NewWorld) -> None:
    world = new_world("threshold")
    job_id = world.queue_head()
    world.dispatcher.retire()
    assert not world.step()
    assert world.job(job_id).status == "queued"


@sqlite_only
def test_a_protocol_in_shadow_keeps_what_came_of_it_and_sends_nothing(new_world: NewWorld) -> None:
    world = new_world("threshold")
    (protocol,) = world.config.protocol
    shadow = protocol.model_copy(update={"shadow": True})
    world.dispatcher.config = world.config.model_copy(update={"protocol": (shadow,)})
    job_id = world.queue_head()
    assert world.step()
    with world.store.write() as session:
        settle_stranded_jobs(session)
    page = world.job(job_id)
    assert (page.status, page.deliveries) == ("done", [])
    assert world.results()
    notify, now = Notify(urgent_ml=0.1), time.time()
    with world.store.read() as session:
        assert [one.job_id for one in urgent_findings(session, notify, now)] == [job_id]
        assert list(urgent_findings(session, notify, now, shadows={shadow.name})) == []
