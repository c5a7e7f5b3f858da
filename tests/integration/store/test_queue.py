"""The job queue on SQLite and on PostgreSQL: leases, fencing, priority, uniqueness, superseding, atomic results."""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError

from dicomnode.decision import Decision, Grounds, Outcome, ScoreOutcome
from dicomnode.errors import LeaseLost
from dicomnode.records import EncodedResult
from dicomnode.store.deliver import outbox
from dicomnode.store.deliver.results import Delivery, store_results
from dicomnode.store.engine import Store
from dicomnode.store.history.events import events_of
from dicomnode.store.history.jobs import list_jobs, show_job
from dicomnode.store.queue.jobs import (
    STAT_HEAD_START_S,
    Claim,
    active_job,
    claim_job,
    create_job,
    give_way,
    heartbeat,
    is_stat_waiting,
    recover_leases,
    release_waiting,
    supersede_job,
    withdraw_results,
)
from dicomnode.store.queue.runs import (
    RunIdentity,
    fail_job,
    finish_run,
    pending_runs,
    refuse_job,
    start_run,
    succeeded_findings,
)
from dicomnode.store.states import JobEvent
from dicomnode.store.tables import Base, Event, Job, Outbox, Result, Run, Series
from dicomnode.store.transitions import move
from tests.integration.deliver.world import claimed_job, encoded_result, new_job, new_series
from tests.integration.store.fixture import both_databases

pytestmark = both_databases

PACS = Delivery("pacs", ("seg", "sr", "sc"), accept_research=False, proof="status")


SAME = RunIdentity("sha256:a", "")


def claim(store: Store, *, owner: str = "worker", lease_s: float = 60.0, after_stat: bool = False) -> Claim | None:
    with store.write() as session:
        return claim_job(session, owner=owner, lease_s=lease_s, after_stat=after_stat)


def job_of(store: Store, claimed: Claim) -> Job:
    with store.read() as session:
        return session.get_one(Job, claimed.job_id)


