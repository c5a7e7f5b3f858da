"""``/metrics``: what is counted, that it is counted once, and that nothing of a patient is in it."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import update

from dicomnode.config.whole import Config
from dicomnode.ops.http.metrics import Metrics
from dicomnode.ops.readiness import Readiness
from dicomnode.store.deliver.outbox import claim_parcels
from dicomnode.store.deliver.results import Delivery, store_results
from dicomnode.store.engine import Store
from dicomnode.store.ops import fresh as fresh_module
from dicomnode.store.ops.audit import add_messages
from dicomnode.store.queue.jobs import Claim, claim_job
from dicomnode.store.states import JobEvent, RunEvent
from dicomnode.store.storage import Storage
from dicomnode.store.tables import Event, Instance, Job, Run, Series
from dicomnode.store.transitions import move
from tests.integration.assemble.test_assembly import head
from tests.integration.assemble.world import World
from tests.integration.deliver.world import encoded_result
from tests.integration.ops.site import UP
from tests.integration.store.fixture import both_databases

PACS = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": 1, "accept_research": True}
HEAD = {"name": "head-ct", "match": {"Modality": "^CT$"}, "models": ("hemorrhage",), "destinations": ("pacs",)}
POSITIVE = {
    "finding": "hemorrhage",
    "decision": "positive",
    "grounds": "marks; no exam probability exists",
    "volume_ml": 12.5,
    "lesions": 1,
}


@pytest.fixture
def world(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A node without a network whose rows count at once."""
    monkeypatch.setattr(fresh_module, "SETTLED_S", 0.0)
    made = World(store, tmp_path / "data", destination=[PACS], protocols=[HEAD], reception={"selection_wait_s": 0})
    Storage(store, made.config.spool_dir).bind()
    return made


def metrics_of(world: World) -> Metrics:
    """The figures of a node that is up."""
    return Metrics(world.config, world.store, lambda: UP, Readiness(world.config, world.store))


def scraped(metrics: Metrics) -> dict[tuple[str, frozenset[str]], float]:
    """Name and label values -> value, as a Prometheus reads them."""
    metrics._made_at = float("-inf")
    families = text_string_to_metric_families(metrics.text().decode())
    return {(s.name, frozenset(s.labels.values())): s.value for family in families for s in family.samples}


def value(figures: dict[tuple[str, frozenset[str]], float], name: str, *labels: str) -> float | None:
    """One figure."""
    return figures.get((f"dicomnode_{name}", frozenset(labels)))


def finish_job(world: World) -> None:
    """The queued job is worked on, its one result sent and proven."""
    with world.store.write() as session:
        claim = claim_job(session, owner="worker", lease_s=60)
        assert claim is not None
    with world.store.write() as session:
        run = session.query(Run).one()
        move(session, run, RunEvent.START, started_at=time.time() - 2, device="cpu")
        move(session, run, RunEvent.SUCCEED, finished_at=time.time(), outcomes=[POSITIVE])
    deliver(world, claim)


def deliver(world: World, claim: Claim) -> None:
    """One result on its way, and there."""
    with world.store.write() as session:
        job = session.get_one(Job, claim.job_id)
        move(session, job, JobEvent.ENCODED, token=claim.token)
        move(session, job, JobEvent.DELIVERED, finished_at=time.time())


@both_databases
def test_a_study_is_counted_once_from_image_to_pacs(world: World) -> None:
    metrics = metrics_of(world)
    slices = head()
    world.assemble(slices)
    finish_job(world)
    figures = scraped(metrics)
    assert value(figures, "images_received_total", "CT1") == len(slices)
    assert value(figures, "runs_total", "hemorrhage", "cpu", "succeed") == 1
    assert value(figures, "run_seconds_sum", "hemorrhage", "cpu") == pytest.approx(2, abs=0.5)
    assert value(figures, "decisions_total", "hemorrhage", "positive") == 1
    assert value(figures, "complete_to_pacs_seconds_count", "head-ct") == 1
    assert value(figures, "stage_seconds_count", "work") == 1
    assert value(figures, "last_image_timestamp_seconds", "CT1") == pytest.approx(time.time(), abs=30)
    assert value(scraped(metrics), "images_received_total", "CT1") == len(slices)


