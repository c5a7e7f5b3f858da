"""Storage commitment with a real PACS: Orthanc reports to the node, also when the node was away in between."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from dicomnode.store.engine import Store
from dicomnode.store.tables import Outbox
from tests.acceptance import orthanc as orthanc_module
from tests.acceptance.orthanc import Orthanc, free_port
from tests.integration.deliver.world import World, until
from tests.integration.receive.world import Reception

pytestmark = pytest.mark.tools

NODE = "NODE"
ORTHANC = {"name": "pacs", "ae_title": "ORTHANC", "host": "127.0.0.1", "port": 104}


@pytest.fixture
def world(new_database: Callable[..., str], tmp_path: Path) -> Iterator[World]:
    store = Store(new_database())
    yield World(store, tmp_path / "data")
    store.close()


@pytest.fixture
def node_port() -> int:
    """Where the PACS believes the node to be."""
    return free_port()


@pytest.fixture
def orthanc(tmp_path: Path, node_port: int) -> Iterator[Orthanc]:
    """An Orthanc that knows the node."""
    if not orthanc_module.available():
        pytest.skip("Orthanc is not installed (tests/tools/debian_tools.sh installs it)")
    with Orthanc(tmp_path / "orthanc", peers={"node": (NODE, node_port)}) as running:
        yield running


def destination(world: World, orthanc: Orthanc, **more: Any) -> Any:
    return world.destination(orthanc.dicom_port, **{"ae_title": orthanc.ae_title, "proof": "commitment", **more})


def start_node(world: World, tmp_path: Path, port: int) -> Reception:
    return Reception(world.store, tmp_path / "node", owner="receiver-1", senders=(), destinations=(ORTHANC,), port=port)


def test_orthanc_reports_on_an_association_of_its_own(
    world: World, orthanc: Orthanc, tmp_path: Path, node_port: int
) -> None:
    reception = start_node(world, tmp_path, node_port)
    job_id, _ = world.deliver("seg", "sr", "sc", proof="commitment")
    try:
        sender = world.sender(destination(world, orthanc))
        world.step_until(sender, lambda: world.job(job_id).status == "done", within_s=30.0)
    finally:
        reception.scp.stop()
    assert {row.proven_by for row in world.rows(job_id)} == {"commitment"}


def test_what_orthanc_does_not_have_is_not_committed_and_is_sent_again(
    world: World, orthanc: Orthanc, tmp_path: Path, node_port: int
) -> None:
    job_id, results = world.deliver("sr", "sc", proof="commitment")
    world.sender(destination(world, orthanc)).step()  # nobody listens yet, so that nothing is proven
    lost = results[0].sop_instance_uid
    (found,) = orthanc.post("/tools/find", {"Level": "Instance", "Query": {"SOPInstanceUID": lost}})
    orthanc.delete(f"/instances/{found}")
    reception = start_node(world, tmp_path, node_port)
    with world.store.write() as session:
        session.execute(update(Outbox).values(next_attempt_at=0.0))
    try:
        again = world.sender(destination(world, orthanc))
        world.step_until(again, lambda: world.job(job_id).status == "done", within_s=30.0)
    finally:
        reception.scp.stop()
    assert [(row.proven_by, row.losses) for row in world.rows(job_id)] == [("commitment", 1), ("commitment", 0)]


def test_a_report_that_orthanc_could_not_deliver_counts_after_the_restart_of_the_node(
    world: World, orthanc: Orthanc, tmp_path: Path, node_port: int
) -> None:
    job_id, _ = world.deliver("sr", "sc", proof="commitment")
    world.sender(destination(world, orthanc)).step()  # nobody listens on the node's port
    assert world.statuses(job_id) == ["sent", "sent"]
    until(lambda: failed_jobs(orthanc), within_s=30.0)
    reception = start_node(world, tmp_path, node_port)
    try:
        for failed in failed_jobs(orthanc):
            orthanc.post(f"/jobs/{failed}/resubmit")
        again = world.sender(destination(world, orthanc))
        world.step_until(again, lambda: world.job(job_id).status == "done", within_s=30.0)
    finally:
        reception.scp.stop()
    assert {(row.proven_by, row.attempts) for row in world.rows(job_id)} == {("commitment", 1)}


def failed_jobs(orthanc: Orthanc) -> list[str]:
    """Reports that Orthanc could not bring to the node."""
    return [job["ID"] for job in orthanc.get("/jobs?expand") if job["State"] == "Failure"]


def test_orthanc_that_cannot_reach_the_node_is_queried_in_the_end(world: World, orthanc: Orthanc) -> None:
    job_id, _ = world.deliver("sr", proof="commitment")
    sender = world.sender(destination(world, orthanc, proof_wait_s=0.1))
    began = time.monotonic()
    world.step_until(sender, lambda: world.job(job_id).status == "done", within_s=40.0)
    assert world.rows(job_id)[0].proven_by == "query"
    assert time.monotonic() - began < 30.0
