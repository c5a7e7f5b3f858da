"""Databases for the tests: ``store`` is a migrated one, fresh for each test, on SQLite and in the full run on both.

What the database decides is marked :data:`both_databases`: statements of the store, parties that meet in the database,
and what may be written into a column. Such a test runs on PostgreSQL always.

``conftest.py`` starts the PostgreSQL server (``postgres_url``) and makes the template database that is copied here.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from dicomnode.store.engine import Store

both_databases = pytest.mark.parametrize("new_database", ["sqlite", "postgresql"], indirect=True)
"""For tests of which the database decides how they end."""

sqlite_only = pytest.mark.parametrize("new_database", ["sqlite"], indirect=True)
"""For tests in which no two parties meet in the database, and peers or files decide what is asked."""

_numbers = itertools.count(1)


def execute(url: str, *statements: str) -> None:
    """Run statements on a server, each on its own."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "node.db"
    template = Store(f"sqlite:///{path}")
    template.migrate()
    template.close()
    return path


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.full)])
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Makes databases of one kind: ``new_database(migrated=False)`` returns the URL of an empty one."""
    made = []

    def make(*, migrated: bool = True) -> str:
        name = f"node_{next(_numbers)}"
        if request.param == "sqlite":
            path = tmp_path / f"{name}.db"
            if migrated:
                shutil.copy(request.getfixturevalue("sqlite_template"), path)
            return f"sqlite:///{path}"
        server: str = request.getfixturevalue("postgres_url")
        execute(server, f"CREATE DATABASE {name} TEMPLATE {'template_node' if migrated else 'template0'}")
        made.append(name)
        return server.replace("/postgres?", f"/{name}?")

    yield make
    for name in made:
        execute(request.getfixturevalue("postgres_url"), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def store(new_database: Callable[..., str]) -> Iterator[Store]:
    """A migrated database of one kind."""
    opened = Store(new_database())
    yield opened
    opened.close()
