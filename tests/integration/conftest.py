"""Fixtures of the integration tests: databases of both kinds, and a running reception."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dicomnode.app import show
from dicomnode.store.engine import Store
from tests.conftest import PLAIN_PATH
from tests.integration.execute.world import MODELS, Bundles, Workers
from tests.integration.receive.world import Reception
from tests.integration.store.fixture import execute, new_database, sqlite_template, store

__all__ = ["new_database", "new_reception", "postgres_url", "reception", "sqlite_template", "store"]


@pytest.fixture(scope="session", autouse=True)
def _plain_children() -> Iterator[None]:
    """Workers and commands that tests start find no more than a hospital has; see :mod:`tests.tools.plain`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", PLAIN_PATH)
        yield


@pytest.fixture
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal in which no line is folded."""
    monkeypatch.setattr(show.out, "_width", 400)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server of its own, with a migrated template database; URL of its maintenance database.

    Not below pytest's own temporary folder: pytest closes that one (mode 0700) whenever another run begins, and the
    server, which runs as another user where the tests run as root, would lose its files.
    """
    if "CI" not in os.environ:
        pytest.importorskip("pgserver", reason="no PostgreSQL to test on: pip install pgserver")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pgserver's own imports
        import pgserver
    with tempfile.TemporaryDirectory(prefix="dicomnode-postgres-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        url = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        _spare_the_disk(url)
        _make_template(url)
        yield url
        server.cleanup()


def _spare_the_disk(url: str) -> None:
    # A database is made and dropped for each test. No test pulls the server's plug, so its writes need not be awaited.
    settings = ("fsync", "full_page_writes", "synchronous_commit")
    execute(url, *(f"ALTER SYSTEM SET {setting} = off" for setting in settings), "SELECT pg_reload_conf()")


def _make_template(url: str) -> None:
    execute(url, "CREATE DATABASE template_node")
    template = Store(url.replace("/postgres?", "/template_node?"))
    template.migrate()
    template.close()


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    """All small bundles of the tests."""
    return Bundles(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="session")
def workers(bundles: Bundles) -> Iterator[Workers]:
    """Workers for all tests; one that a test killed is started again by the next that needs it."""
    warm = Workers(bundles, MODELS)
    yield warm
    warm.kill()


@pytest.fixture
def new_reception(tmp_path: Path) -> Iterator[Callable[..., Reception]]:
    """Starts receptions on ``tmp_path / "data"``: ``new_reception(store, idle_timeout_s=1)``; all stop at the end."""
    started: list[Reception] = []

    def start(store: Store, *, owner: str = "receiver-1", senders: tuple = (), **reception: object) -> Reception:
        started.append(Reception(store, tmp_path / "data", owner=owner, senders=senders, **reception))
        return started[-1]

    yield start
    for running in started:
        running.scp.stop()


@pytest.fixture
def reception(store: Store, new_reception: Callable[..., Reception]) -> Reception:
    """A reception with default limits, on SQLite and on PostgreSQL."""
    return new_reception(store)
