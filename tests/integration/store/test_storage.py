"""Database and spool belong together: what starts, what does not and with which sentence, and a spool that goes."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest
from sqlalchemy import select

from dicomnode.errors import EnvironmentFault, ReceiveError
from dicomnode.ops.retention import DAY_S, purge
from dicomnode.receive.spool import Spool
from dicomnode.store.engine import Store
from dicomnode.store.states import JobStatus
from dicomnode.store.storage import MARKER, Storage
from dicomnode.store.tables import Event, Instance
from tests.integration.assemble.test_assembly import head
from tests.integration.assemble.world import World
from tests.integration.ops.test_retention import end_job, files
from tests.integration.store.fixture import both_databases

pytestmark = both_databases


@pytest.fixture
def world(store: Store, tmp_path: Path) -> World:
    """A node that has not been bound yet, as those of earlier versions."""
    return World(store, tmp_path / "data")


def marker_of(root: Path) -> str:
    return (root / MARKER).read_text().strip()


def test_a_fresh_install_gets_one_identity_in_both_places_and_keeps_it(store: Store, tmp_path: Path) -> None:
    root = tmp_path / "data/spool"
    Storage(store, root).bind()
    given = marker_of(root)
    assert len(given) == 32
    Storage(store, root).bind()
    assert marker_of(root) == given
    assert Storage(store, root).is_there()


def test_an_earlier_install_is_bound_where_the_spool_holds_what_the_database_knows(world: World) -> None:
    world.assemble(head())
    Storage(world.store, world.config.spool_dir).bind()
    assert marker_of(world.config.spool_dir)


def test_an_earlier_install_whose_spool_is_not_mounted_does_not_start(world: World, tmp_path: Path) -> None:
    world.assemble(head())
    with pytest.raises(EnvironmentFault, match="holds none of the files that the database knows: is it mounted"):
        Storage(world.store, tmp_path / "empty").bind()
    assert not (tmp_path / "empty").exists()


def test_a_mount_that_is_absent_is_no_empty_node(store: Store, tmp_path: Path) -> None:
    root = tmp_path / "data/spool"
    Storage(store, root).bind()
    given = marker_of(root)
    root.rename(tmp_path / "unmounted")
    root.mkdir()
    with pytest.raises(EnvironmentFault, match=rf"not mounted.*mkdir -p {root} && echo {given} > {root / MARKER}"):
        Storage(store, root).bind()
    assert list(root.iterdir()) == []
    (root / MARKER).write_text(f"{given}\n")
    Storage(store, root).bind()


def test_a_second_node_on_the_same_database_with_another_spool_is_refused(
    store: Store, tmp_path: Path, sqlite_template: Path
) -> None:
    Storage(store, tmp_path / "one").bind()
    with pytest.raises(EnvironmentFault, match="not mounted"):
        Storage(store, tmp_path / "two").bind()
    other = Store(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'other.db')}")
    Storage(other, tmp_path / "two").bind()
    other.close()
    with pytest.raises(EnvironmentFault, match="is the spool of another database"):
        Storage(store, tmp_path / "two").bind()


def test_an_empty_database_does_not_take_over_a_spool_until_it_is_told_to(
    world: World, sqlite_template: Path, tmp_path: Path
) -> None:
    world.assemble(head())
    root = world.config.spool_dir
    Storage(world.store, root).bind()
    new = Store(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'new.db')}")
    with pytest.raises(EnvironmentFault, match=r"this one is empty.*delete"):
        Storage(new, root).bind()
    (root / MARKER).unlink()
    Storage(new, root).bind()
    assert Storage(new, root).is_there()
    assert not Storage(world.store, root).is_there()
    new.close()


def test_what_a_crash_left_of_the_first_start_is_taken_up(store: Store, tmp_path: Path) -> None:
    root = tmp_path / "spool"
    root.mkdir()
    (root / MARKER).write_text("0123456789abcdef0123456789abcdef\n")
    Storage(store, root).bind()
    assert Storage(store, root).is_there()


def test_while_the_spool_is_away_nothing_is_taken_and_the_sender_is_told_to_try_again(
    store: Store, tmp_path: Path
) -> None:
    root = tmp_path / "spool"
    storage = Storage(store, root)
    storage.bind()
    spool = Spool(root, is_there=storage.is_there)
    spool.prepare()
    root.rename(tmp_path / "unmounted")
    root.mkdir()
    with pytest.raises(ReceiveError) as refused:
        spool.open(b"")
    assert refused.value.status == 0xA700
    root.rmdir()
    with pytest.raises(ReceiveError) as refused:
        spool.open(b"")
    assert refused.value.status == 0xA700
    (tmp_path / "unmounted").rename(root)
    spool.open(b"").discard()


def test_retention_forgets_nothing_while_the_spool_is_away(world: World, tmp_path: Path) -> None:
    world.assemble(head())
    Storage(world.store, world.config.spool_dir).bind()
    end_job(world, JobStatus.DONE)
    world.age(30 * DAY_S)
    world.config.spool_dir.rename(tmp_path / "unmounted")
    world.config.spool_dir.mkdir()
    with pytest.raises(EnvironmentFault):
        purge(world.config, world.store)
    with world.store.read() as session:
        assert set(session.scalars(select(Instance.status))) == {"used"}
    world.config.spool_dir.rmdir()
    (tmp_path / "unmounted").rename(world.config.spool_dir)
    assert purge(world.config, world.store) == len(head())
    assert [path.name for path in files(world)] == [MARKER]


def test_that_the_spool_went_and_came_back_is_said_once_each(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    storage = Storage(store, tmp_path / "spool")
    storage.bind()
    caplog.clear()
    storage.watch()
    (tmp_path / "spool").rename(tmp_path / "unmounted")
    storage.watch()
    storage.watch()
    (tmp_path / "unmounted").rename(tmp_path / "spool")
    storage.watch()
    said = [(record.levelname, record.getMessage()) for record in caplog.records if hasattr(record, "action")]
    assert [level for level, _ in said] == ["ERROR", "WARNING"]
    with store.read() as session:
        names = list(session.scalars(select(Event.name).where(Event.subject == "storage").order_by(Event.id)))
    assert names == ["spool_away", "spool_back"]
