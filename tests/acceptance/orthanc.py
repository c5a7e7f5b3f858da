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

ORTHANC = shutil.which("Orthanc") or "/usr/sbin/Orthanc"
START_S = 30.0


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Orthanc:
    """One Orthanc process; ``start`` and ``stop`` may be called in turn, the archive stays."""

    def __init__(self, folder: Path, *, peers: dict[str, tuple[str, int]] | None = None) -> None:
        self.folder = folder
        self.ae_title = "ORTHANC"
        self.dicom_port, self.http_port = free_port(), free_port()
        self.peers = peers or {}
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
            self._process.wait(20)
            self._process = None

    def get(self, path: str) -> Any:
        """A REST call that answers JSON."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=10) as answer:
            return json.load(answer)

    def post(self, path: str, body: Any = None) -> Any:
        """A REST call that answers JSON."""
        data = json.dumps({} if body is None else body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.http_port}{path}", data=data, method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def delete(self, path: str) -> None:
        """Take something out of the archive."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.http_port}{path}", method="DELETE")
        urllib.request.urlopen(request, timeout=10).close()

    def file(self, instance: str) -> bytes:
        """The DICOM file of one stored instance."""
        url = f"http://127.0.0.1:{self.http_port}/instances/{instance}/file"
        with urllib.request.urlopen(url, timeout=10) as answer:
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
            "AuthenticationEnabled": False,
            "DicomServerEnabled": True,
            "DicomAet": self.ae_title,
            "DicomPort": self.dicom_port,
            "DicomCheckCalledAet": True,
            "DicomAlwaysAllowStore": True,
            "DicomAlwaysAllowEcho": True,
            "DicomAlwaysAllowFind": True,
            "DicomModalities": {name: [ae, "127.0.0.1", port] for name, (ae, port) in self.peers.items()},
            "UnknownSopClassAccepted": True,
            "OverwriteInstances": True,
            "StableAge": 2,
            "DefaultEncoding": "Utf8",
            "Plugins": [],
        }

    def __enter__(self) -> Orthanc:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


def available() -> bool:
    """Whether Orthanc is installed here."""
    return os.access(ORTHANC, os.X_OK)
