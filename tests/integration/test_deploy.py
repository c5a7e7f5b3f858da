"""What ships for a deployment, before judges of its own kind: hadolint, systemd, the schemas of compose and Kubernetes.

No cluster is asked; the image is built and the compose stack started by ``tests/acceptance/test_image.py``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from dicomnode.config.load import load_config
from tests.conftest import REPOSITORY

DEPLOY = REPOSITORY / "deploy"
UNIT = DEPLOY / "dicomnode.service"
COMPOSE = DEPLOY / "compose"
KUBERNETES = DEPLOY / "kubernetes/dicomnode.yaml"
RAY_CLUSTER = DEPLOY / "kubernetes/ray-cluster.yaml"
MOST_EXPOSED = 3.0
HTTP_PORT = "8042"
# The PostgreSQL of each release of Debian: its pg_dump refuses a newer server.
CLIENT_OF_DEBIAN = {"bookworm": 15, "trixie": 17}

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def judged(program: str, *arguments: str | Path) -> str:
    """What a tool of the environment says of a file that it accepts."""
    command = [str(Path(sys.executable).parent / program), *map(str, arguments)]
    # The tests' path hides from a node what these tools need.
    whole = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, env=whole, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def documents(path: Path) -> list[dict[str, Any]]:
    """The documents of a YAML file."""
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def base_image() -> str:
    """What the image of the node is built upon."""
    (base,) = re.findall(r"^ARG BASE=(\S+)$", (DEPLOY / "Dockerfile").read_text(), re.M)
    return str(base)


def test_hadolint_has_nothing_to_say_of_the_dockerfile() -> None:
    assert judged("hadolint", DEPLOY / "Dockerfile") == ""


def test_every_image_of_others_is_pinned_by_its_digest() -> None:
    (compose,) = documents(COMPOSE / "compose.yaml")
    images = [service["image"] for service in compose["services"].values() if "build" not in service]
    assert len([*images, base_image()]) == 5
    assert [
        one for one in [*images, base_image()] if not re.fullmatch(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}", one)
    ] == []


def test_the_image_has_a_pg_dump_that_is_no_older_than_the_server_of_the_compose_file() -> None:
    (compose,) = documents(COMPOSE / "compose.yaml")
    (server,) = re.findall(r"^postgres:(\d+)", compose["services"]["postgres"]["image"])
    (release,) = [name for name in CLIENT_OF_DEBIAN if name in base_image()]
    assert CLIENT_OF_DEBIAN[release] >= int(server)


def test_the_image_runs_as_a_number_and_is_healthy_when_the_node_is_ready() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert re.search(r"^USER \d+:\d+$", text, re.M)
    assert f"DICOMNODE_OPERATIONS__PORT={HTTP_PORT}" in text
    assert f"http://127.0.0.1:{HTTP_PORT}/ready" in text
    copied = re.findall(r"^COPY (.*) \S+$", text, re.M)
    needed = {name for line in copied for name in line.split()}
    allowed = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert needed == allowed


def test_the_compose_file_fits_its_schema_and_every_file_that_it_mounts_is_there() -> None:
    judged("check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE / "compose.yaml")
    (compose,) = documents(COMPOSE / "compose.yaml")
    assert {"node", "postgres", "orthanc", "prometheus", "grafana"} == set(compose["services"])
    mounts = [one.split(":")[0] for service in compose["services"].values() for one in service.get("volumes", [])]
    assert [one for one in mounts if one.startswith(".") and not (COMPOSE / one).exists()] == []
    assert {one for one in mounts if not one.startswith(".")} == set(compose["volumes"])
    for name, service in compose["services"].items():
        assert service["cap_drop"] == ["ALL"], name
    # By its host name the next container knows what the last had begun.
    assert compose["services"]["node"]["hostname"] == "dicomnode"
    rules = yaml.safe_load((COMPOSE / "prometheus/prometheus.yml").read_text())["rule_files"]
    watching = " ".join(compose["services"]["prometheus"]["volumes"])
    assert [one for one in rules if f":/etc/prometheus/{one}:ro" not in watching] == []
    assert load_config(COMPOSE / "config.toml", environment={}).destination[0].name == "pacs"


def test_the_manifests_of_kubernetes_fit_their_schemas_and_hold_a_configuration_that_loads(tmp_path: Path) -> None:
    judged("kubernetes-validate", "--strict", KUBERNETES)
    by_kind = {document["kind"]: document for document in documents(KUBERNETES)}
    (tmp_path / "config.toml").write_text(by_kind["ConfigMap"]["data"]["config.toml"])
    assert load_config(tmp_path / "config.toml", environment={}).destination[0].host == "pacs.example"
    pod = by_kind["StatefulSet"]["spec"]["template"]["spec"]
    (node,) = pod["containers"]
    assert pod["securityContext"]["runAsUser"] == int(
        re.findall(r"^USER (\d+)", (DEPLOY / "Dockerfile").read_text(), re.M)[0]
    )
    assert node["securityContext"]["readOnlyRootFilesystem"]
    assert f":{HTTP_PORT}/ready" in node["readinessProbe"]["exec"]["command"][2]


def test_the_pods_of_the_ray_cluster_fit_the_schemas_and_its_policy_lets_only_the_node_in(tmp_path: Path) -> None:
    # What KubeRay's own kind wraps is pods: those are judged, and what stands beside it.
    cluster, policy = documents(RAY_CLUSTER)
    groups = [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]
    pods = [{"apiVersion": "v1", "kind": "Pod", **group["template"]} for group in groups]
    for index, pod in enumerate(pods):
        pod["metadata"]["name"] = f"pod-{index}"
    judged_file = tmp_path / "pods.yaml"
    judged_file.write_text(yaml.safe_dump_all([*pods, policy]))
    judged("kubernetes-validate", "--strict", judged_file)
    assert (
        cluster["spec"]["rayVersion"]
        == re.findall(r"^ray==(.*)$", (REPOSITORY / "constraints.txt").read_text(), re.M)[0]
    )
    assert [next(iter(one.get("ports", [{}]))) for one in policy["spec"]["ingress"]] == [{}, {"port": 10001}]


@needs_systemd
def test_systemd_takes_the_unit_and_finds_it_little_exposed(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    dicomnode = Path(sys.executable).parent / "dicomnode"
    unit.write_text(UNIT.read_text().replace("/opt/dicomnode/bin/dicomnode", str(dicomnode)))
    verified = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False, timeout=60
    )
    assert [line for line in verified.stderr.splitlines() if UNIT.name in line] == []
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)]
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout
    exposure = re.search(r"exposure level for dicomnode.service: ([\d.]+)", said)
    assert exposure is not None, said
    assert float(exposure[1]) < MOST_EXPOSED


def test_the_unit_checks_before_it_starts_drains_when_it_stops_and_is_watched() -> None:
    text = UNIT.read_text()
    for line in ("UMask=0077", "Type=notify", "WatchdogSec=60", "NoNewPrivileges=yes", "ProtectSystem=strict"):
        assert re.search(rf"^{re.escape(line)}$", text, re.M), line
    # The state of the clock is a figure: reading it must get through, and ProtectClock would stop it.
    assert re.search(r"^SystemCallFilter=adjtimex clock_adjtime$", text, re.M)
    assert not re.search(r"^ProtectClock=", text, re.M)
    assert re.search(r"^ExecStartPre=\S+ check --only-configuration ", text, re.M)
    assert re.search(r"^ExecStop=-\S+ drain --timeout-s \d+ ", text, re.M)
