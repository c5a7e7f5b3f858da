"""A scanner for the tests: sends a study again and again until every image of it was acknowledged, as autosend does."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from tests.tools.series import ct_series, head_hu, write_series

# By its path: an activated virtual environment has another program of this name.
STORESCU, DCMSEND = "/usr/bin/storescu", "/usr/bin/dcmsend"
OFFSETS_MM = tuple(np.arange(0.0, 144.0, 6.0))
BLEED_CENTRE_MM = np.array((20.0, 10.0, 75.0))
BLEED_RADIUS_MM = 15.0


def head_with_bleed(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A plain head with a ball of blood in it."""
    hu = head_hu(points)
    hu[np.linalg.norm(points - BLEED_CENTRE_MM, axis=1) < BLEED_RADIUS_MM] = 70.0
    return hu


def small_study(name: str) -> list[Dataset]:
    """A study of one series, 24 slices of 96 x 96, with a bleed; quick to send and to run."""
    uid = pydicom.uid.generate_uid(entropy_srcs=[name])
    return ct_series(
        OFFSETS_MM,
        name=name,
        matrix=96,
        pixel_spacing_mm=(2.2, 2.2),
        hu=head_with_bleed,
        StudyInstanceUID=uid,
        AccessionNumber=f"ACC-{name}"[:16],
    )


def storescu(
    paths: Sequence[Path], port: int, *, called_ae: str = "AINODE", calling_ae: str = "CT1", within_s: float = 300.0
) -> bool:
    """Send files with dcmtk over one association; True when every one was acknowledged with Success."""
    command = [STORESCU, "-aet", calling_ae, "-aec", called_ae, "-R", "-ta", "20", "-td", "20", "127.0.0.1", str(port)]
    done = subprocess.run([*command, *map(str, paths)], capture_output=True, check=False, timeout=within_s)
    return done.returncode == 0


def storescu_until_taken(paths: Sequence[Path], port: int, *, within_s: float = 300.0) -> None:
    """Send files again until every one was acknowledged, as senders do with what a busy node refuses for now."""
    deadline = time.monotonic() + within_s
    while not storescu(paths, port):
        assert time.monotonic() < deadline, "the node does not take the files"
        time.sleep(0.5)


def dcmsend(paths: Sequence[Path], port: int, *, called_ae: str = "AINODE", calling_ae: str = "CT1") -> bool:
    """The same by the tool of dcmtk that proposes the transfer syntax of each file, compressed ones too."""
    command = [DCMSEND, "-aet", calling_ae, "-aec", called_ae, "127.0.0.1", str(port)]
    done = subprocess.run([*command, *map(str, paths)], capture_output=True, check=False, timeout=300)
    return done.returncode == 0


class Scanner(threading.Thread):
    """Sends small studies one after the other until told to stop.

    Attributes
    ----------
    sent : studies of which every image was acknowledged.
    busy : while it says True, nothing new is sent, as nobody scans faster than the list of patients grows; what is on
        its way is sent to its end, and :meth:`scan` has one more sent at once.
    """

    def __init__(
        self, folder: Path, port: int, *, pause_s: float = 0.0, most: int = 1000, busy: Callable[[], bool] | None = None
    ) -> None:
        super().__init__(daemon=True)
        self.folder, self.port, self.pause_s, self.most = folder, port, pause_s, most
        self.busy = busy or (lambda: False)
        self.sent: list[str] = []
        self.stopping = threading.Event()
        self._asked = threading.Event()

    def run(self) -> None:
        """Thread body."""
        for number in range(self.most):
            study = small_study(f"study-{number}")
            paths = write_series(self.folder / str(number), study)
            while not storescu(paths, self.port):
                time.sleep(0.2)
            self.sent.append(str(study[0].StudyInstanceUID))
            if self.stopping.wait(self.pause_s) or not self._idle():
                return

    def _idle(self) -> bool:
        """Wait until the next study is due; False when none is wanted any more."""
        while self.busy() and not self._asked.is_set():
            if self.stopping.wait(0.1):
                return False
        self._asked.clear()
        return True

    def scan(self) -> None:
        """Send another study now, or right after the one that is on its way."""
        self._asked.set()

    def stop(self) -> None:
        """Finish the study that is on its way."""
        self.stopping.set()
        self.join(120)
