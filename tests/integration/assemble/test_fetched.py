"""What this node had an archive send goes through one protocol, and nothing else goes through that."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from dicomnode.assemble.not_performed import NotPerformedReports
from dicomnode.store.engine import Store
from dicomnode.store.tables import PriorSearch
from tests.acceptance.scanner import small_study
from tests.integration.assemble.world import ANY_CT, World

PACS = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": 104, "accept_research": True}
HEAD = {**ANY_CT, "destinations": ["pacs"]}
EARLIER = {**ANY_CT, "name": "earlier", "shadow": True}


@pytest.fixture
def world(store: Store, tmp_path: Path) -> World:
    return World(
        store,
        tmp_path,
        protocols=(HEAD, EARLIER),
        reception={"selection_wait_s": 0.0, "quiet_period_s": 0.1, "study_quiet_s": 0.0},
        destination=[{**PACS, "results": ["sr", "not_performed"]}],
        priors={"destination": "pacs", "protocol": "earlier"},
    )


def announced(world: World, images: list[Dataset]) -> None:
    """The archive is about to send them."""
    with world.store.write() as session:
        asked = {"made_at": time.time(), "failures": 0, "outcome": "", "detail": {}}
        session.add(PriorSearch(study_uid=generate_uid(), prior_study_uid=str(images[0].StudyInstanceUID), **asked))


def test_a_fetched_study_goes_through_its_protocol_alone_and_any_other_through_the_rest(world: World) -> None:
    fetched, scanned = small_study("fetched"), small_study("scanned")
    announced(world, fetched)
    world.assemble(fetched, scanned)
    went = {job.study_uid: job.protocol for job in world.jobs()}
    assert went == {str(fetched[0].StudyInstanceUID): "earlier", str(scanned[0].StudyInstanceUID): "head-ct"}


def test_of_a_fetched_study_without_a_result_nobody_is_told(world: World) -> None:
    fetched, scanned = small_study("fetched"), small_study("scanned")
    for images in (fetched, scanned):
        del images[1:]  # too few slices
    announced(world, fetched)
    world.assemble(fetched, scanned)
    world.age(3600.0)
    world.assembler.tick()
    world.age(3600.0)
    NotPerformedReports(world.config, world.store).tick()
    told = {job.study_uid for job in world.jobs() if job.task == "not_performed"}
    assert told == {str(scanned[0].StudyInstanceUID)}
