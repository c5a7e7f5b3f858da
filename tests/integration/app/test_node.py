"""`dicomnode serve` as a process: a whole job, orderly stop, one node per folder, and the end of a part."""

from __future__ import annotations

import json
import resource
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom.dataset import Dataset

from dicomnode.app.demo_pacs import ReceivingPacs
from dicomnode.app.parts import devices_of
from dicomnode.config.destinations import Destination
from dicomnode.config.whole import Config
from dicomnode.deliver.outgoing import Outgoing
from dicomnode.deliver.scu import send
from dicomnode.store.engine import Store
from dicomnode.store.storage import Storage
from tests.acceptance.orthanc import free_port
from tests.acceptance.scanner import small_study
from tests.acceptance.served import ServedNode
from tests.integration.receive.world import wait_until
from tests.tools.bundle import write_threshold_bundle
from tests.tools.series import write_series

OVER = ("done", "sent_unproven")


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReceivingPacs]:
    """Receives the results."""
    with ReceivingPacs(tmp_path_factory.mktemp("pacs"), "PACS") as running:
        yield running


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, pacs: ReceivingPacs) -> Iterator[ServedNode]:
    """A node with one model that takes milliseconds; stopped by SIGTERM at the end."""
    folder = tmp_path_factory.mktemp("node")
    served = new_node(folder, pacs.port, write_threshold_bundle(folder / "bundle"))
    served.start()
    yield served
    served.stop()


def new_node(folder: Path, pacs_port: int, bundle: Path) -> ServedNode:
    """A node that is not started yet."""
    destination: dict[str, Any] = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": pacs_port}
    return ServedNode(
        folder / "node",
        free_port(),
        [destination | {"accept_research": True}],
        reception={"settle_s": 0.1, "selection_wait_s": 0.0},
        execution={"retry_min_s": 0.1},
        models=("threshold",),
        zoo_paths=(bundle,),
        operations={"port": free_port()},
    )


