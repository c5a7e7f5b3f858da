"""A worker that computes for ever within the bounds of reading: what native code in an endless loop looks like."""

from __future__ import annotations

from multiprocessing.connection import Connection

from dicomnode.execute import limits
from dicomnode.execute.program import serve
from dicomnode.execute.tasks import Ready, Reply, Task


def main(connection: Connection, _: None) -> None:
    limits.READING_CPU_S, limits.READING_CPU_S_PER_FILE = 0.5, 0.0
    serve(connection, Spinning)


class Spinning:
    def ready(self) -> Ready:
        return Ready("cpu", {})

    def do(self, task: Task) -> Reply:
        with limits.reading(1):
            while True:
                pass
