"""A PACS that files a result otherwise than it was sent: announced or not, shown or not. It is never sent in vain."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import select, update

from dicomnode.config.destinations import WebDestination
from dicomnode.deliver.query import STUDY_ROOT_FIND
from dicomnode.deliver.sender import Sender
from dicomnode.dicom.commitment import report_of
from dicomnode.store.deliver import holding
from dicomnode.store.deliver.commitments import take_report
from dicomnode.store.engine import Store
from dicomnode.store.history.held import list_held
from dicomnode.store.tables import Commitment, Outbox, Result
from tests.integration.deliver.pacs import ScriptedPacs
from tests.integration.deliver.web_pacs import Reply, WebPacs, stored
from tests.integration.deliver.world import World
from tests.integration.store.fixture import sqlite_only

COERCED, DUPLICATE = 0xB000, 0x0111
REMARKS = (0xB006, 0xB007, 0x0107)
"""Warnings that do not say that it was filed elsewhere."""
HIERARCHICAL_ONLY = 0xA900


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[ScriptedPacs]:
    with ScriptedPacs(tmp_path / "pacs") as running:
        yield running


def quick(world: World, pacs: ScriptedPacs, **more: Any) -> Sender:
    """A sender that waits for nothing."""
    return world.sender(world.destination(pacs.port, proof_wait_s=0.05, **more), look_again_s=0.05)


def step_for(sender: Sender, seconds: float) -> None:
    """Long enough for a result to be sent again, were it to be."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        sender.step()
        time.sleep(0.02)


def test_a_result_that_the_pacs_says_it_filed_elsewhere_is_asked_for_by_its_own_uid(
    world: World, pacs: ScriptedPacs
) -> None:
    pacs.statuses, pacs.refiles_under = [COERCED, COERCED], {"study_uid": "1.2.3", "series_uid": "1.2.3.4"}
    job_id, results = world.deliver("seg", "sr")
    world.sender(world.destination(pacs.port)).step()
    assert world.job(job_id).status == "done"
    assert pacs.asked == [result.sop_instance_uid for result in results]
    assert pacs.proposals == [{STUDY_ROOT_FIND: b"\x01"}]  # relational queries
    assert [event.detail["filed"] for event in world.events("prove")] == ["in another study"] * 2


def test_where_the_pacs_says_nothing_of_other_studies_the_result_is_held_with_the_reason(
    world: World, pacs: ScriptedPacs
) -> None:
    pacs.statuses, pacs.refiles_under, pacs.alone_status = [COERCED], {"study_uid": "1.2.3"}, HIERARCHICAL_ONLY
    job_id, results = world.deliver("sr")
    sender = quick(world, pacs)
    world.step_until(sender, lambda: world.statuses(job_id) == ["held"])
    step_for(sender, 1.0)
    assert pacs.asked == [results[0].sop_instance_uid]
    with world.store.read() as session:
        (line,) = list_held(session)
    assert (line.job_id, line.count) == (job_id, 1)
    assert "changed it as it stored it" in line.reason
    assert "0xB000 warning (coercion of data elements)" in line.reason
    pacs.alone_status = 0  # the query is allowed now
    world.step_until(sender, lambda: world.job(job_id).status == "done")
    assert pacs.asked == [results[0].sop_instance_uid]


@sqlite_only
@pytest.mark.parametrize("status", [COERCED, DUPLICATE])
def test_what_is_shown_nowhere_though_the_pacs_says_it_has_it_is_held(
    world: World, pacs: ScriptedPacs, status: int
) -> None:
    pacs.statuses, pacs.hidden_looks = [status], 10**6
    job_id, results = world.deliver("sr")
    sender = quick(world, pacs)
    world.step_until(sender, lambda: world.statuses(job_id) == ["held"])
    step_for(sender, 1.0)
    assert pacs.asked == [results[0].sop_instance_uid]
    assert f"0x{status:04X}" in world.rows(job_id)[0].error
    with world.store.write() as session:
        assert holding.discard_held(session, job_id) == 1
    assert world.job(job_id).status == "undelivered"


