"""The workers themselves, which write down each file that they open."""

from __future__ import annotations

import importlib
import os
import sys
from multiprocessing.connection import Connection

from dicomnode.execute.backends.local import PROGRAM, ModelWorkerSettings

TOLD_IN = "DICOMNODE_TEST_OPENED"
"""Environment variable with the file that gets the paths, one a line."""


def main(connection: Connection, settings: ModelWorkerSettings | None) -> None:
    told = os.open(os.environ[TOLD_IN], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def tell(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            os.write(told, f"{arguments[0]}\n".encode())

    sys.addaudithook(tell)
    program = "dicomnode.execute.case_worker" if settings is None else PROGRAM
    importlib.import_module(program).main(connection, settings)
