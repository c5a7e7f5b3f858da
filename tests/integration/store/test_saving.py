"""A database saved while it is written to, brought back, and copied before a new version changes its schema."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import text

from dicomnode.errors import DatabaseUnusable, EnvironmentFault
from dicomnode.store.engine import Store, alembic_config
from dicomnode.store.saving import load_database, revision_of, save_database
from dicomnode.store.tables import Event, Job
from dicomnode.store.upgrading import KEPT, upgraded_store
from tests.integration.deliver.world import new_job
from tests.integration.store.fixture import both_databases, sqlite_only

BEFORE_LAST = "-1"


@pytest.fixture(autouse=True)
def _tools_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server of the tests brings its own pg_dump, which is never older than itself."""
    pgserver = pytest.importorskip("pgserver")
    tools = Path(pgserver.__file__).parent / "pginstall/bin"
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")


def events_of(url: str) -> int:
    """How many events a database holds."""
    store = Store(url)
    with store.read() as session:
        count = session.query(Event).count()
    store.close()
    return count


@both_databases
def test_a_saved_database_is_that_of_the_moment_whatever_is_written_later(
    new_database: Callable[..., str], tmp_path: Path
) -> None:
    url = new_database()
    store = Store(url)
    new_job(store)
    with store.read() as reading:
        reading.query(Job).count()
        save_database(url, tmp_path / "saved")
    with store.write() as session:
        session.execute(text("DELETE FROM event"))
    store.close()
    assert stat.S_IMODE((tmp_path / "saved").stat().st_mode) == 0o600
    empty = new_database(migrated=False)
    load_database(tmp_path / "saved", empty)
    assert (events_of(url), events_of(empty) > 0) == (0, True)
    assert revision_of(empty) == revision_of(url)


@both_databases
def test_a_database_of_the_version_before_is_copied_and_then_brought_up_to_date(
    new_database: Callable[..., str], tmp_path: Path
) -> None:
    url = new_database()
    store = Store(url)
    new_job(store)
    with store.engine.begin() as connection:
        command.downgrade(alembic_config(connection), BEFORE_LAST)
    store.close()
    before = revision_of(url)
    upgraded_store(url, tmp_path / "upgrades").close()
    upgraded_store(url, tmp_path / "upgrades").close()
    (copy,) = (tmp_path / "upgrades").iterdir()
    assert copy.name.endswith(f"-{before}.database")
    assert (revision_of(url) != before, events_of(url) > 0) == (True, True)
    empty = new_database(migrated=False)
    load_database(copy, empty)
    assert revision_of(empty) == before


@sqlite_only
def test_no_more_than_some_copies_are_kept(new_database: Callable[..., str], tmp_path: Path) -> None:
    for number in range(KEPT + 1):
        (tmp_path / f"2026010{number + 1}T000000-0001.database").touch()
    url = new_database()
    store = Store(url)
    with store.engine.begin() as connection:
        command.downgrade(alembic_config(connection), BEFORE_LAST)
    store.close()
    upgraded_store(url, tmp_path).close()
    kept = sorted(path.name for path in tmp_path.glob("*.database"))
    assert len(kept) == KEPT
    assert "20260101T000000-0001.database" not in kept


@sqlite_only
def test_a_database_that_cannot_be_copied_is_not_upgraded(new_database: Callable[..., str], tmp_path: Path) -> None:
    url = new_database()
    store = Store(url)
    with store.engine.begin() as connection:
        command.downgrade(alembic_config(connection), BEFORE_LAST)
    store.close()
    before = revision_of(url)
    (tmp_path / "upgrades").write_text("no folder")
    with pytest.raises(EnvironmentFault, match="is not upgraded, since it cannot be copied"):
        upgraded_store(url, tmp_path / "upgrades")
    assert revision_of(url) == before


@both_databases
def test_a_database_of_a_newer_version_is_refused_and_left_as_it_is(
    new_database: Callable[..., str], tmp_path: Path
) -> None:
    url = new_database()
    store = Store(url)
    with store.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()
    with pytest.raises(DatabaseUnusable, match="is of a newer version of dicomnode"):
        upgraded_store(url, tmp_path / "upgrades")
    assert revision_of(url) == "9999"
    assert not (tmp_path / "upgrades").exists()


def test_without_the_tools_of_postgresql_the_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFault, match="pg_dump is not installed: apt-get install postgresql-client"):
        save_database("postgresql+psycopg://node@127.0.0.1/node", tmp_path / "saved")
