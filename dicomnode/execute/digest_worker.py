"""The process that decodes pixels for the assembler, which compares copies of one image but decodes nothing itself."""

from __future__ import annotations

from multiprocessing.connection import Connection
from pathlib import Path

from dicomnode.assemble.copies import UNREADABLE_PIXELS
from dicomnode.dicom.received import BAD_FILE, read_received
from dicomnode.environment import raise_unless_it_stays
from dicomnode.errors import SeriesError
from dicomnode.execute.limits import reading
from dicomnode.execute.program import serve
from dicomnode.execute.tasks import DigestReply, DigestTask, Ready, Reply, Task
from dicomnode.images.pixels import pixel_digest


def main(connection: Connection, _: None) -> None:
    """Entry point of the spawned process."""
    serve(connection, DigestWorker)


class DigestWorker:
    """Keeps nothing."""

    def ready(self) -> Ready:
        """Nothing is loaded."""
        return Ready("cpu", {})

    def do(self, task: Task) -> Reply:
        """One file.

        Raises
        ------
        OSError : the disk is gone.
        """
        assert isinstance(task, DigestTask)
        return DigestReply(digest_of(task.path))


def digest_of(path: Path) -> str:
    """Digest of pixels and geometry, or what stands for pixels that cannot be decoded.

    Raises
    ------
    OSError : the disk is gone.
    """
    try:
        with reading(1):
            return pixel_digest(read_received(path))
    except (SeriesError, *BAD_FILE) as fault:
        raise_unless_it_stays(fault)
        return UNREADABLE_PIXELS
