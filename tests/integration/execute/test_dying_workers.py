"""Whatever dies in a real worker process is a line of the log, without the message that may quote a patient."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from dicomnode.config.operations import Operations
from dicomnode.errors import WorkerCrashed
from dicomnode.execute.backends import local
from dicomnode.execute.child import ChildProcess
from dicomnode.execute.digests import PROGRAM as DIGEST_WORKER
from dicomnode.execute.dispatcher import CASE_WORKER
from dicomnode.logs import configure_logging
from tests.integration.execute.world import Bundles
from tests.integration.receive.world import wait_until

DIES = """
import sys, threading, time
from pathlib import Path

class Untidy:
    def __del__(self):
        raise ValueError("Muster^Erika")

def dies():
    while not Path({gate!r}).exists():
        time.sleep(0.05)
    untidy = Untidy()
    del untidy
    raise KeyError("Muster^Erika")

if "--multiprocessing-fork" in sys.argv:
    threading.Thread(target=dies, name="ForeignThread", daemon=True).start()
"""
"""Foreign code with a thread of its own, in a process that is otherwise as shipped: Python itself loads it first."""


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What appears there lets a thread die in every process that starts from here."""
    gate = tmp_path / "gate"
    (tmp_path / "sitecustomize.py").write_text(DIES.format(gate=str(gate)))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", ""))))
    return gate


def settings_of(program: str, bundles: Bundles) -> Any:
    if program != local.PROGRAM:
        return None
    return local.ModelWorkerSettings(
        device="cpu", models=("threshold",), zoo_paths=(bundles.folder / "zoo",), zoo_digests={}, cpu_threads=1
    )


@pytest.mark.parametrize("program", [DIGEST_WORKER, CASE_WORKER, local.PROGRAM])
def test_a_thread_that_dies_in_a_worker_is_a_log_line_without_its_message(
    program: str, bundles: Bundles, gate: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    configure_logging(Operations())
    child = ChildProcess(program, settings_of(program, bundles), start_timeout_s=120)
    said = ""

    def both_said() -> bool:
        nonlocal said
        said += capfd.readouterr().err
        return said.count("ForeignThread") + said.count("an error that nobody can catch") == 2

    try:
        child.start()
        gate.touch()
        wait_until(both_said, 90)
    finally:
        child.kill()
    lines = [json.loads(line) for line in said.splitlines()]
    assert {(line["message"], line["error"]) for line in lines if line["level"] == "ERROR"} == {
        ("an error that nobody can catch", "ValueError"),
        ("a thread died", "KeyError"),
    }
    assert "Muster" not in said


def test_a_worker_that_cannot_even_start_says_so_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging(Operations())
    child = ChildProcess(CASE_WORKER.replace("case_worker", "no_such_worker"), None, start_timeout_s=60)
    with pytest.raises(WorkerCrashed, match="exit code 1"):
        child.start()
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [(line["message"], line["error"]) for line in lines] == [("a process died", "ModuleNotFoundError")]
