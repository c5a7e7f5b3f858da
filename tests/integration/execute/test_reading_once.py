"""How often the images of a job are read: its files are counted as the workers open them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicomnode.execute.backends.in_child import ChildBackend
from dicomnode.execute.child import ChildProcess
from dicomnode.execute.dispatcher import backend_of
from dicomnode.store.engine import Store
from dicomnode.store.queue.runs import source_paths
from dicomnode.store.tables import Job
from tests.integration.execute.counting_worker import TOLD_IN
from tests.integration.execute.world import Bundles, ExecutionWorld
from tests.integration.store.fixture import sqlite_only

PROGRAM = "tests.integration.execute.counting_worker"
MODELS = ("second", "threshold")


class Readers:
    """A model worker and a case worker that tell what they open, each in a file of its own."""

    def __init__(self, world: ExecutionWorld, folder: Path, patch: pytest.MonkeyPatch) -> None:
        settings = backend_of(world.config, "cpu")._child.settings
        self.backend = ChildBackend(PROGRAM, settings, start_timeout_s=180)
        self.case_worker = ChildProcess(PROGRAM, None, start_timeout_s=180)
        self._by_models, self._by_cases = folder / "models.txt", folder / "cases.txt"
        for worker, told in ((self.backend, self._by_models), (self.case_worker, self._by_cases)):
            patch.setenv(TOLD_IN, str(told))
            worker.launch()
        self.backend.wait_until_ready()
        self.case_worker.wait_until_ready()

    def opened_by_models(self) -> Counter[str]:
        return Counter(self._by_models.read_text().splitlines())

    def opened_by_cases(self) -> Counter[str]:
        return Counter(self._by_cases.read_text().splitlines())

    def kill(self) -> None:
        self.backend.kill()
        self.case_worker.kill()


@pytest.fixture
def world(store: Store, tmp_path: Path, bundles: Bundles) -> ExecutionWorld:
    return ExecutionWorld(store, tmp_path / "data", bundles, MODELS)


@pytest.fixture
def readers(world: ExecutionWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Readers]:
    running = Readers(world, tmp_path, monkeypatch)
    world.dispatcher.backend, world.dispatcher.case_worker = running.backend, running.case_worker
    yield running
    running.kill()


def images_of(world: ExecutionWorld, job_id: int) -> list[str]:
    """The files of a job, the newest last."""
    with world.store.read() as session:
        paths = source_paths(session, session.get_one(Job, job_id).series_id)
    return [str(world.config.spool_dir.absolute() / path) for path in paths]


@sqlite_only
def test_a_job_with_several_models_reads_its_volume_once(world: ExecutionWorld, readers: Readers) -> None:
    job_id = world.queue_head()
    assert world.step()
    assert world.job(job_id).status == "delivering"
    *images, newest = images_of(world, job_id)
    opened = readers.opened_by_cases()
    assert {path: opened[path] for path in images} == dict.fromkeys(images, 1)
    # Its header alone is read first: what it tells of the patient decides which models are to run.
    assert opened[newest] == 2
    by_models = readers.opened_by_models()
    assert [path for path in (*images, newest) if by_models[path]] == []
    volumes = {path: count for path, count in by_models.items() if path.endswith("volume.npz")}
    assert list(volumes.values()) == [1]
