"""A real rsyslog that takes messages over TLS (RFC 5425) and writes each as a line of a file."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.acceptance.orthanc import free_port
from tests.tools.certificates import Authority

CONFIG = """
global(workDirectory="{folder}" DefaultNetstreamDriver="ossl" maxMessageSize="256k"
  DefaultNetstreamDriverCAFile="{ca}" DefaultNetstreamDriverCertFile="{cert}" DefaultNetstreamDriverKeyFile="{key}")
module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="anon" MaxSessions="100")
template(name="whole" type="string" string="%pri% %app-name% %msgid% %msg%\\n")
input(type="imtcp" port="{port}" address="127.0.0.1")
action(type="omfile" file="{out}" template="whole")
"""


def require_rsyslog() -> str:
    """Path of the program; skips the test where it is not installed, but in CI."""
    found = shutil.which("rsyslogd", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None and "CI" not in os.environ:
        pytest.skip("rsyslog is not installed (tests/tools/debian_tools.sh installs it)")
    assert found is not None, "rsyslog is not installed (tests/tools/debian_tools.sh installs it)"
    return found


@dataclass
class SyslogServer:
    """Started and stopped at will, on the same port."""

    folder: Path
    authority: Authority
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def lines(self) -> list[str]:
        """What came, in its order."""
        out = self.folder / "out.log"
        return out.read_text(encoding="utf-8-sig").splitlines() if out.exists() else []

    @property
    def messages(self) -> list[str]:
        """The XML of each line."""
        return [line[line.index("<AuditMessage") :] for line in self.lines]

    def start(self) -> None:
        """Start, and wait until the port answers."""
        self.folder.mkdir(exist_ok=True)
        made = self.authority.sign("syslog")
        text = CONFIG.format(
            folder=self.folder,
            ca=self.authority.ca,
            cert=made.cert,
            key=made.key,
            port=self.port,
            out=self.folder / "out.log",
        )
        (self.folder / "rsyslog.conf").write_text(text)
        command = [require_rsyslog(), "-n", "-f", str(self.folder / "rsyslog.conf"), "-i", str(self.folder / "pid")]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None, (self.folder / "server.log").read_text()
            time.sleep(0.1)
        raise AssertionError((self.folder / "server.log").read_text())

    def stop(self) -> None:
        """Stop it."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(60)
            self.process = None
