"""A new admin with the docs alone: from an empty machine to a node with PostgreSQL, Orthanc, OHIF and the status page.

What stands in ``docs/admin.md`` is run by a shell as it stands, in an empty folder. What the machine would have is here
before: Debian's packages, of which ``apt-get`` only says that it has them, and a PostgreSQL that runs, to which whoever
``sudo`` names is let in by name as Debian's would. Docker cannot run here: neither image nor compose stack is tried.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import httpx
import numpy as np
import pytest
from sqlalchemy.engine import make_url

from tests.acceptance import orthanc, viewer
from tests.acceptance.test_shipping import BUILT_FROM
from tests.conftest import REPOSITORY
from tests.tools.documented import script

pytestmark = [
    pytest.mark.full,
    pytest.mark.tools,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not orthanc.available() or not shutil.which("apt-get"), reason="needs Debian, and its Orthanc"),
]

GUIDE = (REPOSITORY / "docs/admin.md").read_text("utf-8")
NODE, PAGE, PACS, PACS_PAGE, VIEWER = 11112, 8042, 4343, 8043, 8044
"""The ports of the guide."""
HAS_VIEWER = all(shutil.which(tool) for tool in ("nginx", "chromium", "node", "npm"))
"""What serves OHIF, and what looks at it (tests/tools/debian_tools.sh viewer); without them that part is left out."""
PATIENCE_S = 3000
PAUSE = "\ntouch reached\nread -r _\n"
"""After the first part: until the test says a line."""
SUDO = """#!/bin/sh
# Whom sudo names, PostgreSQL lets in by name; packages are looked up, and nothing of this machine is changed.
case "$1" in
  -u) PGUSER="$2"; export PGUSER; shift 2; exec "$@" ;;
  apt-get) shift; exec apt-get --simulate "$@" ;;
  *) echo "the guide asks for more than an unprivileged test can do: $*" >&2; exit 1 ;;
esac
"""


@dataclass(frozen=True, slots=True)
class Admin:
    """The shell that works through the guide."""

    folder: Path
    shell: subprocess.Popen[bytes]

    @property
    def log(self) -> str:
        """All that it said."""
        return (self.folder.parent / "said").read_text("utf-8", "replace")

    def wait_for(self, name: str) -> None:
        """Return when a file is there."""
        deadline = time.monotonic() + PATIENCE_S
        while not (self.folder / name).exists():
            assert self.shell.poll() is None, self.log[-5000:]
            assert time.monotonic() < deadline, self.log[-5000:]
            time.sleep(0.5)

    def go_on(self) -> int:
        """To the end; the exit code of the whole."""
        assert self.shell.stdin is not None
        self.shell.stdin.write(b"\n")
        self.shell.stdin.close()
        return self.shell.wait(300)


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def checkout(folder: Path) -> Path:
    """What the node is built from, without anything that was ever built."""
    folder.mkdir()
    for name in BUILT_FROM:
        shutil.copy(REPOSITORY / name, folder)
    for name in ("dicomnode", "deploy"):
        shutil.copytree(REPOSITORY / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def environment(bin_folder: Path, socket_folder: str) -> dict[str, str]:
    """Of somebody who has just logged in, for whom PostgreSQL listens where it always does."""
    bin_folder.mkdir()
    (bin_folder / "sudo").write_text(SUDO)
    (bin_folder / "sudo").chmod(0o755)
    path = f"{bin_folder}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "HOME", "LANG", "SSL_"))}
    return {**kept, "PATH": path, "PGHOST": socket_folder, "OMP_NUM_THREADS": "1"}


@pytest.fixture
def admin(tmp_path: Path, postgres_url: str) -> Iterator[Admin]:
    """Works through the guide up to where everything runs."""
    taken = [port for port in (NODE, PAGE, PACS, PACS_PAGE, VIEWER) if not is_free(port)]
    assert not taken, f"the guide's own ports are in use here: {taken}"
    folder = checkout(tmp_path / "dicomnode")
    parts = ("admin", "admin-viewer", PAUSE, "admin-viewer-end", "admin-end")
    wanted = [part for part in parts if HAS_VIEWER or "viewer" not in part]
    steps = "".join(part if part == PAUSE else script(GUIDE, part) for part in wanted)
    given = environment(tmp_path / "bin", str(make_url(postgres_url).query["host"]))
    with (tmp_path / "said").open("wb") as said:
        working = Admin(folder, begin(steps, folder, given, said))
        yield working
    if working.shell.poll() is None:
        os.killpg(working.shell.pid, signal.SIGKILL)
        working.shell.wait()


def begin(steps: str, folder: Path, given: dict[str, str], said: BinaryIO) -> subprocess.Popen[bytes]:
    """A shell that stops at the first line that fails, and is the leader of all that it starts."""
    return subprocess.Popen(
        ["bash", "-euxo", "pipefail", "-c", steps],
        cwd=folder, env=given, stdin=subprocess.PIPE, stdout=said, stderr=said, start_new_session=True,
    )  # fmt: skip


def asked(path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{PACS_PAGE}{path}", timeout=60) as answer:
        return json.load(answer)


def test_the_admin_guide_leads_from_an_empty_machine_to_results_in_the_pacs(admin: Admin) -> None:
    admin.wait_for("reached")
    made = Counter(series["MainDicomTags"]["Modality"] for series in asked("/series?expand"))
    assert set(made) == {"CT", "SEG", "SR", "OT"}
    (study,) = asked("/studies?expand")
    assert study["MainDicomTags"]["AccessionNumber"] == "DEMO0001"
    with httpx.Client(base_url=f"http://127.0.0.1:{PAGE}", timeout=60, trust_env=False) as browser:
        assert browser.get("/ready").json()["ready"]
        assert browser.get("/", follow_redirects=False).headers["location"] == "/login"
        password = (admin.folder / "password").read_text().strip()
        browser.post("/login", data={"name": "anna", "password": password})
        assert "DEMO0001" in browser.get("/").text
    if HAS_VIEWER:
        sight = viewer.look(VIEWER, study["MainDicomTags"]["StudyInstanceUID"], "AI haemorrhage segmentation", "guide")
        red, green, blue = np.moveaxis(sight.image.astype(int), -1, 0)
        assert np.count_nonzero((red > green + 60) & (red > blue + 60)) > 1000
        assert not sight.faults
    assert not list((admin.folder / "data").glob("*.db*")), "the node keeps a SQLite file beside PostgreSQL"
    assert admin.go_on() == 0, admin.log[-3000:]
    assert is_free(NODE)
