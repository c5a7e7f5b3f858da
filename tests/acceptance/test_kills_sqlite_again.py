"""kill -9 on SQLite at ten further places, in a file of its own (see :mod:`tests.acceptance.kills`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.kills import survive


@pytest.mark.tools
@pytest.mark.timeout(900)
@pytest.mark.parametrize("new_database", ["sqlite"], indirect=True)
def test_kills_at_ten_further_places_lose_nothing(tmp_path: Path, new_database: Callable[..., str]) -> None:
    survive(tmp_path, new_database(), seed=3, kills=10)
