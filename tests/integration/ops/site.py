"""A status page on a real port, over a database with jobs; a browser without a screen for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from argon2 import PasswordHasher

from dicomnode.app.operations import http_server
from dicomnode.config.whole import Config
from dicomnode.ops.state import BreakerState, NodeState
from dicomnode.store.engine import Store
from dicomnode.store.storage import Storage
from tests.acceptance.orthanc import free_port
from tests.integration.receive.world import wait_until

PASSWORD = "correct horse battery"
UP = NodeState(
    role="all",
    receives=True,
    works=True,
    worker_fault="",
    has_failed=False,
    breakers=(BreakerState("pacs", False, 0),),
)


class RunningSite:
    """The HTTP port of a node that is only told of; ``state`` is what it tells."""

    def __init__(
        self,
        store: Store,
        data_dir: Path,
        *,
        accounts: bool = True,
        models: tuple[str, ...] = ("hemorrhage",),
        **operations: Any,
    ) -> None:
        self.store, self.state = store, UP
        self.config = Config.model_validate(
            {
                "node": {"data_dir": data_dir, "ae_title": "AINODE"},
                "database": {"url": store.url},
                "reception": {"min_free_gb": 0},
                "destination": [{"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": 1}],
                "protocol": [{"name": "head-ct", "match": {"Modality": "^CT$"}, "models": models}],
                "operations": {"port": free_port(), **operations},
            }
        )
        Storage(store, self.config.spool_dir).bind()
        self.config.work_dir.mkdir(exist_ok=True)
        if accounts:
            self.config.accounts_file.write_text(_accounts())
            self.config.accounts_file.chmod(0o600)
        self.server = http_server(self.config, lambda: self.state)
        self.server.start()
        scheme = "https" if self.config.operations.tls.cert else "http"
        self.url = f"{scheme}://127.0.0.1:{self.config.operations.port}"
        with self.visitor() as nobody:
            wait_until(lambda: _answers(nobody), 90)

    def change(self, **state: Any) -> None:
        """From now on the node tells this of itself."""
        self.state = replace(self.state, **state)

    def visitor(self) -> httpx.Client:
        """Somebody who is not logged in."""
        return httpx.Client(base_url=self.url, timeout=90, verify=False, trust_env=False)

    @contextmanager
    def logged_in(self, name: str) -> Iterator[httpx.Client]:
        """Somebody who is."""
        with self.visitor() as client:
            answer = client.post("/login", data={"name": name, "password": PASSWORD})
            assert (answer.status_code, answer.headers["location"]) == (303, "/")
            yield client


@cache
def _accounts() -> str:
    """An admin and a viewer; hashes that cost little, as they say themselves, so that a login costs little."""
    cheap = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
    return f"anna admin {cheap}\nvictor viewer {cheap}\n"


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/live").status_code == 200
    except httpx.HTTPError:
        return False


@contextmanager
def running_site(store: Store, data_dir: Path, **operations: Any) -> Iterator[RunningSite]:
    """A status page for the length of a test."""
    site = RunningSite(store, data_dir, **operations)
    try:
        yield site
    finally:
        site.server.stop()


def form_token(client: httpx.Client) -> str:
    """What every form of this session carries."""
    found = re.search(r'name="form_token" value="([\w-]+)"', client.get("/").text)
    assert found is not None
    return found[1]
