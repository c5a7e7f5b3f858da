"""The image of the node is built from its Dockerfile and run as the docs say, and the compose stack is started with it.

Both upon a stand-in for each image of others (``images/``): no registry is asked. Grafana has none, and is left out.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dicomnode.cohort.make import make_demo_study
from dicomnode.web.credentials import basic
from tests.acceptance.containers import IMAGES, Engine, pip_settings, told, torch_index, wait_until, why_not
from tests.acceptance.orthanc import free_port
from tests.acceptance.scanner import storescu
from tests.acceptance.test_admin import is_free
from tests.acceptance.test_shipping import BUILT_FROM
from tests.conftest import REPOSITORY

pytestmark = [pytest.mark.full, pytest.mark.tools, pytest.mark.timeout(5400)]

GUIDE = (REPOSITORY / "docs/admin.md").read_text("utf-8")
NODE_AE, DATA = "DICOMNODE", "/var/lib/dicomnode"
STACK_PORTS = (11112, 9090, 4242, 8043)
PASSWORDS = re.compile(r"^#   (\(umask 077; for name in .* > \.env\))$", re.M)
FIGURES = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8042/metrics').read().decode())"
START_S, RESULT_S = 180, 300


def shown(command: str) -> list[str]:
    """The words of a docker command of the guide, without ``docker`` and itself."""
    (line,) = re.findall(rf"^docker {command} (.*)$", GUIDE, re.M)
    return str(line).split()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Has the image of the node, built by the guide's command."""
    folder = tmp_path_factory.mktemp("containers")
    if reason := why_not(folder):
        pytest.skip(reason)
    one = Engine(folder / "engine")
    one.folder.mkdir()
    try:
        one.build_base()
        build_node(one)
        yield one
    finally:
        one.clear()


def build_node(engine: Engine) -> None:
    """From a folder that holds the checkout's files, and .dockerignore among them."""
    checkout = engine.folder / "checkout"
    checkout.mkdir()
    for name in BUILT_FROM:
        shutil.copy(REPOSITORY / name, checkout)
    for name in ("dicomnode", "deploy"):
        shutil.copytree(REPOSITORY / name, checkout / name, symlinks=True)
    arguments = ["--build-arg", "BASE=localhost/base", "--build-arg", f"TORCH_INDEX={torch_index()}"]
    engine.build(*arguments, *pip_settings(engine.folder / "pip.conf"), *shown("build"), cwd=checkout)


@dataclass(frozen=True, slots=True)
class Contained:
    """A container of the node, with where it is reached."""

    engine: Engine
    name: str
    port: int

    def inside(self, *words: str) -> str:
        """What a command in it says."""
        return self.engine.inside(self.name, *words)

    def is_healthy(self) -> bool:
        """Whether the health check of its image succeeds."""
        (about,) = json.loads(self.engine.podman("inspect", "localhost/dicomnode"))
        kind, *command = about["Healthcheck"]["Test"]
        assert kind == "CMD"
        return self.inside(*command) == ""

    def wait(self) -> None:
        """Until it is healthy."""
        wait_until(self.is_healthy, timeout_s=START_S, says=self.log()[-3000:])

    def log(self) -> str:
        """All that it wrote."""
        command = [*self.engine.command, "logs", self.name]
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout

    def stop(self) -> int:
        """Its exit code after SIGTERM."""
        self.engine.podman("stop", "--time", "120", self.name)
        return int(self.engine.podman("inspect", "--format", "{{.State.ExitCode}}", self.name))


def run_as_shown(engine: Engine, folder: Path, name: str) -> Contained:
    """The guide's ``docker run`` with a free port in place of its own."""
    port = free_port()
    words = [word if word != "11112:11112" else f"127.0.0.1:{port}:11112" for word in shown("run")]
    engine.run(name, *words, cwd=folder)
    node = Contained(engine, name, port)
    node.wait()
    return node


def config_in(folder: Path) -> None:
    """``config.toml`` as ``dicomnode init`` writes it."""
    told([sys.executable, "-m", "dicomnode", "init", str(folder / "config.toml"), "--accept-research"])


