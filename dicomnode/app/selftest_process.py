"""The selftests of a running node, in a process of their own: it computes, the receiving process only waits for it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dicomnode.app.known_answer import ANSWER
from dicomnode.config.whole import Config
from dicomnode.errors import InferenceError
from dicomnode.zoo.registry import Registry

PROGRAM = "dicomnode.app.selftest_program"
POLL_S = 0.2
_WITHIN_S = 3600.0


@dataclass(frozen=True, slots=True)
class Tested:
    """What came of the selftest of one model."""

    name: str
    ok: bool
    says: str


def models_with_answers(config: Config) -> list[str]:
    """The models of the protocols that have a known answer.

    Raises
    ------
    BundleError : one of them cannot be used.
    """
    registry = Registry(config.bundle_paths, config.zoo.digests, config.zoo.thresholds)
    names = sorted({model for protocol in config.protocol for model in protocol.models})
    return [name for name in names if (registry.get(name).manifest.path / ANSWER).is_file()]


def test_models(config: Config, names: Sequence[str], is_stopping: Callable[[], bool]) -> list[Tested]:
    """Ask each model about the known patient; empty where the node stops meanwhile.

    Raises
    ------
    InferenceError : the process died or took too long, which says nothing of the models.
    OSError : it cannot be started.
    """
    command = [sys.executable, "-m", PROGRAM]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin as given:
        given.write(json.dumps(_asked(config, names)).encode())
    deadline = time.monotonic() + _WITHIN_S
    while process.poll() is None:
        if is_stopping() or time.monotonic() > deadline:
            process.kill()
        time.sleep(POLL_S)
    with process.stdout as told:
        said = told.read()
    if is_stopping():
        return []
    if process.returncode != 0:
        raise InferenceError(f"the process of the selftests ended with {process.returncode}")
    return [Tested(**one) for one in json.loads(said)]


def _asked(config: Config, names: Sequence[str]) -> dict[str, Any]:
    execution = config.execution
    return {
        "names": list(names),
        "device": execution.devices[0],
        "paths": [str(path.absolute()) for path in config.bundle_paths],
        "digests": config.zoo.digests,
        "thresholds": config.zoo.thresholds,
        "cpu_threads": execution.cpu_threads,
        "precision": execution.precision,
        "run_timeout_s": execution.run_timeout_s,
        "start_timeout_s": execution.start_timeout_s,
    }
