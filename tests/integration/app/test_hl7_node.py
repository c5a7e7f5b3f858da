"""The node and its port for HL7: which roles have it, and what is said where it cannot be had."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dicomnode.app.node import Node
from dicomnode.app.role import Role
from dicomnode.config.whole import Config
from dicomnode.errors import ConfigError, EnvironmentFault
from tests.integration.clinical.hl7_world import free_port
from tests.integration.receive.world import wait_until
from tests.tools.hl7_messages import Hl7Peer, message, obr, pid


def config(folder: Path, **hl7: object) -> Config:
    node = {"data_dir": folder, "host": "127.0.0.1", "port": 0}
    raw = {"node": node, "reception": {"min_free_gb": 0}, "clinical": {"hl7": {"host": "127.0.0.1", **hl7}}}
    return Config.model_validate(raw)


def test_a_receiving_node_listens_until_it_stops_and_a_delivering_one_does_not(tmp_path: Path) -> None:
    port = free_port()
    with Node(config(tmp_path / "deliver", port=port), Role.DELIVER) as node:
        assert node.hl7_port == 0
    with Node(config(tmp_path / "receive", port=port), Role.RECEIVE) as node:
        assert node.hl7_port == port
        with Hl7Peer(port) as peer:
            assert peer.send(message(pid(), obr())).code == "AA"
    with pytest.raises(ConnectionRefusedError):
        Hl7Peer(port)


def test_a_port_that_is_taken_passes_and_a_code_that_is_unknown_stays(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EnvironmentFault, match=r"clinical\.hl7\.port: cannot listen on 127\.0\.0\.1"):
            Node(config(tmp_path, port=port), Role.RECEIVE).__enter__()
    with pytest.raises(ConfigError, match="'GLU' means 'sugar'"):
        Node(config(tmp_path, port=free_port(), codes={"GLU": "sugar"}), Role.RECEIVE).__enter__()


def test_who_watches_a_node_gets_an_answer_at_every_moment_of_its_start_and_its_stop(tmp_path: Path) -> None:
    node = Node(config(tmp_path, port=free_port()), Role.RECEIVE)
    is_over, answers = threading.Event(), set()

    def watch() -> None:
        while not is_over.is_set():
            answers.add((node.state().receives, node.hl7_port > 0))

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        with node:
            wait_until(lambda: (True, True) in answers or watching.done())
        is_over.set()
    watching.result()
    assert (False, False) in answers
