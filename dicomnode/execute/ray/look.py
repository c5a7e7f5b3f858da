"""The process that asks a cluster for its machines, for ``dicomnode check``: connected to Ray, it may end any time."""

from __future__ import annotations

from multiprocessing.connection import Connection

from dicomnode.execute.program import serve
from dicomnode.execute.ray.connection import connect, nodes, told
from dicomnode.execute.tasks import Failure, Ready, Task


def main(connection: Connection, address: str) -> None:
    """Entry point of the spawned process."""
    serve(connection, lambda: Look(address))


class Look:
    """Says what it saw when it is ready, and nothing else.

    Raises
    ------
    EnvironmentFault : the cluster cannot be used; says what to do.
    """

    def __init__(self, address: str) -> None:
        connect(address)
        self._seen = told(nodes())

    def ready(self) -> Ready:
        """The machines that are alive, in the place of a device."""
        return Ready(self._seen, {})

    def do(self, task: Task) -> Failure:
        """Nothing can be asked."""
        return Failure(f"{type(task).__name__} is not for this process")