@sqlite_only
@pytest.mark.parametrize("status", REMARKS)
def test_what_gets_the_same_remark_twice_and_is_not_shown_is_held_and_not_sent_for_ever(
    world: World, pacs: ScriptedPacs, status: int
) -> None:
    pacs.statuses, pacs.refiles_under = [status] * 100, {"study_uid": "1.2.3"}
    pacs.alone_status = HIERARCHICAL_ONLY
    job_id, results = world.deliver("sr")
    sender = quick(world, pacs)
    world.step_until(sender, lambda: world.statuses(job_id) == ["held"])
    step_for(sender, 1.0)
    assert pacs.asked == [results[0].sop_instance_uid] * 2
    assert f"0x{status:04X} warning" in world.rows(job_id)[0].error


@sqlite_only
@pytest.mark.parametrize("status", REMARKS)
def test_what_was_lost_after_a_remark_that_says_nothing_of_its_place_is_sent_again(
    world: World, pacs: ScriptedPacs, status: int
) -> None:
    job_id, results = world.deliver("sr")
    pacs.statuses, pacs.loses = [status] * 100, {results[0].sop_instance_uid: 1}
    world.step_until(quick(world, pacs), lambda: world.job(job_id).status == "done")
    assert pacs.asked == [results[0].sop_instance_uid] * 2


@sqlite_only
def test_a_person_may_have_what_is_held_sent_once_more(world: World, pacs: ScriptedPacs) -> None:
    pacs.statuses, pacs.refiles_under, pacs.alone_status = [COERCED], {"study_uid": "1.2.3"}, HIERARCHICAL_ONLY
    job_id, results = world.deliver("sr")
    sender = quick(world, pacs)
    world.step_until(sender, lambda: world.statuses(job_id) == ["held"])
    pacs.refiles_under = {}
    with world.store.write() as session:
        assert holding.release_held(session, job_id, identity=holding.OWN) == 1
    world.step_until(sender, lambda: world.job(job_id).status == "done")
    assert pacs.asked == [results[0].sop_instance_uid] * 2


@sqlite_only
def test_what_was_filed_elsewhere_without_a_word_is_held_and_somebody_is_called(
    world: World, pacs: ScriptedPacs, caplog: pytest.LogCaptureFixture
) -> None:
    pacs.refiles_under = {"study_uid": "1.2.3"}
    job_id, results = world.deliver("sr")
    sender = quick(world, pacs)
    world.step_until(sender, lambda: world.statuses(job_id) == ["held"])
    step_for(sender, 1.0)
    assert pacs.asked == [results[0].sop_instance_uid]
    assert "in another study than it was sent for" in world.rows(job_id)[0].error
    assert "result held: see dicomnode jobs held" in [record.message for record in caplog.records]
    pacs.refiles_under = {}  # it was moved to where it belongs
    world.step_until(sender, lambda: world.job(job_id).status == "done")


@sqlite_only
def test_another_series_of_the_same_study_is_the_right_place(world: World, pacs: ScriptedPacs) -> None:
    pacs.refiles_under = {"series_uid": "1.2.3.4"}
    job_id, results = world.deliver("sr")
    world.step_until(quick(world, pacs), lambda: world.job(job_id).status == "done")
    assert pacs.asked == [results[0].sop_instance_uid]


@sqlite_only
@pytest.mark.parametrize("said", [{"SOPInstanceUID": ""}, {"StudyInstanceUID": "", "SOPInstanceUID": None}])
def test_the_only_answer_to_a_question_for_one_instance_is_about_it(
    world: World, pacs: ScriptedPacs, said: dict[str, str | None]
) -> None:
    pacs.says, pacs.statuses = said, [COERCED]
    job_id, results = world.deliver("sr")
    world.step_until(quick(world, pacs), lambda: world.job(job_id).status == "done")
    assert pacs.asked == [results[0].sop_instance_uid]


