"""A real Ray cluster on this machine: a head that computes nothing, and Ray nodes with one place each, to be killed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from tests.conftest import REPOSITORY

RAY = Path(sys.executable).parent / "ray"
START_S = 150.0
TRIES = 5
"""Ray gives the helpers of one of its nodes 30 s to start, whatever else the machine does."""
LEAN = ("--include-log-monitor=false", "--disable-usage-stats", "--min-worker-port=0", "--max-worker-port=0")
HEAD = ("--include-dashboard=false", "--no-monitor")
AGENT_PORTS = (
    "--dashboard-agent-listen-port",
    "--dashboard-agent-grpc-port",
    "--metrics-export-port",
    "--runtime-env-agent-port",
)
STORE_BYTES = 100_000_000


class RayCluster:
    """Ray nodes beside a head that computes nothing; a context manager. ``places``: for actors, on each of them."""

    def __init__(self, nodes: int = 2, places: int = 1) -> None:
        self.nodes, self.places = nodes, places
        # short: Ray's sockets lie below it, and their paths may have 107 characters
        self.folder = Path(tempfile.mkdtemp(prefix="ray-"))
        self.port, self.client_port = free_port(), free_port()

    @property
    def address(self) -> str:
        """For who belongs to the cluster, as every process of this machine does."""
        return f"127.0.0.1:{self.port}"

    @property
    def client_address(self) -> str:
        """For who does not."""
        return f"ray://127.0.0.1:{self.client_port}"

    def __enter__(self) -> RayCluster:
        try:
            self._start(
                "--head",
                f"--port={self.port}",
                f"--ray-client-server-port={self.client_port}",
                *HEAD,
                f"--temp-dir={self.folder}",
                places=0,
            )
            with ThreadPoolExecutor() as pool:
                list(pool.map(lambda _: self.add(), range(self.nodes)))
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def add(self) -> None:
        """One more Ray node."""
        self._start(f"--address={self.address}", places=self.places)

    def _start(self, *arguments: str, places: int) -> None:
        command = [str(RAY), "start", *arguments, *LEAN, f"--num-cpus={places}", "--num-gpus=0"]
        command += [f"--object-store-memory={STORE_BYTES}"]
        command += [f"{option}={free_port()}" for option in AGENT_PORTS]
        for turn in range(TRIES):
            if self._has_started(command, self.folder / f"start-{places}-{turn}-{free_port()}.log"):
                return
            if "--head" in arguments:
                self._kill_all()
        raise AssertionError(f"a Ray node does not start: {' '.join(command)}")

    def _has_started(self, command: list[str], log: Path) -> bool:
        """False where it died or never came up, of which ``ray start`` may not notice."""
        with log.open("wb") as said:
            process = subprocess.Popen(
                command, env=self._environment(), stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )
            try:
                return process.wait(START_S) == 0
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                return False

    def _environment(self) -> dict[str, str]:
        own = {
            "RAY_USAGE_STATS_ENABLED": "0",
            # a Ray node that was killed is to be missed within seconds, not half a minute
            "RAY_health_check_initial_delay_ms": "1000",
            "RAY_health_check_period_ms": "1000",
            "RAY_health_check_failure_threshold": "3",
            "PYTHONPATH": str(REPOSITORY),
            "RAY_raylet_start_wait_time_s": "120",
            "OMP_NUM_THREADS": "1",
        }
        return {**os.environ, **own}

    def processes(self) -> list[psutil.Process]:
        """All of the cluster; workers name themselves anew, but are children of a raylet."""
        named = [one for one in psutil.process_iter() if str(self.folder) in _command(one)]
        return list({*named, *(child for one in named for child in _children(one))})

    def actors(self) -> list[psutil.Process]:
        """The processes that have models."""
        return [one for one in self.processes() if _command(one).startswith("ray::ModelActor")]

    def kill_node_of(self, actor: psutil.Process) -> None:
        """As if the machine that an actor is on lost its power."""
        raylet = actor.parent()
        assert raylet is not None
        lost = [raylet, *raylet.children(recursive=True)]
        for process in lost:
            process.kill()
        psutil.wait_procs(lost, timeout=10)

    def stop(self) -> None:
        """End every process of it."""
        self._kill_all()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _kill_all(self) -> None:
        left = self.processes()
        for process in left:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(left, timeout=10)


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        children: list[psutil.Process] = process.children(recursive=True)
    except psutil.Error:
        return []
    return children


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
