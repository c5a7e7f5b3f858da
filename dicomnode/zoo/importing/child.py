"""The process of its own in which foreign files are read: asked once, its answer or the coded reason of a refusal."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dicomnode.errors import BundleRefused, ImportRefusal
from dicomnode.zoo.importing.confined import plain_environment, without_network

TIMEOUT_S = 900.0


def answer_of(module: str, paths: Sequence[Path], reply: Path) -> dict[str, Any]:
    """Run ``python -m module PATHS REPLY`` without network, and read what it left in ``reply`` (JSON).

    Raises
    ------
    BundleRefused : what it answers, or ``CANNOT_RUN`` where it gives no answer.
    """
    try:
        done = run_confined(module, (*map(str, paths), str(reply)))
        said: dict[str, Any] = json.loads(reply.read_text(encoding="utf-8"))
    except subprocess.TimeoutExpired as error:
        raise BundleRefused(ImportRefusal.CANNOT_RUN, f"No answer within {TIMEOUT_S:.0f} s.") from error
    except (OSError, ValueError) as error:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        raise BundleRefused(
            ImportRefusal.CANNOT_RUN, f"Its process ended with {done.returncode}: {last[0][:300]}"
        ) from error
    if "refusal" in said:
        raise BundleRefused(ImportRefusal(said["refusal"]), said["detail"])
    return said


def run_confined(module: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    """Run ``python -m module ARGUMENTS`` to its end: without network, and without the secrets of this process.

    Raises
    ------
    subprocess.TimeoutExpired : it took longer than ``TIMEOUT_S``.
    """
    return subprocess.run(
        without_network([sys.executable, "-B", "-m", module, *arguments]),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=TIMEOUT_S,
        env=plain_environment(),
    )


def sha256_of(path: Path) -> str:
    """Of a file, hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