def test_the_image_is_a_node_that_may_nothing_but_receive_and_keeps_what_it_knows_for_the_next_container(
    engine: Engine, tmp_path: Path
) -> None:
    config_in(tmp_path)
    node = run_as_shown(engine, tmp_path, "first")
    told(["/usr/bin/echoscu", "-aec", NODE_AE, "127.0.0.1", str(node.port)])
    study = make_demo_study(tmp_path / "study")
    assert storescu(study.paths, node.port, called_ae=NODE_AE)
    assert node.inside("id", "--user").strip() == "10001"
    status = node.inside("cat", "/proc/1/status")
    assert set(re.findall(r"^Cap\w+:\t(\d+)$", status, re.M)) == {"0" * 16}
    assert re.search(r"^NoNewPrivs:\t1$", status, re.M)
    for folder in ("/", "/opt/dicomnode", "/usr/local/lib"):
        with pytest.raises(subprocess.CalledProcessError):
            node.inside("touch", f"{folder}/written")
    assert len(node.inside("find", DATA, "-name", "*.dcm", "-type", "f").splitlines()) >= len(study.paths)
    tests = "( -type f ! -perm 0600 -o -type d ! -perm 0700 -o ! -uid 10001 -o ! -gid 10001 )"
    assert node.inside("find", DATA, *tests.split()) == ""
    assert " 17." in node.inside("pg_dump", "--version")
    # What a container forbids, reading the clock's state must not be.
    assert re.search(r"^dicomnode_clock_synchronised [01]\.0$", node.inside("python", "-c", FIGURES), re.M)
    assert node.stop() == 0
    assert '"node stopped"' in node.log()
    later = run_as_shown(engine, tmp_path, "later")
    assert "association 1" in later.inside("dicomnode", "why", "DEMO0001")
    assert later.stop() == 0


@pytest.fixture
def stack(engine: Engine, tmp_path: Path) -> Iterator[Path]:
    """The folder of the compose file, whose node, database, PACS and Prometheus run."""
    taken = [port for port in STACK_PORTS if not is_free(port)]
    assert not taken, f"the stack's own ports are in use here: {taken}"
    context = shutil.copytree(IMAGES, tmp_path / "peers")
    engine.build("--file", "Containerfile.peers", "--tag", "peers", ".", cwd=context)
    shutil.copytree(REPOSITORY / "deploy", tmp_path / "deploy")
    folder = tmp_path / "deploy/compose"
    (line,) = PASSWORDS.findall((folder / "compose.yaml").read_text())
    told(["bash", "-euc", line], cwd=folder)
    compose = composer(engine, tmp_path)
    files = ["-f", "compose.yaml", "-f", str(IMAGES / "compose.yaml")]
    told([*compose, *files, "up", "--no-build", "--detach", "node", "postgres", "orthanc", "prometheus"], cwd=folder)
    yield folder
    told([*compose, *files, "down", "--volumes", "--timeout", "60"], cwd=folder)


def composer(engine: Engine, folder: Path) -> list[str]:
    """podman-compose in an environment of its own, with the podman of the engine."""
    told([sys.executable, "-m", "venv", str(folder / "composer")])
    told([str(folder / "composer/bin/pip"), "install", "--quiet", "podman-compose"])
    podman = folder / "composer/bin/podman"
    podman.write_text(f'#!/bin/sh\nexec {" ".join(["/usr/bin/podman", *engine.command[1:]])} "$@"\n')
    podman.chmod(0o755)
    return [str(folder / "composer/bin/podman-compose"), "--podman-path", str(podman)]


def asked(port: int, path: str, user: str = "") -> Any:
    """What a server of the stack answers, as JSON."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    if user:
        request.add_header("Authorization", basic(*user.split(":")))
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_the_compose_stack_brings_results_into_its_pacs_and_is_backed_up_and_watched(
    engine: Engine, stack: Path, tmp_path: Path
) -> None:
    node = Contained(engine, "dicomnode_node_1", 11112)
    node.wait()
    assert storescu(make_demo_study(tmp_path / "study").paths, node.port, called_ae=NODE_AE)
    passwords = dict(line.split("=") for line in (stack / ".env").read_text().split())
    assert len(set(passwords.values())) == 3

    def made() -> set[str]:
        series = asked(8043, "/series?expand", f"viewer:{passwords['ORTHANC_PASSWORD']}")
        return {one["MainDicomTags"]["Modality"] for one in series}

    wait_until(lambda: made() == {"SEG", "SR", "OT"}, timeout_s=RESULT_S, says=node.log()[-3000:])
    (job,) = json.loads(node.inside("dicomnode", "jobs", "list", "--json"))["jobs"]
    assert job["accession_number"] == "DEMO0001"
    node.inside("dicomnode", "backup", "--out", f"{DATA}/backup.tar")
    assert node.inside("find", f"{DATA}/data", "-name", "*.db") == "", "a SQLite file beside PostgreSQL"
    (group,) = asked(9090, "/api/v1/rules")["data"]["groups"]
    assert len(group["rules"]) > 5

    def health() -> list[str]:
        return [one["health"] for one in asked(9090, "/api/v1/targets")["data"]["activeTargets"]]

    wait_until(lambda: health() == ["up"], timeout_s=60, says="Prometheus does not reach the node")
    assert node.stop() == 0
