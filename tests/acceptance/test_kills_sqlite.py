"""kill -9 on SQLite: nothing is lost (see :mod:`tests.acceptance.kills`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.kills import survive


@pytest.mark.tools
@pytest.mark.timeout(900)
@pytest.mark.parametrize("new_database", ["sqlite"], indirect=True)
def test_twenty_kills_lose_nothing(tmp_path: Path, new_database: Callable[..., str]) -> None:
    survive(tmp_path, new_database(), seed=20261121, kills=20)


@pytest.mark.full
@pytest.mark.tools
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("new_database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_hundreds_of_kills_lose_nothing(tmp_path: Path, new_database: Callable[..., str], seed: int) -> None:
    survive(tmp_path, new_database(), seed=seed, kills=100)
