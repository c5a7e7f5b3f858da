"""Fixtures of the acceptance tests: databases of both kinds, a real PACS, the node as a process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance import orthanc as orthanc_module
from tests.acceptance.orthanc import Orthanc
from tests.integration.conftest import new_database, postgres_url, sqlite_template

__all__ = ["new_database", "orthanc", "postgres_url", "sqlite_template"]


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    """A running Orthanc with an empty archive."""
    if not orthanc_module.available():
        pytest.skip("Orthanc is not installed (tests/tools/debian_tools.sh installs it)")
    with Orthanc(tmp_path / "orthanc") as running:
        yield running


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """A running Orthanc that the tests of a module share; each has studies of its own."""
    with Orthanc(tmp_path_factory.mktemp("pacs") / "orthanc") as running:
        yield running
