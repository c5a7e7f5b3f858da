"""OHIF in headless Chromium on a PACS: what a radiologist sees of the results. Scripts: tests/tools/viewer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.acceptance.orthanc import DICOMWEB, Orthanc, free_port
from tests.conftest import REPOSITORY

OHIF, PLAYWRIGHT = "@ohif/app@3.13.2", "playwright-core@1.65.1"
SCRIPTS = REPOSITORY / "tests" / "tools" / "viewer"
CACHE = Path(os.environ.get("DICOMNODE_VIEWER", REPOSITORY / "artifacts" / "ohif"))
"""Where OHIF (200 MB) is kept between runs."""
PICTURES = REPOSITORY / "artifacts" / "viewer"
START_S, LOOK_S = 60.0, 600.0

DICOMWEB_SETTINGS: dict[str, Any] = {
    "Plugins": [str(DICOMWEB)],
    "DicomWeb": {
        "Enable": True,
        "Root": "/dicom-web/",
        "EnableWado": True,
        "WadoRoot": "/wado",
        "StudiesMetadata": "Full",
        "SeriesMetadata": "Full",
    },
}


class NoViewer(Exception):
    """The viewer cannot be had on this machine; the message says why."""


@dataclass(frozen=True)
class Sight:
    """What stood on the screen.

    Attributes
    ----------
    window : picture of the whole window.
    image : (rows, columns, 3) uint8, the viewport with the image alone.
    texts : all text of the page, and what is drawn over the image; some browsers count the latter among the former.
    drawn : what is drawn over the image.
    faults : errors that the page reported.
    """

    window: Path
    image: NDArray[np.uint8]
    texts: str
    drawn: tuple[str, ...]
    faults: list[str]


def install() -> Path:
    """Folder with OHIF's files and playwright, fetched with npm where they are missing.

    Raises
    ------
    NoViewer : Chromium, node or npm are not installed, or npm's registry cannot be reached.
    """
    missing = [tool for tool in ("chromium", "node", "npm") if shutil.which(tool) is None]
    if missing:
        raise NoViewer(f"missing {', '.join(missing)} (tests/tools/debian_tools.sh viewer installs them)")
    if not (CACHE / "package" / "dist" / "index.html").exists() or not (CACHE / "node_modules").is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        _npm("pack", OHIF)
        with tarfile.open(next(CACHE.glob("ohif-app-*.tgz"))) as archive:
            archive.extractall(CACHE, filter="data")
        _npm("install", "--prefix", str(CACHE), "--no-save", PLAYWRIGHT)
    return CACHE


def _npm(*arguments: str) -> None:
    done = subprocess.run(["npm", *arguments], cwd=CACHE, capture_output=True, text=True, check=False, timeout=280)
    if done.returncode:
        raise NoViewer(f"npm {' '.join(arguments)}: {done.stderr[-300:]}")


class Viewer:
    """OHIF before a PACS with DICOMweb; a context manager."""

    def __init__(self, pacs: Orthanc) -> None:
        self.folder = install()
        self.port = free_port()
        self.pacs = pacs
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Viewer:
        arguments = [self.folder / "package" / "dist", self.port, SCRIPTS / "app-config.js", self.pacs.http_port]
        self._process = subprocess.Popen(["node", str(SCRIPTS / "serve.mjs"), *map(str, arguments)])
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=20).close()
                return self
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("the viewer's server did not start")

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(20)

    def look(self, study_uid: str, series: str, name: str, **more: Any) -> Sight:
        """See :func:`look`."""
        return look(self.port, study_uid, series, name, **more)


def look(
    port: int, study_uid: str, series: str, name: str, *, scroll: int = 0, following: int = 0, awaited: str = ""
) -> Sight:
    """Open a series by its description, scroll by slices, and look.

    Parameters
    ----------
    port : where OHIF is served.
    name : of the pictures kept in ``PICTURES``.
    following : of a report, how many measurements after the first.
    awaited : a text to wait for, up to a minute: a busy machine draws late.

    Raises
    ------
    NoViewer : see :func:`install`.
    """
    PICTURES.mkdir(parents=True, exist_ok=True)
    out = PICTURES / f"{name}.png"
    url = f"http://127.0.0.1:{port}/viewer?StudyInstanceUIDs={study_uid}"
    arguments = [shutil.which("chromium"), url, series, out, scroll, following, awaited]
    command = ["node", str(SCRIPTS / "look.mjs"), *map(str, arguments)]
    done = subprocess.run(command, cwd=install(), capture_output=True, text=True, check=False, timeout=LOOK_S)
    assert done.returncode == 0, done.stderr[-2000:]
    seen = json.loads(out.with_suffix(".json").read_text())
    image = np.asarray(Image.open(out.with_name(f"{name}-viewport.png")).convert("RGB"))
    texts = "\n".join([seen["window"], *seen["drawn"]])
    return Sight(window=out, image=image, texts=texts, drawn=tuple(seen["drawn"]), faults=seen["faults"])