@both_databases
def test_what_waits_is_counted_with_its_age(world: World) -> None:
    metrics = metrics_of(world)
    world.assemble(head())
    world.age(120)
    figures = scraped(metrics)
    assert value(figures, "jobs", "queued", "routine") == 1
    assert value(figures, "job_oldest_age_seconds", "queued", "routine") == pytest.approx(120, abs=30)
    with world.store.write() as session:
        claim = claim_job(session, owner="worker", lease_s=60)
        assert claim is not None
        result = encoded_result(world.config.node.data_dir, "seg", study_uid=claim.study_uid)
        store_results(session, claim, [result], [Delivery("pacs", frozenset({"seg"}), accept_research=True)])
    figures = scraped(metrics)
    assert value(figures, "deliveries", "pacs", "pending") == 1
    assert value(figures, "jobs", "queued", "routine") is None
    with world.store.write() as session:
        claim_parcels(session, "pacs", owner="sender", lease_s=60)
    assert value(scraped(metrics), "deliveries", "pacs", "sending") == 1


@both_databases
def test_a_refused_series_is_counted_by_its_reason(world: World) -> None:
    metrics = metrics_of(world)
    world.assemble(head(offsets=(0, 5, 10, 35, 40, 45, 50, 55, 60, 65)))
    world.age(3600)
    world.settle()
    with world.store.read() as session:
        reason = session.query(Series).one().refusal
    assert reason
    assert value(scraped(metrics), "refused_total", "series", reason) == 1


@both_databases
def test_a_backlog_is_counted_in_portions_and_nothing_is_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fresh_module, "PORTION", 4)
    metrics = metrics_of(world)
    slices = head()
    world.assemble(slices)
    figures = scraped(metrics)
    assert value(figures, "images_received_total", "CT1") == 4
    for _ in range(len(slices)):
        figures = scraped(metrics)
    assert value(figures, "images_received_total", "CT1") == len(slices)
    assert value(figures, "figures_unread_events") == 0


@both_databases
def test_no_label_holds_anything_of_a_patient(world: World) -> None:
    metrics = metrics_of(world)
    slices = head(PatientID="PID-4711-SECRET", PatientName="Doe^Secret", AccessionNumber="ACC-SECRET")
    world.assemble(slices)
    text = metrics.text().decode()
    assert "SECRET" not in text.upper()
    assert slices[0].StudyInstanceUID not in text


def test_warnings_and_rejected_associations_are_counted_and_hold_no_values(world: World) -> None:
    metrics = metrics_of(world)
    metrics.warnings.install()
    try:
        log = logging.getLogger("dicomnode.receive.scp")
        log.warning("association rejected", extra={"reason": "called_ae_not_recognised", "calling_ae": "SECRET"})
        log.warning("association rejected, again", extra={"reason": "called_ae_not_recognised", "times": 4})
        log.info("association ended")
    finally:
        metrics.warnings.remove()
    figures = scraped(metrics)
    assert value(figures, "associations_rejected_total", "called_ae_not_recognised") == 5
    assert value(figures, "log_warnings_total", "WARNING", "receive", "association rejected") == 1
    assert "SECRET" not in metrics.text().decode()


def test_a_scrape_writes_nothing(world: World) -> None:
    metrics = metrics_of(world)
    world.assemble(head())
    with world.store.read() as session:
        before = (session.query(Event).count(), session.query(Instance).count())
    with world.store.write() as session:  # a scrape that wanted to write would wait for this one
        session.execute(update(Series).values(modality="CT"))
        scraped(metrics)
    with world.store.read() as session:
        assert (session.query(Event).count(), session.query(Instance).count()) == before


def test_silence_the_clock_and_the_audit_trail_are_figures_of_a_scrape(world: World) -> None:
    notify = {"silence_from": 0, "silence_to": 24}
    silent = Config.model_validate({**world.config.model_dump(), "operations": {"notify": notify}})
    metrics = Metrics(silent, world.store, lambda: UP, Readiness(silent, world.store))
    world.assemble(head())
    with world.store.write() as session:
        session.execute(update(Instance).values(received_at=Instance.received_at - 600))
        add_messages(session, [(time.time(), "<AuditMessage/>")], most=10)
    figures = scraped(metrics)
    since_midnight_s = time.time() % 86400
    assert value(figures, "silence_seconds") == pytest.approx(min(600, since_midnight_s), abs=60)
    assert value(figures, "audit_messages_waiting") == 1
    assert value(figures, "clock_error_seconds") is not None
    assert value(figures, "configuration_fault") == 0


def test_a_clock_that_the_kernel_does_not_tell_of_is_no_alarm(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicomnode.ops.http.metrics.clock_quality", lambda: None)
    figures = scraped(Metrics(world.config, world.store, lambda: UP, Readiness(world.config, world.store)))
    # The alert asks for 0 and for more than 1 s: NaN is neither.
    assert math.isnan(value(figures, "clock_synchronised"))
    assert math.isnan(value(figures, "clock_error_seconds"))