@sqlite_only
def test_what_the_pacs_changed_and_does_not_commit_to_is_looked_for_before_anything_else(
    world: World, pacs: ScriptedPacs
) -> None:
    pacs.statuses, pacs.mute_reports, pacs.refiles_under = [COERCED], 1, {"study_uid": "1.2.3"}
    job_id, results = world.deliver("sr", proof="commitment")
    sender = quick(world, pacs, proof="commitment")
    sender.step()
    report_on(world, failed=[0x0112])
    world.step_until(sender, lambda: world.job(job_id).status == "done")
    assert (pacs.asked, world.rows(job_id)[0].proven_by) == ([results[0].sop_instance_uid], "query")


@sqlite_only
@pytest.mark.parametrize("reason", [0x0110, 0x0119, 0x0213, 0])
def test_a_pacs_that_cannot_commit_for_another_reason_has_lost_nothing(
    world: World, pacs: ScriptedPacs, reason: int
) -> None:
    pacs.mute_reports = 1
    job_id, results = world.deliver("sr", proof="commitment")
    sender = quick(world, pacs, proof="commitment")
    sender.step()
    report_on(world, failed=[reason])
    world.step_until(sender, lambda: world.job(job_id).status == "done")
    assert (pacs.asked, world.rows(job_id)[0].proven_by) == ([results[0].sop_instance_uid], "query")
    assert world.rows(job_id)[0].losses == 0


@sqlite_only
def test_a_report_that_names_no_instance_says_nothing_and_the_next_one_counts(world: World, pacs: ScriptedPacs) -> None:
    pacs.mute_reports = 100
    job_id, results = world.deliver("sr", proof="commitment")
    sender = world.sender(world.destination(pacs.port, proof="commitment"))
    sender.step()
    report_on(world)
    sender.step()
    assert world.statuses(job_id) == ["sent"]
    report_on(world, committed=True)
    sender.step()
    assert (world.rows(job_id)[0].proven_by, pacs.asked) == ("commitment", [results[0].sop_instance_uid])


def report_on(world: World, *, failed: list[int] | None = None, committed: bool = False) -> None:
    """What an N-EVENT-REPORT about the only transaction writes down."""
    with world.store.write() as session:
        transaction = session.scalars(select(Commitment.transaction_uid)).one()
        session.execute(update(Outbox).values(next_attempt_at=time.time() + 1000.0))
        reference = session.scalars(select(Result)).one()
    report = report_of(transaction, [], [])
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = reference.sop_class_uid, reference.sop_instance_uid
    if committed:
        report.ReferencedSOPSequence = [item]
    for reason in failed or []:
        item.FailureReason = reason
        report.FailedSOPSequence = [item]
    assert take_report(world.store, lambda: report) == 0


@pytest.fixture
def web_world(sqlite_template: Path, tmp_path: Path) -> Iterator[World]:
    store = Store(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'node.db')}")
    yield World(store, tmp_path / "data")
    store.close()


@pytest.mark.parametrize("lone_query", [True, False])
def test_a_web_server_that_changed_the_study_is_asked_by_the_instance_alone(web_world: World, lone_query: bool) -> None:
    with WebPacs() as pacs:
        pacs.refiles_under, pacs.offers_lone_query = "1.2.3", lone_query
        job_id, results = web_world.deliver("sr")
        uid = results[0].sop_instance_uid
        pacs.replies = [Reply(202, stored(uid, warning=COERCED), keeps=True)]
        destination = WebDestination(name="pacs", url=pacs.url, proof_wait_s=0.05, timeout_s=5.0)
        sender = web_world.sender(destination, look_again_s=0.05)
        expected = "proven" if lone_query else "held"
        web_world.step_until(sender, lambda: web_world.statuses(job_id) == [expected])
        step_for(sender, 0.5)
    assert pacs.asked == [uid]
