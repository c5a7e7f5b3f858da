"""Two nodes on one PostgreSQL database and one spool: what the one leaves behind when it dies the other finishes."""

from __future__ import annotations

import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from pynetdicom import evt
from sqlalchemy import select, text

from dicomnode.app.demo_pacs import ReceivingPacs
from dicomnode.store.engine import Store
from dicomnode.store.tables import Event, Job
from tests.acceptance.kills import ONE_SET, results_by_study
from tests.acceptance.orthanc import free_port
from tests.acceptance.scanner import small_study, storescu
from tests.acceptance.served import ServedNode
from tests.conftest import REPOSITORY
from tests.integration.receive.world import wait_until
from tests.tools.bundle import write_threshold_bundle
from tests.tools.series import write_series

STUDIES = 6


@pytest.mark.tools
@pytest.mark.timeout(900)
@pytest.mark.parametrize("new_database", ["postgresql"], indirect=True)
def test_what_a_node_leaves_when_it_dies_the_other_finishes_and_nothing_comes_twice(
    tmp_path: Path, new_database: Callable[..., str]
) -> None:
    with ReceivingPacs(tmp_path / "pacs", "PACS") as pacs:
        with two_nodes(tmp_path, new_database(), pacs) as (first, second, store):
            first.start()
            second.start()
            for number in range(STUDIES):
                paths = write_series(tmp_path / f"study-{number}", small_study(f"two-{number}"))
                assert storescu(paths, (first, second)[number % 2].port)
            wait_until(lambda: runs_of(store, "node-a") >= 1, 120)
            first.kill()
            wait_until(lambda: statuses(store) == ["done"] * STUDIES, 240)
            assert second.stop() == 0
            assert runs_of(store, "node-b") >= 1
        found = results_by_study(pacs)
        assert found == dict.fromkeys(found, ONE_SET)
        assert len(found) == STUDIES


@pytest.mark.tools
@pytest.mark.timeout(900)
@pytest.mark.parametrize("new_database", ["postgresql"], indirect=True)
def test_what_a_node_was_sending_when_it_died_the_other_sends_soon(
    tmp_path: Path, new_database: Callable[..., str]
) -> None:
    with SlowPacs(tmp_path / "pacs", "PACS") as pacs:
        with two_nodes(tmp_path, new_database(), pacs) as (first, second, store):
            first.start()
            assert storescu(write_series(tmp_path / "study", small_study("sending")), first.port)
            assert pacs.is_asked.wait(120)
            first.kill()
            pacs.is_quick.set()
            second.start()
            wait_until(lambda: statuses(store) == ["done"], 30)
            assert second.stop() == 0
        assert list(results_by_study(pacs).values()) == [ONE_SET]


@pytest.mark.tools
@pytest.mark.timeout(900)
@pytest.mark.parametrize("new_database", ["postgresql"], indirect=True)
def test_a_node_of_the_version_before_works_on_beside_one_that_has_changed_the_schema(
    tmp_path: Path, new_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The server of the tests may be newer than the pg_dump that would copy its database.
    monkeypatch.setenv("DICOMNODE_DATABASE__BACKUP_BEFORE_UPGRADE", "false")
    before = version_before(tmp_path / "before")
    with ReceivingPacs(tmp_path / "pacs", "PACS") as pacs:
        with two_nodes(tmp_path, new_database(migrated=False), pacs) as (old, new, store):
            old.code = before
            old.start()
            schema = revision(store)
            for number, node in enumerate((old, new, old, new)):
                if node is new and number == 1:
                    new.start()
                assert storescu(write_series(tmp_path / f"{number}", small_study(f"roll-{number}")), node.port)
            wait_until(lambda: statuses(store) == ["done"] * 4, 240)
            assert revision(store) > schema
            assert new.stop() == 0
            assert storescu(write_series(tmp_path / "last", small_study("roll-last")), old.port)
            wait_until(lambda: statuses(store) == ["done"] * 5, 120)
            assert old.stop() == 0
            assert runs_of(store, "node-a") >= 1
        found = results_by_study(pacs)
        assert (len(found), found) == (5, dict.fromkeys(found, ONE_SET))


def version_before(folder: Path) -> Path:
    """The package as it was before the newest migration was added, from the history of this checkout."""
    try:
        newest = git("log", "-1", "--diff-filter=A", "--format=%H", "--", "dicomnode/store/migrations/versions")
        command = ["git", "archive", f"{newest}^", "dicomnode"]
        packed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as fault:
        pytest.skip(f"the history of this checkout does not reach back to the version before: {fault}")
    folder.mkdir()
    subprocess.run(["tar", "-x", "-C", str(folder)], input=packed.stdout, check=True)
    return folder


def git(*arguments: str) -> str:
    """What git says of this checkout."""
    said = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, check=True, text=True)
    return said.stdout.strip()


def revision(store: Store) -> str:
    """Of the schema."""
    with store.engine.connect() as connection:
        return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())


class SlowPacs(ReceivingPacs):
    """Takes its time with every C-STORE until it is told to be quick."""

    def __init__(self, folder: Path, ae_title: str) -> None:
        super().__init__(folder, ae_title)
        self.is_asked, self.is_quick = threading.Event(), threading.Event()

    def _on_store(self, event: evt.Event) -> int:
        self.is_asked.set()
        self.is_quick.wait(60)
        return super()._on_store(event)


@contextmanager
def two_nodes(folder: Path, url: str, pacs: ReceivingPacs) -> Iterator[tuple[ServedNode, ServedNode, Store]]:
    """Not started yet, and their database."""
    bundle = write_threshold_bundle(folder / "bundle")
    first, second = (new_node(folder, name, url, pacs.port, bundle) for name in ("node-a", "node-b"))
    with closing(Store(url)) as store, first, second:
        yield first, second, store


def new_node(folder: Path, name: str, url: str, pacs_port: int, bundle: Path) -> ServedNode:
    """One of two nodes, with a port of its own and the same data."""
    destination = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": pacs_port}
    return ServedNode(
        folder / name,
        free_port(),
        [destination | {"accept_research": True, "retry_min_s": 0.3}],
        database_url=url,
        reception={"settle_s": 0.2, "selection_wait_s": 0.0},
        execution={"lease_s": 3.0, "retry_min_s": 0.2},
        models=("threshold",),
        zoo_paths=(bundle,),
        name=name,
        data_dir=folder / "data",
    )


def runs_of(store: Store, name: str) -> int:
    """Jobs that a node has claimed so far."""
    with store.read() as session:
        details = session.scalars(select(Event.detail).where(Event.subject == "job", Event.name == "claim"))
        return Counter(str(detail["owner"]).partition("@")[2].partition("#")[0] for detail in details)[name]


def statuses(store: Store) -> list[str]:
    """Of all jobs."""
    with store.read() as session:
        return list(session.scalars(select(Job.status)))


def test_a_name_wants_a_database_that_can_be_shared(tmp_path: Path) -> None:
    node = ServedNode(tmp_path, free_port(), [], name="node-a")
    node.write_config()
    ended = node.command("serve")
    assert (ended.returncode, "that must be PostgreSQL" in ended.stderr) == (2, True)
