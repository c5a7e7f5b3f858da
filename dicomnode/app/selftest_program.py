"""``python -m dicomnode.app.selftest_program``: what to test comes by standard input, verdicts go out, both JSON."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dicomnode.app.selftest import Verdict, selftest
from dicomnode.app.selftest_process import Tested
from dicomnode.execute.backends.local import ModelWorkerSettings
from dicomnode.zoo.registry import Registry

NICE = 10
"""What is received and what is asked of the models goes first."""


def main() -> None:
    """Entry point of the process."""
    os.nice(NICE)
    verdicts = _verdicts(json.load(sys.stdin))
    print(json.dumps([asdict(Tested(one.name, one.ok is not False, one.says)) for one in verdicts]))


def _verdicts(asked: dict[str, Any]) -> list[Verdict]:
    paths = tuple(Path(path) for path in asked["paths"])
    registry = Registry(paths, asked["digests"], asked["thresholds"])
    settings = ModelWorkerSettings(
        device=asked["device"],
        models=(),
        zoo_paths=paths,
        zoo_digests=asked["digests"],
        zoo_thresholds=asked["thresholds"],
        cpu_threads=asked["cpu_threads"],
        precision=asked["precision"],
    )
    bundles = [registry.get(name) for name in asked["names"]]
    return selftest(bundles, settings, asked["run_timeout_s"], asked["start_timeout_s"], keep=False)


if __name__ == "__main__":
    main()
