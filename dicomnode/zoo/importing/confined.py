"""The trial of a foreign bundle in a process that is limited: no network, no other program, no files but its own.

Three layers, each where it can be had: an empty network namespace (Linux), limits of the operating system, and an audit
hook, which Python asks before a socket, a process or a file is opened, and which nothing can take away again.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

MEMORY_BYTES = 32 << 30
"""Of address space; torch reserves far more than it uses."""
FILE_BYTES = 9 << 30
CPU_S = 1800
_REFUSED = frozenset(
    {
        *("socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"),
        *("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn"),
        *("pty.spawn", "os.kill", "os.killpg", "os.putenv", "os.link", "os.symlink", "os.chmod", "os.chown"),
        *("ctypes.dlopen", "urllib.Request", "ftplib.connect", "smtplib.connect", "webbrowser.open"),
    }
)
_OF_PATHS = frozenset({"os.mkdir", "os.rmdir", "os.remove", "os.rename", "os.truncate", "shutil.rmtree", "shutil.move"})
"""Allowed where a trial may write."""
_PATH = (str, bytes, os.PathLike)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC


_INHERITED = (
    "PATH",
    "PYTHONPATH",
    "LD_LIBRARY_PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "LC_ALL",
    "OMP_NUM_THREADS",
    "VIRTUAL_ENV",
)


def plain_environment() -> dict[str, str]:
    """What a trial inherits of the environment: nothing that may be a secret."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ}


class Confined(RuntimeError):
    """A bundle tried what a trial may not do."""


def without_network(command: Sequence[str]) -> list[str]:
    """The command in a network namespace of its own, where this machine allows that; else the command."""
    return [*_namespace(), *command]


@cache
def _namespace() -> tuple[str, ...]:
    program = shutil.which("unshare")
    if program is None:
        return ()
    for options in (("--net",), ("--map-root-user", "--net")):
        tried = subprocess.run([program, *options, "true"], capture_output=True, check=False, timeout=20)
        if tried.returncode == 0:
            return (program, *options, "--")
    return ()


def limit_resources() -> None:
    """Bounds of memory, time and files for the rest of this process: a bomb ends the trial, not the machine."""
    wanted = {
        resource.RLIMIT_AS: MEMORY_BYTES,
        resource.RLIMIT_CPU: CPU_S,
        resource.RLIMIT_FSIZE: FILE_BYTES,
        resource.RLIMIT_CORE: 0,
    }
    for what, limit in wanted.items():
        _, hard = resource.getrlimit(what)
        bound = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(what, (bound, bound))


def confine(*writable: Path) -> None:
    """From now on this process starts nothing, reaches nobody, and writes nowhere but there.

    Parameters
    ----------
    writable : folders and files.
    """
    places = tuple(str(path.resolve()) for path in writable)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _REFUSED:
            raise Confined(f"a trial may not do this: {event}")
        if event in _OF_PATHS and not all(_is_in(path, places) for path in arguments if isinstance(path, _PATH)):
            raise Confined(f"a trial may not do this here: {event}")
        if event == "open" and _is_writing(arguments) and not _is_in(arguments[0], places):
            raise Confined("a trial may not write here")

    sys.addaudithook(hook)


def _is_writing(arguments: tuple[Any, ...]) -> bool:
    _, mode, flags = arguments
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool(isinstance(flags, int) and flags & _WRITES)


def _is_in(path: Any, places: tuple[str, ...]) -> bool:
    if isinstance(path, int):
        return True  # what is open already
    real = os.path.realpath(os.fsdecode(path))
    return real == os.devnull or any(real == place or real.startswith(f"{place}{os.sep}") for place in places)
