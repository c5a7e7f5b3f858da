"""What the tests of delivery begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicomnode.store.engine import Store
from tests.integration.deliver.world import World


@pytest.fixture
def world(store: Store, tmp_path: Path) -> World:
    """A node's folder and database, with nothing in them."""
    return World(store, tmp_path / "data")
