"""What an admin meets in the first hour: each ends with a sentence that says what to do, never with a traceback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dicomnode.cli.main import app
from tests.conftest import REPOSITORY
from tests.integration.cli.test_reading import CONFIG

WITHOUT_DRIVER = """
import sys
from importlib.abc import MetaPathFinder

class Hidden(MetaPathFinder):
    def find_spec(self, fullname, path=None, target=None):
        if fullname.partition(".")[0] == "psycopg":
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)

sys.meta_path.insert(0, Hidden())
"""
"""On the path of a process: as an installation without the extra is."""


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a configuration with further lines."""

    def write(more: str) -> Path:
        path = tmp_path / "config.toml"
        path.write_text(f"{CONFIG}\n{more}")
        return path

    return write


def closed_port() -> int:
    with socket.socket() as once:
        once.bind(("127.0.0.1", 0))
        return int(once.getsockname()[1])


@pytest.mark.parametrize("command", [["jobs", "list"], ["serve"], ["why", "1"], ["destinations", "refusals"]])
def test_a_postgresql_that_is_down_is_named_with_what_to_look_at(
    written: Callable[[str], Path], command: list[str]
) -> None:
    url = f"postgresql+psycopg://node:secret@127.0.0.1:{closed_port()}/dicomnode"
    ended = run(*command, "--config", written(f"[database]\nurl = '{url}'"))
    assert ended.exit_code == 1
    assert "Connection refused): does the server run, and do host and port of database.url fit?" in ended.stderr
    assert "secret" not in ended.output


def test_a_postgresql_whose_database_or_role_is_missing_says_how_to_make_it(
    written: Callable[[str], Path], postgres_url: str
) -> None:
    absent = run("jobs", "list", "-c", written(f"[database]\nurl = '{postgres_url.replace('/postgres?', '/absent?')}'"))
    assert (absent.exit_code, "create it there (createdb)" in absent.stderr) == (1, True)
    nobody = postgres_url.replace("//postgres:", "//nobody:")
    unknown = run("jobs", "list", "-c", written(f"[database]\nurl = '{nobody}'"))
    assert (unknown.exit_code, "create the role there (createuser)" in unknown.stderr) == (1, True)
    empty = run("jobs", "list", "-c", written(f"[database]\nurl = '{postgres_url}'"))
    assert (empty.exit_code, "holds no tables of dicomnode" in empty.stderr) == (1, True)


@pytest.mark.parametrize("command", ["jobs list", "serve", "check --no-models"])
def test_a_postgresql_without_its_driver_says_what_to_install(
    written: Callable[[str], Path], tmp_path: Path, command: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_DRIVER)
    config = written("[database]\nurl = 'postgresql+psycopg://node@127.0.0.1/dicomnode'")
    ended = subprocess.run(
        [sys.executable, "-m", "dicomnode", *command.split(), "--config", str(config)],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{REPOSITORY}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said = " ".join((ended.stdout + ended.stderr).split())
    assert ended.returncode == 2
    assert "driver is not installed: pip install 'dicomnode[postgres]'" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("url", ["postgresql+psycopg://node@pacs:port/x", "sqlite:///:memory:x:y/../.."])
def test_a_database_url_that_is_none_is_a_fault_of_its_key(written: Callable[[str], Path], url: str) -> None:
    ended = run("jobs", "list", "--config", written(f"[database]\nurl = '{url}'"))
    assert ended.exit_code in (1, 2)
    assert ended.exit_code == 1 or "database.url: is no URL" in ended.stderr
    assert "Traceback" not in ended.output


def test_a_database_that_is_a_folder_says_so(written: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "rows.db").mkdir()
    ended = run("jobs", "list", "--config", written("[database]\nurl = 'sqlite:///rows.db'"))
    assert (ended.exit_code, "is a folder, not a file" in ended.stderr) == (1, True)


@pytest.mark.parametrize("folder", ["/proc/dicomnode", "/sys/dicomnode"])
def test_a_data_folder_that_cannot_be_made_is_named_by_check(written: Callable[[str], Path], folder: str) -> None:
    config = written("")
    config.write_text(config.read_text().replace("[node]", f"[node]\ndata_dir = '{folder}'"))
    said = run("check", "--no-models", "--config", config)
    assert said.exit_code == 2
    assert "cannot be written by this user" in " ".join(said.stdout.split())


def test_a_certificate_that_is_missing_ends_serve_before_anything_is_made(
    written: Callable[[str], Path], tmp_path: Path
) -> None:
    ended = run("serve", "--config", written("[reception.tls]\ncert = 'a.pem'\nkey = 'b.pem'\nca = 'c.pem'"))
    assert (ended.exit_code, f"reception.tls: {tmp_path}/a.pem is no file" in ended.stderr) == (2, True)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "command",
    [
        "process {in_} --out {file}",
        "process {in_} --out {file}/below",
        "demo --out {file}",
        "cohort make {file}",
        "train hemorrhage --manifest {in_}/m.csv --out {file}",
        "evaluate hemorrhage --manifest {in_}/m.csv --weights w --out {file}",
        "zoo import {in_} --into {file}",
    ],
)
def test_a_file_where_a_folder_is_wanted_is_a_wrong_call_that_is_said_before_the_work(
    tmp_path: Path, command: str
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "file").write_text("")
    ended = run(*command.format(in_=tmp_path / "in", file=tmp_path / "file").split())
    assert ended.exit_code == 2
    assert f"{tmp_path}/file is a file, not a folder" in ended.stderr


def test_a_disk_that_refuses_is_a_sentence_about_the_file(tmp_path: Path) -> None:
    ended = run("cohort", "make", "/proc/cohort", "--patients", "1", "--matrix", "64")
    assert ended.exit_code == 1
    assert ended.stderr.startswith("/proc/cohort")


@pytest.mark.parametrize("words", [["zoo", "selftest"], ["train", "hemorrhage", "-m", "m.csv", "-o", "out"]])
def test_a_device_that_is_none_is_a_wrong_call(words: list[str]) -> None:
    ended = run(*words, "--device", "cuda:x")
    assert (ended.exit_code, "use 'auto', 'cpu', 'cuda' or 'cuda:0'" in ended.stderr) == (2, True)


def test_a_folder_without_images_is_said_to_hold_none(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/letter.txt").write_text("no image")
    ended = run("process", tmp_path / "in", "--out", tmp_path / "out")
    assert ended.exit_code == 1
    assert f"no DICOM files in {tmp_path}/in (1 other files)" in ended.stderr
