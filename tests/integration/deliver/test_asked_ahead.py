"""Whose study it is, asked while the models run: what that saves, and that it never decides what it must not."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicomnode.config.destinations import WebDestination
from dicomnode.config.protocols import Protocol
from dicomnode.deliver.sender import Sender
from dicomnode.store.pausing import Part, pause, resume
from tests.integration.deliver.pacs import ScriptedPacs
from tests.integration.deliver.web_pacs import WebPacs
from tests.integration.deliver.world import PATIENT, World, claimed_job, data_set_sha256
from tests.integration.store.fixture import both_databases, sqlite_only

HEAD = Protocol(name="head", match={}, models=("hemorrhage",), destinations=("pacs",))
ANOTHER = {"PatientName": "Suzuki^Ichirou", "PatientID": "0815", "PatientBirthDate": "19800505", "PatientSex": "M"}


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[ScriptedPacs]:
    with ScriptedPacs(tmp_path / "pacs") as running:
        running.patients = [patient(**PATIENT)]
        yield running


def patient(**values: str) -> Dataset:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def sender_to(world: World, pacs: ScriptedPacs, *, protocol: Protocol = HEAD, **more: Any) -> Sender:
    return world.sender(world.destination(pacs.port), protocol=[protocol], **more)


def step_until_answered(world: World, sender: Sender, pacs: ScriptedPacs, looks: int = 1) -> None:
    """Until the destination was asked so often, and its answer is there."""
    world.step_until(sender, lambda: pacs.study_looks >= looks)
    sender.step()


@both_databases
def test_what_was_asked_while_the_models_ran_is_not_asked_again(world: World, pacs: ScriptedPacs) -> None:
    claim, sender = claimed_job(world.store), sender_to(world, pacs)
    step_until_answered(world, sender, pacs)
    job_id, results = world.deliver("seg", "sr", claim=claim)
    sender.step()
    assert (world.job(job_id).status, pacs.study_looks) == ("done", 1)
    assert [row.identity for row in world.rows(job_id)] == ["same", "same"]
    sent = [data_set_sha256(world.data_dir / result.path) for result in results]
    assert [stored.sha256 for stored in pacs.instances] == sent


@sqlite_only
def test_a_web_server_is_asked_ahead_too(world: World) -> None:
    with WebPacs() as server:
        server.patients = [patient(**PATIENT)]
        to_server = WebDestination(name="pacs", url=server.url, proof="status", retry_min_s=0.1, timeout_s=5.0)
        claim, sender = claimed_job(world.store), world.sender(to_server, protocol=[HEAD])
        world.step_until(sender, lambda: server.connections == 1)
        sender.step()
        server.offers_query = False
        job_id, _ = world.deliver("sr", claim=claim, proof="status")
        sender.step()
        assert [row.identity for row in world.rows(job_id)] == ["same"]
        assert world.job(job_id).status == "sent_unproven"


@sqlite_only
def test_an_answer_that_is_too_old_is_asked_for_anew(world: World, pacs: ScriptedPacs) -> None:
    claim, sender = claimed_job(world.store), sender_to(world, pacs, ahead_max_age_s=0.3)
    step_until_answered(world, sender, pacs)
    time.sleep(0.4)
    looks, pacs.patients = pacs.study_looks, [patient(**{**PATIENT, "PatientID": "E-99"})]
    world.deliver("sr", claim=claim)
    sender.step()
    assert pacs.study_looks == looks + 1
    assert str(dcmread(pacs.instances[0].path).PatientID) == "E-99"


@sqlite_only
def test_a_study_whose_models_run_for_long_is_asked_about_again(world: World, pacs: ScriptedPacs) -> None:
    claim, sender = claimed_job(world.store), sender_to(world, pacs, ahead_max_age_s=0.3)
    step_until_answered(world, sender, pacs, looks=3)
    world.deliver("sr", claim=claim)


@sqlite_only
def test_a_study_that_reaches_the_archive_while_the_models_run_gives_its_identity(
    world: World, pacs: ScriptedPacs
) -> None:
    pacs.patients = []
    claim, sender = claimed_job(world.store), sender_to(world, pacs)
    step_until_answered(world, sender, pacs)
    pacs.patients = [patient(**{**PATIENT, "PatientID": "E-99"})]
    job_id, _ = world.deliver("sr", claim=claim)
    sender.step()
    assert [row.identity for row in world.rows(job_id)] == ["adopted: PatientID"]
    assert str(dcmread(pacs.instances[0].path).PatientID) == "E-99"


@sqlite_only
def test_a_contradiction_that_is_settled_while_the_models_run_holds_nothing(world: World, pacs: ScriptedPacs) -> None:
    pacs.patients = [patient(**ANOTHER)]
    claim, sender = claimed_job(world.store), sender_to(world, pacs)
    step_until_answered(world, sender, pacs)
    pacs.patients = [patient(**PATIENT)]
    job_id, _ = world.deliver("sr", claim=claim)
    sender.step()
    assert (world.job(job_id).status, world.events("hold")) == ("done", [])


@sqlite_only
def test_what_is_sent_again_is_asked_about_again(world: World, pacs: ScriptedPacs) -> None:
    claim, sender = claimed_job(world.store), sender_to(world, pacs)
    step_until_answered(world, sender, pacs)
    pacs.aborts_after = 0
    job_id, _ = world.deliver("sr", claim=claim)
    sender.step()
    assert (world.statuses(job_id), pacs.study_looks) == (["pending"], 1)
    pacs.patients = [patient(**ANOTHER)]
    world.step_until(sender, lambda: world.statuses(job_id) == ["held"])


@sqlite_only
def test_a_question_that_fails_ahead_costs_delivery_nothing(
    world: World, pacs: ScriptedPacs, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "dicomnode")
    pacs.study_find_status = 0xC001
    claim, sender = claimed_job(world.store), sender_to(world, pacs)
    step_until_answered(world, sender, pacs)
    pacs.study_find_status = 0
    job_id, _ = world.deliver("sr", claim=claim)
    sender.step()
    assert (world.job(job_id).status, world.rows(job_id)[0].attempts) == ("done", 1)
    assert (sender.breaker.is_open, sender.breaker.failures) == (False, 0)
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


@sqlite_only
def test_an_archive_that_does_not_answer_ahead_is_asked_by_delivery(world: World, pacs: ScriptedPacs) -> None:
    gate = pacs.study_gate = threading.Event()
    claim, sender = claimed_job(world.store), sender_to(world, pacs)
    world.step_until(sender, lambda: pacs.study_looks == 1)
    job_id, _ = world.deliver("sr", claim=claim)
    sender.step()
    assert (world.job(job_id).status, pacs.study_looks, gate.is_set()) == ("done", 2, False)
    gate.set()


@sqlite_only
def test_who_gets_no_results_of_a_job_is_not_asked(world: World, pacs: ScriptedPacs) -> None:
    claim = claimed_job(world.store)
    with world.store.write() as session:
        pause(session, Part.DESTINATION, "pacs")
    paused = sender_to(world, pacs)
    paused.step()
    paused.step()
    with world.store.write() as session:
        resume(session, Part.DESTINATION, "pacs")
    others = [
        sender_to(world, pacs, protocol=HEAD.model_copy(update={"shadow": True})),
        sender_to(world, pacs, protocol=HEAD.model_copy(update={"destinations": ("archive",)})),
        sender_to(world, pacs, protocol=HEAD.model_copy(update={"name": "other"})),
        world.sender(world.destination(pacs.port, identity="trust"), protocol=[HEAD]),
    ]
    for sender in others:
        sender.step()
        sender.step()  # waits for what the first might have asked
    assert pacs.study_looks == 0
    world.deliver("sr", claim=claim)
    sender_to(world, pacs).step()
    assert pacs.study_looks == 1
