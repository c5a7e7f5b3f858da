"""Fixtures shared by all tests."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import pytest

from dicomnode.dicom.libraries import set_up_pydicom

REPOSITORY = Path(__file__).resolve().parents[1]
DEFAULT_REAL_DATA = REPOSITORY.parent / "shared" / "data"
OWN_PATH = os.environ.get("PYTHONPATH", "")
PLAIN_PATH = os.pathsep.join(filter(None, [str(REPOSITORY / "tests/tools/plain"), OWN_PATH]))
"""PYTHONPATH of a process that has no extras."""
BUNDLE_PATH = os.pathsep.join(filter(None, [str(REPOSITORY / "tests/tools/plain_with_bundle"), OWN_PATH]))
"""PYTHONPATH of a process that has the extra ``bundle`` and no other."""
WAITING = ("tests/acceptance/", "tests/integration/")
COMPUTING = tuple(f"tests/integration/{name}" for name in ("test_train", "cohort/", "encode/", "zoo/"))
"""Of the files below the folders of :data:`WAITING` those that do not."""


def pytest_configure() -> None:
    """Which programs the tests find, and how many threads they compute with."""
    # Judges come from Debian: an activated virtual environment has a ``storescu`` and an ``echoscu`` of pynetdicom.
    set_up_pydicom()
    here = str(Path(sys.prefix) / "bin")
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join(sorted(folders, key=lambda folder: folder == here))
    if "PYTEST_XDIST_WORKER" in os.environ:
        # One of several processes that compute: threads that wait for a core spin, and all lose.
        os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files whose tests wait for processes and peers, and files whose tests compute, in turn.

    The processes that run them take a file each, in this order: some wait while the others compute.
    """
    files: dict[str, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.nodeid.partition("::")[0], []).append(item)
    waiting = [file for file in files if file.startswith(WAITING) and not file.startswith(COMPUTING)]
    computing = [file for file in files if file not in waiting]
    turns = [file for pair in zip_longest(waiting, computing) for file in pair if file is not None]
    items[:] = [item for file in turns for item in files[file]]


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """A command that a test calls in its own process sets up logging for that process: not for the tests after it."""
    root, hooks = logging.getLogger(), (threading.excepthook, sys.unraisablehook, sys.excepthook)
    level = root.level
    yield
    for handler in [handler for handler in root.handlers if type(handler).__module__ == "dicomnode.logs"]:
        root.removeHandler(handler)
        root.setLevel(level)
        threading.excepthook, sys.unraisablehook, sys.excepthook = hooks


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with real DICOM files (``DICOMNODE_TEST_DATA``, else beside the checkout); skips where it is absent."""
    folder = Path(os.environ.get("DICOMNODE_TEST_DATA", DEFAULT_REAL_DATA))
    if not folder.is_dir():
        pytest.skip(f"no real DICOM files at {folder} (set DICOMNODE_TEST_DATA)")
    return folder
