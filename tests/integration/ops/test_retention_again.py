"""Series that retention had taken and that were sent again: whole ones are as good as new ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicomnode.store.engine import Store
from dicomnode.store.states import JobStatus
from tests.integration.assemble.test_assembly import EVEN, head
from tests.integration.assemble.world import World
from tests.integration.ops.test_retention import end_job, purge_all
from tests.integration.receive.test_rejected_images import reject


@pytest.fixture
def world(store: Store, tmp_path: Path) -> World:
    return World(store, tmp_path / "data", reception={"selection_wait_s": 0.0})


def test_of_a_series_that_came_again_with_new_headers_an_image_may_be_rejected(world: World) -> None:
    series = head("head", offsets=(*EVEN, 144.0, 156.0))  # enough slices that an end slice may be missing
    world.assemble(series)
    end_job(world, JobStatus.DONE)
    assert purge_all(world) == len(series)
    for ds in series:
        ds.StationName = "CORRECTED"
    world.assemble(series)
    assert [job.status for job in world.active_jobs()] == ["queued"]
    reject(world, series[-1:])
    world.age(61)
    world.assembler.tick()
    row = world.series(series)
    assert (row.status, row.refusal) == ("chosen", "")
    assert [job.status for job in world.active_jobs()] == ["queued"]
