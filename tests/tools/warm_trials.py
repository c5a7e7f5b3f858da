"""A process that has imported all that a trial of a foreign bundle imports, and gives each trial a copy of itself.

A trial imports for eight seconds and works for one. The copy is limited and confined as a trial of its own is: the same
module runs from its ``__main__``, in the same network namespace, with the same environment.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from dicomnode.zoo.importing.confined import plain_environment, without_network

TRIALS = ("dicomnode.zoo.importing.trial", "dicomnode.zoo.importing.weights_trial")


class WarmTrials:
    """The tests' side: ``run`` stands for :func:`dicomnode.zoo.importing.child.run_confined`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            without_network([sys.executable, "-B", "-m", "tests.tools.warm_trials"]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=plain_environment(),
        )

    def run(self, module: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        """One trial to its end."""
        assert module in TRIALS
        said = _pipe(self._process.stdin), _pipe(self._process.stdout)
        said[0].write(json.dumps([module, *arguments]).encode() + b"\n")
        said[0].flush()
        ended = json.loads(said[1].readline())
        return subprocess.CompletedProcess([module, *arguments], ended["code"], b"", ended["error"].encode())

    def close(self) -> None:
        """End the process."""
        with self._process:
            _pipe(self._process.stdin).close()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def serve() -> None:
    """Import, then one copy for each line of standard input."""
    from dicomnode.zoo.importing.components import load_libraries

    for module in TRIALS:
        importlib.import_module(module)
    load_libraries()
    for line in sys.stdin:
        read, write = os.pipe()
        if (child := os.fork()) == 0:
            os._exit(_trial(*json.loads(line), error=write))
        os.close(write)
        error = Path(f"/dev/fd/{read}").read_text(errors="replace")
        _, status = os.waitpid(child, 0)
        os.close(read)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status), "error": error}), flush=True)


def _trial(module: str, *arguments: str, error: int) -> int:
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(0, 1)
    os.dup2(error, 2)
    os.close(error)
    sys.argv = [module, *arguments]
    del sys.modules[module]
    try:
        runpy.run_module(module, run_name="__main__")
    except BaseException:  # noqa: BLE001 (the end of a process, and its error what the import tells of)
        os.write(2, traceback.format_exc().encode())
        return 1
    return 0


if __name__ == "__main__":
    serve()
