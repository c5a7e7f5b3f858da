"""kill -9 on SQLite: nothing is lost (see :mod:`tests.acceptance.kills`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.kills import survive


@pytest.mark.tools
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("seed", "kills"),
    [pytest.param(20261121, 10, id="10"), pytest.param(20261121, 20, id="20", marks=pytest.mark.full)],
)
@pytest.mark.parametrize("new_database", ["sqlite"], indirect=True)
def test_kills_lose_nothing(tmp_path: Path, new_database: Callable[..., str], seed: int, kills: int) -> None:
    survive(tmp_path, new_database(), seed=seed, kills=kills)


@pytest.mark.full
@pytest.mark.tools
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("new_database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_hundreds_of_kills_lose_nothing(tmp_path: Path, new_database: Callable[..., str], seed: int) -> None:
    survive(tmp_path, new_database(), seed=seed, kills=100)
