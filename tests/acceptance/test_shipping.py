"""What ships, in an empty environment: the sdist makes the same wheel, and the wheel makes a node."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

pytestmark = [pytest.mark.full, pytest.mark.timeout(3600)]

BUILT_FROM = (
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "MANIFEST.in",
    "CHANGELOG.md",
    "constraints.txt",
    "config.example.toml",
    ".dockerignore",
)


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """What a command says; it finds nothing of this checkout."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=clean, capture_output=True, text=True, check=False, timeout=3000
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheel and sdist as `make dist` builds them: the wheel out of the sdist."""
    source = tmp_path_factory.mktemp("source")
    for name in BUILT_FROM:
        shutil.copy(REPOSITORY / name, source)
    for name in ("dicomnode", "deploy"):
        shutil.copytree(REPOSITORY / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", source / "dist", source)
    return source / "dist"


def test_the_wheel_that_the_sdist_makes_holds_every_file_of_the_package(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    package = REPOSITORY / "dicomnode"
    files = {path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    shipped = {
        f"dicomnode/shipped/{name}" for name in ("compose/compose.yaml", "kubernetes/dicomnode.yaml", "Dockerfile")
    }
    assert {str(path.relative_to(REPOSITORY)) for path in files} | shipped <= held


def test_in_an_empty_environment_the_wheel_makes_a_node_that_checks_itself(dist: Path, tmp_path: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv/bin/python"
    index = run(sys.executable, REPOSITORY / "deploy/torch_index.py", "0").split()
    constraints = REPOSITORY / "constraints.txt"
    run(python, "-m", "pip", "install", "--quiet", "--constraint", constraints, *index, f"{wheel}[operations]")
    dicomnode = tmp_path / "venv/bin/dicomnode"
    assert run(dicomnode, "--version", cwd=tmp_path).startswith("dicomnode ")
    run(dicomnode, "init", "config.toml", "--deploy", "deploy", "--accept-research", cwd=tmp_path)
    assert (tmp_path / "deploy/compose/compose.yaml").is_file()
    said = run(dicomnode, "check", "--only-configuration", "--config", "config.toml", cwd=tmp_path)
    assert "protocol head-ct" in said
