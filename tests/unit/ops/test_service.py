"""What systemd is told, by a socket of its kind."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from dicomnode.ops.service import READY, tell, watchdog_every_s


@pytest.mark.parametrize("kind", ["a path", "an abstract name"])
def test_the_manager_gets_the_state_at_its_socket(tmp_path: Path, kind: str) -> None:
    address = f"{tmp_path}/notify" if kind == "a path" else f"@dicomnode-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)
        manager.settimeout(10)
        assert tell(READY, {"NOTIFY_SOCKET": address})
        assert manager.recv(100) == b"READY=1"


def test_without_a_manager_or_with_one_that_is_away_nothing_happens(tmp_path: Path) -> None:
    assert not tell(READY, {})
    assert not tell(READY, {"NOTIFY_SOCKET": f"{tmp_path}/nobody"})
    assert not tell(READY, {"NOTIFY_SOCKET": "vsock:2:1234"})


@pytest.mark.parametrize(
    ("told", "every_s"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({}, 0.0),
    ],
)
def test_it_says_that_it_lives_twice_as_often_as_it_must(told: dict[str, str], every_s: float) -> None:
    assert watchdog_every_s(told) == every_s
