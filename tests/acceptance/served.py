"""``dicomnode serve`` as a user runs it: a process of its own, started by its command line, stopped or killed."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicomnode.store.engine import Store
from dicomnode.store.tables import Job
from tests.conftest import PLAIN_PATH

START_S = 120.0


def environment() -> dict[str, str]:
    """Of a node: one thread to compute with, and nothing installed that only training and tests need."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": PLAIN_PATH}


def toml_value(value: Any) -> str:
    """A value as TOML writes it, tables in one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    return json.dumps(value)


@dataclass
class ServedNode:
    """A node process with its TOML file; ``kill`` is SIGKILL, ``stop`` is SIGTERM.

    ``code``: folder that holds the package; None: this one. ``laboratory``: with what senders of HL7 come, where its
    port has TLS.
    """

    folder: Path
    port: int
    destinations: list[dict[str, Any]]
    database_url: str = ""
    reception: dict[str, Any] = field(default_factory=dict)
    execution: dict[str, Any] = field(default_factory=dict)
    models: tuple[str, ...] = ("hemorrhage",)
    protocol: str = "head-ct"
    zoo_paths: tuple[Path, ...] = ()
    ae_title: str = "AINODE"
    clinical: dict[str, Any] = field(default_factory=dict)
    operations: dict[str, Any] = field(default_factory=dict)
    role: str = "all"
    name: str = ""
    data_dir: Path | None = None
    selftest: bool = False
    path: str = PLAIN_PATH
    code: Path | None = None
    laboratory: ssl.SSLContext | None = None
    process: subprocess.Popen[bytes] | None = None
    _store: Store | None = field(default=None, init=False)

    @property
    def environment(self) -> dict[str, str]:
        """Of its processes."""
        return {**environment(), "PYTHONPATH": self.path}

    @property
    def config(self) -> Path:
        """The TOML file."""
        return self.folder / "config.toml"

    @property
    def log(self) -> Path:
        """Standard error of all starts, one after the other."""
        return self.folder / "node.log"

    def write_config(self) -> None:
        """The TOML file as an admin would write it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        sections: list[tuple[str, dict[str, Any]]] = [
            (
                "[node]",
                {
                    "ae_title": self.ae_title,
                    "name": self.name,
                    "host": "127.0.0.1",
                    "port": self.port,
                    "data_dir": str(self.data_dir or self.folder / "data"),
                },
            ),
            ("[database]", {"url": self.database_url}),
            ("[reception]", {"min_free_gb": 0.1, **self.reception}),
            ("[execution]", {"devices": ["cpu"], **self.execution}),
            ("[clinical]", {key: value for key, value in self.clinical.items() if not isinstance(value, dict)}),
            *[(f"[clinical.{key}]", value) for key, value in self.clinical.items() if isinstance(value, dict)],
            ("[operations]", self.operations),
            ("[zoo]", {"paths": [str(path) for path in self.zoo_paths], "selftest": self.selftest}),
            *[("[[destination]]", destination) for destination in self.destinations],
        ]
        lines = [
            line for head, keys in sections for line in [head, *[f"{k} = {toml_value(v)}" for k, v in keys.items()]]
        ]
        names = [destination["name"] for destination in self.destinations]
        lines += [
            "[[protocol]]",
            f"name = {json.dumps(self.protocol)}",
            'match = { Modality = "^CT$" }',
            f"models = {json.dumps(list(self.models))}",
            f"destinations = {json.dumps(names)}",
        ]
        self.config.write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        """Start and wait until the node says that it listens."""
        if not self.config.exists():
            self.write_config()
        seen = self.log.stat().st_size if self.log.exists() else 0
        command = [sys.executable, "-m", "dicomnode", "serve", "--config", str(self.config), "--role", self.role]
        with self.log.open("ab") as log:
            # The folder in which Python is started comes before all others that it imports from.
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=self.environment, cwd=self.code)
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if b'"node started"' in self.log.read_bytes()[seen:]:
                return
            if self.process.poll() is not None:
                raise RuntimeError(f"the node ended at once ({self.process.returncode}); see {self.log}")
            time.sleep(0.05)
        raise RuntimeError(f"the node did not start; see {self.log}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """A node that still runs is killed; the end of its log is printed where the test failed."""
        self.kill()
        if kind is not None and self.log.exists():
            print(f"--- {self.log}", *self.log.read_text(errors="replace").splitlines()[-60:], sep="\n")

    def workers(self) -> list[psutil.Process]:
        """The worker processes that run now."""
        if self.process is None:
            return []
        try:
            children = psutil.Process(self.process.pid).children()
            return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        except psutil.Error:
            return []

    def kill(self) -> None:
        """``kill -9`` of the supervisor; its workers find themselves orphaned."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> int:
        """SIGTERM, as a service manager stops it; returns the exit code."""
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(120)
        self.process = None
        return code

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``dicomnode ARGUMENTS --config ...``."""
        command = [sys.executable, "-m", "dicomnode", *arguments, "--config", str(self.config)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=self.environment)

    def jobs(self) -> list[dict[str, Any]]:
        """What ``dicomnode jobs list --json`` says."""
        return list(json.loads(self.command("jobs", "list", "--json").stdout)["jobs"])

    def states(self, study_uid: str = "") -> list[str]:
        """Status of each job (of a study), newest first, as :meth:`jobs` tells it.

        For waiting: read from the database, since a command computes for more than a second whenever it is asked.
        """
        jobs = select(Job.status).order_by(Job.id.desc())
        with self.reading() as session:
            return list(session.scalars(jobs.where(Job.study_uid == study_uid) if study_uid else jobs))

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A look into the node's database; no connection is left open, what SQLAlchemy compiled is kept."""
        if self._store is None:
            self._store = Store(self.database_url or f"sqlite:///{self.folder}/data/node.db")
        try:
            with self._store.read() as session:
                yield session
        finally:
            self._store.close()