def contents(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table, to prove that nothing changed."""
    with store.read() as session:
        return {
            table.name: sorted((tuple(row) for row in session.execute(select(table))), key=repr)
            for table in Base.metadata.sorted_tables
        }


def set_ready_at(store: Store, job_id: int, ready_at: float) -> None:
    with store.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(ready_at=ready_at))


def test_a_claim_is_a_lease_with_an_owner_a_deadline_and_a_token(store: Store) -> None:
    new_job(store)
    before = time.time()
    claimed = claim(store, owner="worker-1", lease_s=30.0)
    assert claimed is not None
    job = job_of(store, claimed)
    assert (job.status, job.lease_owner, job.lease_token, job.attempts) == ("running", "worker-1", claimed.token, 1)
    assert job.lease_until is not None
    assert before + 30.0 <= job.lease_until <= time.time() + 30.0
    assert claim(store) is None


def test_a_heartbeat_extends_the_lease(store: Store) -> None:
    claimed = claimed_job(store, lease_s=1.0)
    with store.write() as session:
        heartbeat(session, claimed, lease_s=100.0)
    assert (job_of(store, claimed).lease_until or 0) > time.time() + 90
    with store.write() as session:
        assert recover_leases(session, time.time() + 50) == 0


def test_an_expired_lease_queues_the_job_again_without_counting_an_attempt(store: Store) -> None:
    claimed = claimed_job(store, lease_s=-1.0)
    with store.write() as session:
        (run,) = pending_runs(session, claimed, {})
        start_run(session, claimed, run)
    with store.write() as session:
        assert recover_leases(session, time.time()) == 1
    job = job_of(store, claimed)
    assert (job.status, job.attempts, job.lease_until) == ("queued", 0, None)
    with store.read() as session:
        assert [run.status for run in session.scalars(select(Run))] == ["pending"]
    again = claim(store)
    assert again is not None
    assert again.token > claimed.token


def test_a_restart_recovers_its_own_leases_and_no_others_failure_mode_05(store: Store) -> None:
    mine, others = claimed_job(store, owner="node-a"), claimed_job(store, owner="node-b")
    with store.write() as session:
        assert recover_leases(session, time.time(), owner="node-a") == 1
    assert job_of(store, mine).status == "queued"
    assert job_of(store, others).status == "running"


STALE_ACTIONS = {
    "heartbeat": lambda session, stale, result: heartbeat(session, stale, lease_s=60),
    "store_results": lambda session, stale, result: store_results(session, stale, [result], [PACS]),
    "pending_runs": lambda session, stale, result: pending_runs(session, stale, {}),
    "fail_job": lambda session, stale, result: fail_job(session, stale, error="x", retry_at=None),
    "retry_job": lambda session, stale, result: fail_job(session, stale, error="x", retry_at=time.time()),
}
"""Everything that a worker does under its lease."""


def lose_to_another_worker(store: Store, claimed: Claim) -> None:
    with store.write() as session:
        recover_leases(session, time.time(), owner="worker")
    assert claim(store, owner="other") is not None


def lose_to_recovery(store: Store, claimed: Claim) -> None:
    with store.write() as session:
        recover_leases(session, time.time(), owner="worker")


def lose_to_superseding(store: Store, claimed: Claim) -> None:
    with store.write() as session:
        supersede_job(session, session.get_one(Job, claimed.job_id), reason="late instance")


def lose_to_cancelling(store: Store, claimed: Claim) -> None:
    with store.write() as session:
        move(session, session.get_one(Job, claimed.job_id), JobEvent.CANCEL)


@pytest.mark.parametrize("lose", [lose_to_another_worker, lose_to_recovery, lose_to_superseding, lose_to_cancelling])
@pytest.mark.parametrize("action", STALE_ACTIONS)
def test_a_stale_claim_raises_lease_lost_and_changes_nothing_failure_mode_05(
    store: Store, tmp_path: Path, action: str, lose
) -> None:  # type: ignore[no-untyped-def]
    claimed = claimed_job(store)
    lose(store, claimed)
    result = encoded_result(tmp_path, "sr")
    before = contents(store)
    with pytest.raises(LeaseLost), store.write() as session:
        STALE_ACTIONS[action](session, claimed, result)
    assert contents(store) == before


@pytest.mark.parametrize("lose", [lose_to_another_worker, lose_to_recovery, lose_to_superseding])
@pytest.mark.parametrize("action", ["start_run", "finish_run", "refuse_job", "fail_run"])
def test_a_run_under_a_stale_claim_raises_lease_lost_and_changes_nothing(store: Store, action: str, lose) -> None:  # type: ignore[no-untyped-def]
    claimed = claimed_job(store)
    with store.write() as session:
        (run,) = pending_runs(session, claimed, {})
        if action != "start_run":
            start_run(session, claimed, run)
    lose(store, claimed)
    before = contents(store)
    actions = {
        "start_run": lambda session: start_run(session, claimed, run),
        "finish_run": lambda session: finish_run(session, claimed, run, findings_path="x", identity=SAME, device="cpu"),
        "refuse_job": lambda session: refuse_job(session, claimed, run=run, refusal="not_a_head", detail=""),
        "fail_run": lambda session: fail_job(session, claimed, error="x", retry_at=None, run=run),
    }
    with pytest.raises(LeaseLost), store.write() as session:
        actions[action](session)
    assert contents(store) == before


def test_claimers_at_once_never_get_the_same_job(store: Store) -> None:
    series_id = new_series(store)
    for number in range(30):
        new_job(store, series_id=series_id, protocol=f"p{number}")
    claimed: list[Claim] = []
    barrier = threading.Barrier(4)

    def work(owner: str) -> None:
        barrier.wait()
        while (found := claim(store, owner=owner)) is not None:
            claimed.append(found)

    threads = [threading.Thread(target=work, args=(f"worker-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == 30
    assert len({found.job_id for found in claimed}) == 30
    with store.read() as session:
        assert session.scalar(select(func.count()).where(Event.name == "claim", Event.subject == "job")) == 30


def test_a_stat_job_goes_before_routine_jobs_that_wait_longer(store: Store) -> None:
    now = time.time()
    routine, stat = new_job(store), new_job(store, priority="stat")
    set_ready_at(store, routine, now - STAT_HEAD_START_S - 60)
    set_ready_at(store, stat, now)
    assert [claim(store).job_id for _ in range(2)] == [stat, routine]  # type: ignore[union-attr]


@pytest.mark.parametrize(("waits_longer_s", "has_its_turn"), [(60.0, True), (-60.0, False)])
def test_a_routine_job_that_has_waited_for_long_takes_turns_with_stat_jobs(
    store: Store, waits_longer_s: float, has_its_turn: bool
) -> None:
    now = time.time()
    routine, stat = new_job(store), new_job(store, priority="stat")
    set_ready_at(store, routine, now - STAT_HEAD_START_S - waits_longer_s)
    set_ready_at(store, stat, now)
    claimed = claim(store, after_stat=True)
    assert claimed is not None
    assert (claimed.job_id, claimed.is_stat) == ((routine, False) if has_its_turn else (stat, True))


def test_a_job_that_gives_way_keeps_its_place_and_its_attempts_and_what_has_succeeded(store: Store) -> None:
    now = time.time()
    first, second = new_job(store), new_job(store)
    set_ready_at(store, first, now - 20)
    set_ready_at(store, second, now - 10)
    held = claim(store)
    assert held is not None
    assert held.job_id == first
    with store.write() as session:
        (row,) = pending_runs(session, held, {"hemorrhage": SAME})
        start_run(session, held, row)
        finish_run(session, held, row, findings_path="f", identity=SAME, device="cpu")
        assert not is_stat_waiting(session)
    stat = new_job(store, priority="stat")
    with store.write() as session:
        assert is_stat_waiting(session)
        give_way(session, held)
    with store.write() as session, pytest.raises(LeaseLost):
        give_way(session, held)
    claims = [claim(store) for _ in range(3)]
    assert [one.job_id for one in claims if one] == [stat, first, second]
    again = claims[1]
    assert again is not None
    assert again.attempts == 1
    with store.write() as session:
        assert pending_runs(session, again, {"hemorrhage": SAME}) == []


def test_jobs_of_one_priority_are_claimed_in_the_order_they_became_ready(store: Store) -> None:
    now = time.time()
    jobs = [new_job(store) for _ in range(3)]
    for job_id, age_s in zip(jobs, (1.0, 3.0, 2.0), strict=True):
        set_ready_at(store, job_id, now - age_s)
    assert [claim(store).job_id for _ in range(3)] == [jobs[1], jobs[2], jobs[0]]  # type: ignore[union-attr]


def test_a_job_that_waits_for_a_better_reconstruction_is_not_claimed_before(store: Store) -> None:
    series_id = new_series(store)
    with store.write() as session:
        series = session.get_one(Series, series_id)
        create_job(session, series, protocol="head", models=["m"], priority="stat", wait_s=20.0)
    assert claim(store) is None
    with store.write() as session:
        assert release_waiting(session, time.time()) == 0
        assert release_waiting(session, time.time() + 21.0) == 1
    set_ready_at(store, 1, time.time())
    assert claim(store) is not None


def test_a_second_active_job_for_the_same_acquisition_and_protocol_is_refused(store: Store) -> None:
    series_id = new_series(store)
    first = new_job(store, series_id=series_id)
    with pytest.raises(IntegrityError):
        new_job(store, series_id=series_id)
    new_job(store, series_id=series_id, protocol="another")
    with store.write() as session:
        supersede_job(session, session.get_one(Job, first), reason="better reconstruction")
    second = new_job(store, series_id=series_id)
    with store.read() as session:
        assert session.get_one(Job, second).generation == 2
        series = session.get_one(Series, series_id)
        active = active_job(session, series.study_uid, series.acquisition_key, "head")
        assert active is not None
        assert active.id == second


def test_a_finished_job_also_stands_in_the_way_of_a_second_one(store: Store, tmp_path: Path) -> None:
    claimed = claimed_job(store)
    with store.write() as session:
        store_results(session, claimed, [], [])
        outbox.settle_stranded_jobs(session)
    job = job_of(store, claimed)
    assert job.status == "done"
    with pytest.raises(IntegrityError):
        new_job(store, series_id=job.series_id)


def test_results_outbox_rows_and_the_step_to_delivering_are_one(store: Store, tmp_path: Path) -> None:
    claimed = claimed_job(store)
    results = [encoded_result(tmp_path, kind) for kind in ("seg", "sr", "sc")]
    viewer = Delivery("viewer", ("sc",), accept_research=False)
    with store.write() as session:
        store_results(session, claimed, results, [PACS, viewer])
    job = job_of(store, claimed)
    assert (job.status, job.lease_until) == ("delivering", None)
    with store.read() as session:
        assert len(session.scalars(select(Result)).all()) == 3
        where_to = session.execute(
            select(Outbox.destination, Result.kind).join(Result, Result.id == Outbox.result_id).order_by(Outbox.id)
        ).all()
    assert [tuple(row) for row in where_to] == [("pacs", "seg"), ("pacs", "sr"), ("pacs", "sc"), ("viewer", "sc")]


def test_results_are_stored_all_or_none(store: Store, tmp_path: Path) -> None:
    claimed = claimed_job(store)
    good = encoded_result(tmp_path, "sr")
    nameless = EncodedResult(
        kind="sr",
        sop_class_uid=good.sop_class_uid,
        sop_instance_uid=None,
        series_instance_uid="1.2",
        path=good.path,
        sha256=good.sha256,
        size_bytes=1,
        research=False,
    )  # type: ignore[arg-type]
    before = contents(store)
    with pytest.raises(IntegrityError), store.write() as session:
        store_results(session, claimed, [good, nameless], [PACS])
    assert contents(store) == before


def store_cancel_and_store_again(store: Store, claimed: Claim, results: list[EncodedResult]) -> None:
    """As when an admin cancels a job after its results are there, and then runs it again."""
    with store.write() as session:
        store_results(session, claimed, results, [PACS])
        job = session.get_one(Job, claimed.job_id)
        move(session, job, JobEvent.CANCEL)
        withdraw_results(session, job)
        move(session, job, JobEvent.REQUEUE)
    again = claim(store)
    assert again is not None
    with store.write() as session:
        store_results(session, again, results, [PACS])


def test_the_same_results_again_keep_their_rows_and_their_bytes(store: Store, tmp_path: Path) -> None:
    claimed = claimed_job(store)
    results = [encoded_result(tmp_path, "sr")]
    store_cancel_and_store_again(store, claimed, results)
    with store.read() as session:
        (result,) = session.scalars(select(Result)).all()
        (row,) = session.scalars(select(Outbox)).all()
    assert (result.superseded, row.status, row.attempts) == (False, "pending", 0)


def test_a_withheld_research_result_stays_withheld_when_its_job_runs_again(store: Store, tmp_path: Path) -> None:
    claimed = claimed_job(store)
    results = [encoded_result(tmp_path, "sr", research=True)]
    store_cancel_and_store_again(store, claimed, results)
    with store.write() as session:
        assert outbox.claim_parcels(session, "pacs", owner="node", lease_s=60) == []
        assert [row.status for row in session.scalars(select(Outbox))] == ["withheld"]


def test_superseding_withdraws_what_was_not_sent_and_marks_what_was(store: Store, tmp_path: Path) -> None:
    claimed = claimed_job(store)
    with store.write() as session:
        store_results(session, claimed, [encoded_result(tmp_path, kind) for kind in ("seg", "sr", "sc")], [PACS])
    with store.write() as session:
        sent, failed, _ = outbox.claim_parcels(session, "pacs", owner="node", lease_s=60)
        outbox.record_sent(session, sent, status=0)
        outbox.record_failure(session, failed, error="refused", status=0x0122, failed_at=time.time(), retry_at=None)
    lose_to_superseding(store, claimed)
    with store.read() as session:
        assert [row.status for row in session.scalars(select(Outbox).order_by(Outbox.id))] == [
            "sent",
            "withdrawn",
            "withdrawn",
        ]
        assert all(result.superseded for result in session.scalars(select(Result)))


def record_all(store: Store, parcels: list[outbox.Parcel], barrier: threading.Barrier) -> None:
    barrier.wait()
    for parcel in parcels:
        # withdrawn before: that is the answer the sender expects
        with contextlib.suppress(LeaseLost), store.write() as session:
            outbox.record_sent(session, parcel, status=0)


def supersede(store: Store, claimed: Claim, barrier: threading.Barrier) -> None:
    barrier.wait()
    lose_to_superseding(store, claimed)


def test_superseding_while_a_result_is_recorded_as_sent_ends_well_for_both(store: Store, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        for _ in range(15):
            claimed = claimed_job(store)
            with store.write() as session:
                store_results(session, claimed, [encoded_result(tmp_path, kind) for kind in ("sr", "sc")], [PACS])
            with store.write() as session:
                parcels = outbox.claim_parcels(session, "pacs", owner="node", lease_s=60)
            barrier = threading.Barrier(2)
            both = [
                pool.submit(record_all, store, parcels, barrier),
                pool.submit(supersede, store, claimed, barrier),
            ]
            for future in both:
                future.result()
            assert job_of(store, claimed).status == "superseded"
            with store.read() as session:
                statuses = session.scalars(select(Outbox.status).where(Outbox.job_id == claimed.job_id)).all()
            assert set(statuses) <= {"sent", "withdrawn"}


def test_two_destinations_that_finish_at_once_end_the_job(store: Store, tmp_path: Path) -> None:
    archive = Delivery("archive", ("sr",), accept_research=False, proof="status")
    with ThreadPoolExecutor(2) as pool:
        for _ in range(15):
            claimed = claimed_job(store)
            with store.write() as session:
                store_results(session, claimed, [encoded_result(tmp_path, "sr")], [PACS, archive])
            batches = []
            for destination in ("pacs", "archive"):
                with store.write() as session:
                    batches.append(outbox.claim_parcels(session, destination, owner="node", lease_s=60))
            barrier = threading.Barrier(2)
            for future in [pool.submit(record_all, store, parcels, barrier) for parcels in batches]:
                future.result()
            assert job_of(store, claimed).status == "sent_unproven"


def test_a_run_that_succeeded_counts_only_with_the_model_and_the_inputs_it_ran_with(store: Store) -> None:
    claimed = claimed_job(store)
    with store.write() as session:
        (run,) = pending_runs(session, claimed, {"hemorrhage": SAME})
        start_run(session, claimed, run)
        finish_run(session, claimed, run, findings_path="work/1", identity=SAME, device="cpu")
    with store.write() as session:
        assert pending_runs(session, claimed, {"hemorrhage": SAME}) == []
        assert succeeded_findings(session, claimed.job_id) == ["work/1"]
    for other in (RunIdentity("sha256:b", ""), RunIdentity("sha256:a", "another context")):
        with store.write() as session:
            assert [row.model for row in pending_runs(session, claimed, {"hemorrhage": other})] == ["hemorrhage"]
            session.rollback()


def test_what_the_findings_of_a_run_come_to_is_told_by_the_job_and_its_history(store: Store) -> None:
    told = Outcome(
        finding="hemorrhage",
        decision=Decision.UNCERTAIN,
        grounds=Grounds.EXAM_BELOW,
        volume_ml=0.62,
        lesions=1,
        exam_probability=0.08,
        exam_threshold=0.56,
    )
    score = ScoreOutcome(finding="edema", value=0.34, unit="1", threshold=0.28)
    claimed = claimed_job(store)
    with store.write() as session:
        (run,) = pending_runs(session, claimed, {"hemorrhage": SAME})
        start_run(session, claimed, run)
        assert list_jobs(session)[0].result == ""
        given = {"findings_path": "work/1", "identity": SAME, "device": "cpu"}
        finish_run(session, claimed, run, **given, outcomes=(told,), scores=(score,))
    with store.read() as session:
        (listed,) = list_jobs(session)
        shown = show_job(session, claimed.job_id)
        history = [event.detail.get("hemorrhage") for event in events_of(session, str(claimed.job_id))]
    assert shown is not None
    for line in (listed, shown):
        assert line.decision == "uncertain"
        assert line.result == "hemorrhage: uncertain, 0.62 mL, 1 lesion; edema: 0.34, at or above 0.28"
        assert (line.outcomes, line.scores) == ([told.as_dict()], [score.as_dict()])
    assert "uncertain, 0.62 mL, 1 lesion" in history


def test_a_failed_transaction_leaves_no_event(store: Store) -> None:
    job_id = new_job(store)
    before = contents(store)

    def claim_and_fall() -> None:
        with store.write() as session:
            assert claim_job(session, owner="worker", lease_s=60) is not None
            raise RuntimeError("the worker falls over here")

    with pytest.raises(RuntimeError):
        claim_and_fall()
    assert contents(store) == before
    claimed = claim(store)
    assert claimed is not None
    assert claimed.job_id == job_id
