"""Unit tests stay within their process."""

from __future__ import annotations

import multiprocessing.process
import subprocess
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: Any, **_more: Any) -> None:
        pytest.fail("a unit test starts no process: it belongs into tests/integration")

    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)
    monkeypatch.setattr(subprocess.Popen, "__del__", lambda _: None)
    monkeypatch.setattr(multiprocessing.process.BaseProcess, "start", refuse)
