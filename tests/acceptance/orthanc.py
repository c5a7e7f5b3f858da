"""A real PACS for the tests: Debian's Orthanc in a folder of its own, on free ports."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

from dicomnode.web.credentials import basic

DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
ORTHANC = shutil.which("Orthanc") or "/usr/sbin/Orthanc"
START_S = 30.0


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Orthanc:
    """One Orthanc process; ``start`` and ``stop`` may be called in turn, the archive stays.

    Parameters
    ----------
    settings : replace those of its configuration file.
    user, password : where given, the only ones that its HTTP server lets in.
    """

    def __init__(
        self,
        folder: Path,
        *,
        peers: dict[str, Any] | None = None,
        settings: dict[str, Any] | None = None,
        user: str = "",
        password: str = "",
    ) -> None:
        self.folder = folder
        self.ae_title = "ORTHANC"
        self.dicom_port, self.http_port = free_port(), free_port()
        self.peers = peers or {}
        self._settings = settings or {}
        self._user, self._password = user, password
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "orthanc.json"
        config.write_text(json.dumps(self._config()))
        with (self.folder / "orthanc.log").open("ab") as log:
            self._process = subprocess.Popen([ORTHANC, str(config)], stdout=log, stderr=log, cwd=self.folder)
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            try:
                self.get("/system")
                return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        raise RuntimeError(f"Orthanc did not start; see {self.folder}/orthanc.log")

    def stop(self) -> None:
        """Stop the process; what it stored stays."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            self._process = None

    @property
    def url(self) -> str:
        """The base of its HTTP server."""
        return f"http://127.0.0.1:{self.http_port}"

    def get(self, path: str) -> Any:
        """A REST call that answers JSON."""
        return json.loads(self._call("GET", path, timeout_s=60))

    def post(self, path: str, body: Any = None) -> Any:
        """A REST call that answers JSON."""
        data = json.dumps({} if body is None else body).encode()
        return json.loads(self._call("POST", path, data, timeout_s=60))

    def delete(self, path: str) -> None:
        """Take something out of the archive."""
        self._call("DELETE", path, timeout_s=60)

    def file(self, instance: str) -> bytes:
        """The DICOM file of one stored instance."""
        return self._call("GET", f"/instances/{instance}/file", timeout_s=60)

    def _call(self, method: str, path: str, data: bytes | None = None, *, timeout_s: float) -> bytes:
        request = urllib.request.Request(f"{self.url}{path}", data=data, method=method)
        if self._user:
            request.add_header("Authorization", basic(self._user, self._password))
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return bytes(answer.read())

    def instances(self, study_uid: str, modality: str = "") -> list[dict[str, Any]]:
        """The stored instances of a study, with their tags by keyword."""
        found = []
        for series in self.get("/series?expand"):
            study = self.get(f"/studies/{series['ParentStudy']}")
            if study["MainDicomTags"]["StudyInstanceUID"] != study_uid:
                continue
            if modality and series["MainDicomTags"].get("Modality") != modality:
                continue
            found += [{**self.get(f"/instances/{uid}"), **series["MainDicomTags"]} for uid in series["Instances"]]
        return found

    def _config(self) -> dict[str, Any]:
        return {
            "Name": "TEST-PACS",
            "StorageDirectory": str(self.folder / "db"),
            "IndexDirectory": str(self.folder / "db"),
            "HttpServerEnabled": True,
            "HttpPort": self.http_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": bool(self._user),
            "RegisteredUsers": {self._user: self._password} if self._user else {},
            "DicomServerEnabled": True,
            "DicomAet": self.ae_title,
            "DicomPort": self.dicom_port,
            "DicomCheckCalledAet": True,
            "DicomAlwaysAllowStore": True,
            "DicomAlwaysAllowEcho": True,
            "DicomAlwaysAllowFind": True,
            "DicomModalities": {name: self._modality(peer) for name, peer in self.peers.items()},
            "UnknownSopClassAccepted": True,
            "OverwriteInstances": True,
            "StableAge": 2,
            "DefaultEncoding": "Utf8",
            "Plugins": [],
            **self._settings,
        }

    @staticmethod
    def _modality(peer: Any) -> Any:
        """AE title and port on this machine, or Orthanc's own table."""
        return peer if isinstance(peer, dict) else [peer[0], "127.0.0.1", peer[1]]

    def __enter__(self) -> Orthanc:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


def available() -> bool:
    """Whether Orthanc is installed here."""
    return os.access(ORTHANC, os.X_OK)
