"""Certificates for the tests: an authority and what it signs, made by openssl; nothing of them is kept."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """PEM files."""

    cert: Path
    key: Path


class Authority:
    """Signs certificates for this machine."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.name = folder, name
        self.ca = folder / f"{name}.pem"
        self._key = folder / f"{name}.key"
        subject = ["-subj", f"/CN=dicomnode test {name}", "-days", "2"]
        _openssl("req", "-x509", *_new_key(self._key), *subject, "-out", self.ca)

    def sign(self, name: str, *, host: str = "IP:127.0.0.1,DNS:localhost", days: int = 2) -> Certificate:
        """A certificate that names ``host``."""
        made = Certificate(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        request, extension = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        extension.write_text(f"subjectAltName={host}\n")
        _openssl("req", *_new_key(made.key), "-subj", f"/CN={name}", "-out", request)
        signer = ["-CA", self.ca, "-CAkey", self._key, "-CAcreateserial", "-extfile", extension]
        _openssl("x509", "-req", "-in", request, *signer, "-days", str(days), "-out", made.cert)
        return made


def _new_key(path: Path) -> list[str | Path]:
    return ["-newkey", "rsa:2048", "-nodes", "-keyout", path]


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
