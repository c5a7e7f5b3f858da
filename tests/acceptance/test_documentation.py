"""The documentation as a reader has it: the site builds without a dead link, and the quick start runs as it stands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest

from dicomnode.cohort.make import make_demo_study
from tests.conftest import REPOSITORY
from tests.tools.documented import block_lines, words

QUICK_START = REPOSITORY / "docs/quick-start.md"

pytestmark = pytest.mark.timeout(900)


def test_the_site_builds_strictly_without_a_dead_link(tmp_path: Path) -> None:
    mkdocs = Path(sys.executable).parent / "mkdocs"
    command = [mkdocs, "build", "--strict", "--quiet", "--site-dir", tmp_path / "site"]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=quiet, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {path.parent.name for path in (tmp_path / "site").rglob("index.html")}
    assert {"quick-start", "pacs", "troubleshooting", "log", "life-cycle", "security", "air"} <= pages


def test_the_quick_start_runs_as_it_stands(tmp_path: Path) -> None:
    study = make_demo_study(tmp_path / "made", 7)
    (tmp_path / "head").mkdir()
    for path in study.paths:
        path.rename(tmp_path / "head" / path.name)
    lines = block_lines(QUICK_START.read_text("utf-8"), "quick-start")
    assert [line.split()[0] for line in lines] == ["init", "check", "protocols", "process", "conformance"]
    for line in lines:
        command = [sys.executable, "-m", "dicomnode", *words(line)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    kinds = {path.name.split("-")[0] for path in (tmp_path / "results").glob("*.dcm")}
    assert {"seg", "sr", "text", "sc"} <= kinds
    seg = pydicom.dcmread(next((tmp_path / "results").glob("seg-*.dcm")))
    assert seg.StudyInstanceUID == pydicom.dcmread(next((tmp_path / "head").iterdir())).StudyInstanceUID
    assert "# DICOM Conformance Statement" in (tmp_path / "conformance.md").read_text()