def serve(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A node that ends by itself."""
    command = [sys.executable, "-m", "dicomnode", "serve", "--config", str(config), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def send_study(node: ServedNode, folder: Path, study: list[Dataset]) -> None:
    """As a scanner does."""
    target = Destination(name="node", ae_title=node.ae_title, host="127.0.0.1", port=node.port)
    paths = write_series(folder, study)
    assert all(outcome.error is None for outcome in send([Outgoing.from_file(path) for path in paths], target, "CT1"))


def test_a_study_becomes_results_in_the_pacs_and_every_command_tells_of_it(
    node: ServedNode, pacs: ReceivingPacs, tmp_path: Path
) -> None:
    study = small_study("node")
    send_study(node, tmp_path, study)
    wait_until(lambda: node.states()[:1] and node.states()[0] in OVER, 90)
    (job,) = node.jobs()
    assert job["status"] in OVER
    shown = json.loads(node.command("jobs", "show", str(job["job_id"]), "--json").stdout)
    assert {"seg", "sr", "sc"} <= {line["kind"] for line in shown["deliveries"]}
    results = {line["sop_instance_uid"] for line in shown["deliveries"]}
    assert sorted(stored.sop_instance_uid for stored in pacs.instances) == sorted(results)
    assert (job["study_uid"], job["accession_number"]) == (study[0].StudyInstanceUID, "ACC-node")
    page = node.command("jobs", "show", str(job["job_id"]))
    assert page.returncode == 0
    assert "threshold" in page.stdout
    why = node.command("why", "ACC-node")
    assert why.returncode == 0
    for event in ("complete", "choose", "claim", "succeed", "encoded", "sent"):
        assert event in why.stdout
    assert "Test^Head" not in why.stdout + page.stdout + node.log.read_text()


def test_all_that_a_running_node_writes_is_for_its_user_alone(
    node: ServedNode, pacs: ReceivingPacs, tmp_path: Path
) -> None:
    send_study(node, tmp_path, small_study("private"))
    wait_until(lambda: set(node.states()) <= {*OVER} and node.states(), 90)
    data = node.folder / "data"
    found = {path.relative_to(data): stat.S_IMODE(path.lstat().st_mode) for path in (data, *data.rglob("*"))}
    assert {path.name for path in found} >= {"node.db", "node.db-wal", "node.db-shm", ".dicomnode-spool", "work"}
    assert any(path.suffix == ".dcm" for path in found)
    assert {str(path): oct(mode) for path, mode in found.items() if mode & 0o077} == {}


def test_the_http_port_tells_of_the_node_and_its_jobs(node: ServedNode, pacs: ReceivingPacs, tmp_path: Path) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{node.operations['port']}", timeout=90, trust_env=False) as client:
        wait_until(lambda: client.get("/ready").status_code == 200, 90)
        assert [one["check"] for one in client.get("/ready").json()["checks"]] == [
            "receives",
            "works",
            "stores",
            "database",
            "spool",
        ]
        send_study(node, tmp_path, small_study("figures"))
        wait_until(lambda: set(node.states()) <= {*OVER} and node.states(), 90)
        counted = 'dicomnode_complete_to_pacs_seconds_count{protocol="head-ct"}'
        wait_until(lambda: counted in client.get("/metrics").text, 90)
        text = client.get("/metrics").text
        assert 'dicomnode_breaker_open{destination="pacs"} 0.0' in text
        assert client.get("/").headers["location"] == "/login"
    made = subprocess.run(
        [sys.executable, "-m", "dicomnode", "operations", "password", "anna", "--config", str(node.config)],
        input="a long enough one\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert made.stdout == "anna may log in as viewer\n"
    assert stat.S_IMODE((node.folder / "data" / "accounts").stat().st_mode) == 0o600
    assert json.loads(node.command("operations", "accounts", "--json").stdout)["accounts"][0]["name"] == "anna"
    assert node.command("operations", "remove", "anna").returncode == 0


def test_a_second_node_on_the_same_folder_is_refused(node: ServedNode) -> None:
    second = serve(node.config)
    assert second.returncode == 1
    assert "another dicomnode (role all) runs on" in second.stderr
    assert "several have a node.name each" in second.stderr


def test_a_port_that_is_taken_is_refused_by_name(node: ServedNode, tmp_path: Path) -> None:
    text = node.config.read_text().replace(str(node.folder), str(tmp_path))
    text = text.replace(f"port = {node.operations['port']}", "port = 0")
    (tmp_path / "config.toml").write_text(text)
    second = serve(tmp_path / "config.toml", "--role", "receive")
    assert second.returncode == 1
    assert f"node.port: cannot listen on 127.0.0.1:{node.port}" in second.stderr


def test_a_database_that_is_away_ends_the_node_with_1_so_that_it_is_started_again(
    node: ServedNode, tmp_path: Path
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"postgresql+psycopg://node@127.0.0.1:{closed.getsockname()[1]}/node"
        text = node.config.read_text().replace(str(node.folder), str(tmp_path))
        (tmp_path / "config.toml").write_text(text.replace('url = ""', f'url = "{url}"'))
        ended = serve(tmp_path / "config.toml")
    assert ended.returncode == 1
    assert "the database cannot be used" in ended.stderr


def test_a_spool_that_is_not_mounted_ends_the_node_with_1_and_a_folder_that_cannot_be_used_too(
    node: ServedNode, tmp_path: Path
) -> None:
    text = node.config.read_text().replace(str(node.folder), str(tmp_path))
    (tmp_path / "config.toml").write_text(text)
    store = Store(f"sqlite:///{tmp_path}/data/node.db")
    store.migrate()
    Storage(store, tmp_path / "data/spool").bind()
    store.close()
    (tmp_path / "data/spool").rename(tmp_path / "unmounted")
    ended = serve(tmp_path / "config.toml")
    assert (ended.returncode, "is not mounted, or is not the spool of this database" in ended.stderr) == (1, True)
    (tmp_path / "data/spool").write_text("no folder")
    assert serve(tmp_path / "config.toml").returncode == 1


def test_lost_data_is_no_new_node_where_the_configuration_says_that_there_is_one(
    node: ServedNode, tmp_path: Path
) -> None:
    text = node.config.read_text().replace(str(node.folder), str(tmp_path))
    (tmp_path / "config.toml").write_text(text.replace("[node]", "[node]\nrequire_existing = true"))
    ended = serve(tmp_path / "config.toml")
    assert ended.returncode == 1
    assert f"{tmp_path / 'data' / 'node.db'} is not there or is empty" in ended.stderr
    assert not (tmp_path / "data").exists()


def test_a_first_start_says_that_it_is_one(node: ServedNode) -> None:
    (line,) = [line for line in node.log.read_text().splitlines() if "a new and empty node" in line]
    assert json.loads(line)["storage"] in (node.folder / "data" / "spool" / ".dicomnode-spool").read_text()


def test_an_unknown_role_is_refused(node: ServedNode) -> None:
    ended = serve(node.config, "--role", "everything")
    assert ended.returncode == 2
    assert "there are: all, receive, work, deliver" in ended.stderr


def test_a_part_that_dies_ends_the_node_with_1(tmp_path: Path, pacs: ReceivingPacs) -> None:
    served = new_node(tmp_path, pacs.port, write_threshold_bundle(tmp_path / "bundle"))
    served.start()
    assert served.process is not None
    try:
        wait_until(served.workers, 90)
        # No more open files: the dispatcher cannot start another worker in place of the one that died.
        resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE, (3, 3))
        for worker in served.workers():
            worker.kill()
        assert served.process.wait(120) == 1
        assert "a part of the node died" in served.log.read_text()
    finally:
        served.kill()


def test_sigterm_stops_the_node_in_good_order(node: ServedNode) -> None:
    workers = node.workers()
    assert workers
    assert node.stop() == 0
    assert '"node stopped"' in node.log.read_text()
    wait_until(lambda: not any(worker.is_running() for worker in workers))
    assert "Traceback" not in node.log.read_text()


def test_devices_are_those_of_the_configuration_and_auto_is_every_device_there_is() -> None:
    def devices(*names: str) -> list[str]:
        return list(devices_of(Config.model_validate({"execution": {"devices": names}})))

    assert devices("cpu") == ["cpu"]
    assert devices("cuda:0", "cuda:1") == ["cuda:0", "cuda:1"]
    found = sorted(Path("/dev").glob("nvidia[0-9]*"))
    assert devices("auto") == ([f"cuda:{index}" for index in range(len(found))] or ["auto"])
