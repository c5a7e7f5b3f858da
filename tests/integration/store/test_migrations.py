"""Migrations on SQLite and on PostgreSQL: what they build is what the code declares, however often they run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from dicomnode.store.engine import Store, alembic_config
from dicomnode.store.tables import Base, Job, Series
from tests.integration.deliver.world import new_job
from tests.integration.store.fixture import both_databases

pytestmark = both_databases

MIGRATE = "import sys; from dicomnode.store.engine import Store; s = Store(sys.argv[1]); s.migrate(); s.close()"


def differences(store: Store) -> list[object]:
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, Base.metadata))


def revision(store: Store) -> str | None:
    with store.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def test_the_migrated_schema_is_the_declared_one(new_database: Callable[..., str]) -> None:
    store = Store(new_database(migrated=False))
    store.migrate()
    assert differences(store) == []
    store.close()


def test_a_missing_column_would_be_found(new_database: Callable[..., str]) -> None:
    store = Store(new_database())
    with store.write() as session:
        session.execute(text("ALTER TABLE series DROP COLUMN refusal_detail"))
    assert len(differences(store)) == 1
    store.close()


def test_the_partial_unique_index_is_partial_on_this_database_too(new_database: Callable[..., str]) -> None:
    store = Store(new_database())
    indexes = {index["name"]: index for index in inspect(store.engine).get_indexes("job")}
    active = indexes["uq_job_active"]
    assert active["unique"]
    where = " ".join(str(value) for value in active.get("dialect_options", {}).values())
    assert "superseded" in where
    assert "cancelled" in where
    store.close()


def test_migrating_again_changes_nothing_and_keeps_the_rows(store: Store) -> None:
    new_job(store)
    before = revision(store)
    store.migrate()
    store.migrate()
    assert revision(store) == before
    with store.read() as session:
        assert session.query(Series).count() == 1


def test_a_migrated_database_is_at_the_newest_revision(store: Store) -> None:
    assert revision(store) == ScriptDirectory.from_config(alembic_config()).get_current_head()


def test_four_processes_may_migrate_an_empty_database_at_once(new_database: Callable[..., str]) -> None:
    url = new_database(migrated=False)
    processes = [
        subprocess.Popen([sys.executable, "-c", MIGRATE, url], stderr=subprocess.PIPE, text=True) for _ in range(4)
    ]
    endings = [(process.communicate(timeout=120)[1], process.returncode) for process in processes]
    assert [(stderr, code) for stderr, code in endings if code != 0] == []
    store = Store(url)
    assert differences(store) == []
    new_job(store)
    store.close()


def test_a_series_without_result_is_still_to_be_decided_on_after_its_column_was_renamed(store: Store) -> None:
    job_id = new_job(store)
    with store.write() as session:
        session.execute(text("UPDATE series SET not_performed_due_at = 5.0"))
    with store.engine.begin() as connection:
        command.downgrade(alembic_config(connection), "0006")
        assert connection.execute(text("SELECT verdict_due_at FROM series")).scalars().all() == [5.0]
    store.migrate()
    with store.read() as session:
        assert [row.not_performed_due_at for row in session.query(Series)] == [5.0]
        assert session.get(Job, job_id) is not None
    assert differences(store) == []
