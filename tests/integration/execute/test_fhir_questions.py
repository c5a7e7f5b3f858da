"""A job waits for what a FHIR server was asked, for so long and no longer; what comes later amends its results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from dicomnode.clinical.sources.fhir.asker import Asker
from dicomnode.clinical.sources.fhir.questions import NewQuestions
from dicomnode.config.whole import Config
from dicomnode.execute.dispatcher import Dispatcher
from dicomnode.execute.late_context import LateContext
from dicomnode.ops.retention import DAY_S, purge
from dicomnode.store.engine import Store
from dicomnode.store.history.events import events_of
from dicomnode.store.tables import Event, FhirQuestion, Instance
from tests.acceptance.scanner import small_study
from tests.integration.execute.test_context import ContextWorld
from tests.integration.execute.world import Bundles, Workers
from tests.integration.store.fixture import sqlite_only
from tests.tools.fhir_server import SYSTEM, FhirTestServer, Reply, observation, patient

pytestmark = sqlite_only

AT = "2026-01-01T09:00:00Z"
WAIT_S = 1.0


@pytest.fixture
def server() -> Iterator[FhirTestServer]:
    t1 = patient("a", "T1", birthDate=None, gender="unknown")
    with FhirTestServer(t1, observation("gcs", "a", "9269-2", 10, "{score}", AT)) as running:
        yield running


class FhirWorld(ContextWorld):
    """A world whose node asks a FHIR server, as the duties of a running node do."""

    def connect(self, server: FhirTestServer) -> None:
        told = {"base_url": server.url, "identifier_system": SYSTEM, "wait_s": WAIT_S, "timeout_s": 5.0}
        raw = self.config.model_dump(mode="json")
        raw["clinical"]["fhir"] = {**raw["clinical"]["fhir"], **told}
        raw["clinical"]["amend_settle_s"] = 0.0
        self.config = Config.model_validate(raw)
        backend, case_worker = self.dispatcher.backend, self.dispatcher.case_worker
        self.dispatcher = Dispatcher(self.config, self.store, owner="node", device="cpu")
        self.dispatcher.backend, self.dispatcher.case_worker = backend, case_worker
        self.asker, self.questions = Asker(self.config, self.store), NewQuestions(self.config, self.store)


@pytest.fixture
def world(
    new_database: Callable[..., str], tmp_path: Path, bundles: Bundles, workers: Workers, server: FhirTestServer
) -> Iterator[FhirWorld]:
    opened = Store(new_database())
    made = FhirWorld(opened, tmp_path / "data", bundles, ("threshold",))
    made.use(workers)
    made.connect(server)
    workers.start()
    yield made
    opened.close()


def test_a_job_waits_for_the_answer_and_its_report_names_it(world: FhirWorld, server: FhirTestServer) -> None:
    peer = world.associate()
    study = small_study("head")
    world.receive(study[:1], peer)
    assert world.questions.look() == 1  # the first image tells whose study it is
    assert world.questions.look() == 0
    assert NewQuestions(world.config, world.store).look() == 0  # as after a restart
    world.receive(study[1:], peer)
    world.end(peer)
    world.settle()
    assert not world.step()  # there is no answer yet
    assert world.asker.look()
    assert world.step()
    assert "Glasgow Coma Scale 10 (FHIR, 2026-01-01T09:00+00:00, 1.0 h before the scan)" in world.report()
    (job,) = world.active_jobs()
    with world.store.read() as session:
        told = [(line.name, line.detail) for line in events_of(session, job.study_uid) if line.subject != "job"]
    assert ("answered", {"values": 1, "new": 1}) in told


def test_without_an_answer_a_job_goes_after_its_wait_and_what_comes_then_amends_it(
    world: FhirWorld, server: FhirTestServer
) -> None:
    server.always["Patient"] = Reply(503)
    job_id = world.queue_head()
    began = time.monotonic()
    world.questions.look()
    assert world.asker.look()
    assert not world.step()
    while not world.step():
        assert time.monotonic() - began < 20
        time.sleep(0.05)
    assert time.monotonic() - began > WAIT_S * 0.8
    assert world.report() == ""
    del server.always["Patient"]
    with world.store.write() as session:
        session.query(FhirQuestion).update({"next_try_at": time.time()})
    assert world.asker.look()
    assert LateContext(world.config, world.store).look() == 1
    assert world.job(job_id).status == "superseded"
    assert world.step()
    assert "Glasgow Coma Scale 10 (FHIR" in world.report()


def test_a_value_that_the_server_takes_back_amends_the_results_too(world: FhirWorld, server: FhirTestServer) -> None:
    world.queue_head()
    world.questions.look()
    world.asker.look()
    assert world.step()
    server.resources[1] = {**server.resources[1], "status": "entered-in-error"}
    server.resources.append(observation("gcs2", "a", "9269-2", 15, "{score}", "2026-01-01T08:00:00Z"))
    server.resources[2]["status"] = "cancelled"
    with world.store.write() as session:
        session.query(FhirQuestion).update({"next_try_at": time.time()})
    assert world.asker.look()
    assert LateContext(world.config, world.store).look() == 1


@pytest.mark.parametrize("of", ["nobody", "another issuer"])
def test_a_patient_who_cannot_be_asked_for_holds_up_no_job(world: FhirWorld, of: str) -> None:
    study = small_study("head")
    for ds in study:
        ds.PatientID = "" if of == "nobody" else "T1"
        ds.IssuerOfPatientID = "" if of == "nobody" else "ELSEWHERE"
    world.assemble(study)
    assert world.questions.look() == 1
    assert not world.asker.look()
    assert world.step()
    why = "no_patient_id" if of == "nobody" else "no_identifier_system"
    with world.store.read() as session:
        assert session.scalars(select(Event.name).where(Event.subject == "fhir_question")).all() == [why]


def test_a_damaged_header_is_told_and_holds_up_nothing_and_a_question_goes_with_its_retention(world: FhirWorld) -> None:
    world.assemble(small_study("head"))
    with world.store.read() as session:
        path = session.scalars(select(Instance.path).order_by(Instance.id)).first()
    assert path is not None
    (world.config.spool_dir / path).write_bytes(b"\0" * 200)
    assert world.questions.look() == 1
    with world.store.read() as session:
        row = session.scalars(select(FhirQuestion)).one()
        assert (row.outcome, row.next_try_at) == ("images_not_readable", None)
        assert row.settled_at is not None
    purge(world.config, world.store, now=time.time() + 15 * DAY_S)
    with world.store.read() as session:
        assert session.scalars(select(FhirQuestion.id)).all() == []
