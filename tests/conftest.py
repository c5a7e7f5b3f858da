"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
DEFAULT_REAL_DATA = REPOSITORY.parent / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with real DICOM files (``DICOMNODE_TEST_DATA``, else beside the checkout); skips where it is absent."""
    folder = Path(os.environ.get("DICOMNODE_TEST_DATA", DEFAULT_REAL_DATA))
    if not folder.is_dir():
        pytest.skip(f"no real DICOM files at {folder} (set DICOMNODE_TEST_DATA)")
    return folder
