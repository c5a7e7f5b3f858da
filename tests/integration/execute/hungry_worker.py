"""A worker for which no machine has memory enough."""

from __future__ import annotations

from multiprocessing.connection import Connection

import numpy as np

from dicomnode.execute.program import serve
from dicomnode.execute.tasks import Ready, Reply, Task


def main(connection: Connection, _: None) -> None:
    serve(connection, Hungry)


class Hungry:
    def ready(self) -> Ready:
        return Ready("cpu", {})

    def do(self, task: Task) -> Reply:
        np.zeros((1 << 20, 1 << 20, 1 << 10))
        raise AssertionError("that much memory is nowhere")
