"""``dicomnode init``: a first configuration from what the package ships, and what a wheel brings along."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dicomnode.cli.main import app
from dicomnode.config.destinations import Destination
from dicomnode.config.first import SHIPPED, deployment_files
from dicomnode.config.load import load_config
from tests.conftest import REPOSITORY


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_without_options_it_is_the_example(tmp_path: Path) -> None:
    ended = run("init", tmp_path / "node/config.toml")
    assert ended.exit_code == 0, ended.output
    written = (tmp_path / "node/config.toml").read_text(encoding="utf-8")
    assert written == (REPOSITORY / "config.example.toml").read_text(encoding="utf-8")


def test_what_is_given_is_put_in_and_the_comments_stay(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    node = ["--ae-title", "NODE 7", "--host", "127.0.0.1", "--port", "11199", "--timezone", "Europe/Berlin"]
    pacs = ["--pacs-ae", "PACS", "--pacs-host", "pacs.example", "--pacs-port", "104", "--accept-research"]
    more = ["--data-dir", 'da"ta', "--sender", "CT1@10.1.2.0/24", "--sender", "CT2"]
    more += ["--database-url", "postgresql+psycopg:///dicomnode"]
    assert run("init", path, *node, *pacs, *more).exit_code == 0
    config = load_config(path, environment={})
    said = config.node
    assert (said.ae_title, said.host, said.port, said.timezone) == ("NODE 7", "127.0.0.1", 11199, "Europe/Berlin")
    assert said.data_dir == tmp_path / 'da"ta'
    assert config.database.url == "postgresql+psycopg:///dicomnode"
    (destination,) = config.destination
    assert isinstance(destination, Destination)
    assert (destination.ae_title, destination.host, destination.port) == ("PACS", "pacs.example", 104)
    assert destination.accept_research
    assert [(sender.ae_title, sender.host) for sender in config.sender] == [("CT1", "10.1.2.0/24"), ("CT2", "")]
    comments = [line.partition("#")[2] for line in path.read_text().splitlines()]
    example = [line.partition("#")[2] for line in (REPOSITORY / "config.example.toml").read_text().splitlines()]
    assert [line for line in comments if line] == [line for line in example if line]


def test_four_questions_make_a_node_with_a_pacs(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    ended = CliRunner().invoke(
        app, ["init", str(path), "--ask", "--http-port", "8042"], input="\nPACS\n10.1.2.3\n11112\n"
    )
    assert ended.exit_code == 0, ended.output
    config = load_config(path, environment={})
    (destination,) = config.destination
    assert isinstance(destination, Destination)
    assert (config.node.ae_title, config.operations.port) == ("DICOMNODE", 8042)
    assert (destination.ae_title, destination.host, destination.port) == ("PACS", "10.1.2.3", 11112)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (["--ae-title", "SEVENTEEN LETTERS"], "node.ae_title: 1 to 16 characters"),
        (["--ae-title", "NÖDE"], "node.ae_title: 1 to 16 characters"),
        (["--port", "70000"], "node.port"),
        (["--timezone", "Berlin"], "node.timezone: unknown time zone 'Berlin'"),
        (["--sender", "CT1@ct.example"], "sender[0].host: 'ct.example' is neither an IP address nor a network"),
    ],
)
def test_what_would_not_load_is_not_written(tmp_path: Path, wrong: list[str], says: str) -> None:
    ended = run("init", tmp_path / "config.toml", *wrong)
    assert (ended.exit_code, says in ended.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_overwritten_only_by_force(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("mine")
    ended = run("init", path, "--deploy", tmp_path / "deploy")
    assert (ended.exit_code, "--force overwrites it" in ended.stderr) == (2, True)
    assert path.read_text() == "mine"
    assert not (tmp_path / "deploy").exists()
    assert run("init", path, "--force").exit_code == 0
    assert path.read_text() != "mine"


def test_the_files_of_a_deployment_are_those_of_the_repository_and_fit_the_configuration(tmp_path: Path) -> None:
    assert run("init", tmp_path / "config.toml", "--deploy", tmp_path / "deploy").exit_code == 0
    names = deployment_files()
    assert {"dicomnode.service", "Dockerfile", "compose/compose.yaml", "kubernetes/dicomnode.yaml"} <= {*names}
    assert {"prometheus/dicomnode.rules.yml", "grafana/dicomnode.json"} <= {*names}
    for name in names:
        assert (tmp_path / "deploy" / name).read_bytes() == (REPOSITORY / "deploy" / name).read_bytes()
    assert str(load_config(tmp_path / "config.toml", environment={}).node.data_dir) == "/var/lib/dicomnode/data"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of a copy of the sources, as pip builds it."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE", "config.example.toml"):
        shutil.copy(REPOSITORY / name, source)
    for name in ("dicomnode", "deploy"):
        left_out = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / name, source / name, symlinks=True, ignore=left_out)
    build = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(
        [sys.executable, "-c", build, str(out)], cwd=source, env=clean, check=True, capture_output=True, timeout=120
    )
    (built,) = out.glob("*.whl")
    return zipfile.ZipFile(built)


def test_a_wheel_brings_what_init_writes(wheel: zipfile.ZipFile) -> None:
    for name in ("config.example.toml", *deployment_files()):
        assert wheel.read(f"dicomnode/shipped/{name}") == (SHIPPED / name).read_bytes()


def test_a_wheel_brings_every_file_of_the_package_that_is_no_link_to_nothing(wheel: zipfile.ZipFile) -> None:
    package = REPOSITORY / "dicomnode"
    files = {path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {str(path.relative_to(REPOSITORY)) for path in files} <= set(wheel.namelist())
