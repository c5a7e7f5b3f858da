"""Images and containers without a daemon, a registry or systemd: buildah and podman, with storage of their own.

What no registry gives here has a stand-in made of Debian's packages (``images/``): the base of the node's image, and
its peers in the compose stack. Everything lies below one folder, and goes with it.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.conftest import REPOSITORY

IMAGES = Path(__file__).with_name("images")
PROGRAMS = ("mmdebstrap", "buildah", "podman", "runc", "iptables")
LIBRARIES = "ca-certificates,libssl3t64,libffi8,libsqlite3-0,libreadline8t64,libbz2-1.0,liblzma5,libuuid1,libncursesw6"
"""What an interpreter asks for."""
LIMITS = ("--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096")
"""Podman would raise both, which needs a right that a machine of tests may lack."""
NO_TIMER = "--no-healthcheck"
"""Podman leaves health checks to timers of systemd; the tests run the command themselves."""
BUILD_S, CALL_S = 1800, 300
_SETTING = re.compile(r"^(:env:|global|install)\.([\w-]+)=(.*)$", re.M)


class Engine:
    """The images, volumes and containers of one folder.

    Raises
    ------
    subprocess.CalledProcessError : of every method: what the programme says stands in its ``output``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._storage = [
            "--root",
            str(folder / "storage"),
            "--runroot",
            str(folder / "run"),
            "--storage-driver",
            "overlay",
        ]

    def podman(self, *words: str, cwd: Path | None = None, timeout_s: float = CALL_S) -> str:
        """What podman says."""
        return told([*self.command, *words], cwd=cwd, timeout_s=timeout_s)

    @property
    def command(self) -> list[str]:
        """Podman, with where everything lies."""
        return [
            "podman",
            *self._storage,
            "--cgroup-manager",
            "cgroupfs",
            "--events-backend",
            "none",
            "--runtime",
            "runc",
        ]

    def run(self, name: str, *words: str, cwd: Path | None = None) -> None:
        """Start a container in the background."""
        self.podman("run", "--detach", "--name", name, NO_TIMER, *LIMITS, *words, cwd=cwd)

    def inside(self, name: str, *words: str) -> str:
        """What a command in a container says."""
        return self.podman("exec", name, *words)

    def build(self, *words: str, cwd: Path) -> None:
        """An image of a Dockerfile, in the format that knows health checks."""
        here = ["--isolation", "chroot", "--network", "host", "--format", "docker"]
        told(["buildah", *self._storage, "bud", *here, *words], cwd=cwd, timeout_s=BUILD_S)

    def build_base(self) -> None:
        """``localhost/base``: Debian 13 with the interpreter that runs the tests, for which their packages are."""
        context = self.folder / "base"
        context.mkdir()
        debian = [
            "mmdebstrap",
            "--quiet",
            "--variant=minbase",
            f"--include={LIBRARIES}",
            "trixie",
            str(context / "debian.tar"),
        ]
        told(debian, timeout_s=BUILD_S)
        pack_interpreter(context / "python.tar")
        shutil.copy(IMAGES / "Containerfile.base", context)
        self.build("--file", "Containerfile.base", "--tag", "base", ".", cwd=context)

    def clear(self) -> None:
        """End all containers; unmount and delete all there is."""
        for words in (
            ["rm", "--all", "--force", "--time", "1"],
            ["rm", "--all", "--force"],
            ["system", "reset", "--force"],
        ):
            subprocess.run([*self.command, *words], capture_output=True, check=False, timeout=CALL_S)
        shutil.rmtree(self.folder, ignore_errors=True)


def told(command: list[str], *, cwd: Path | None = None, timeout_s: float = CALL_S) -> str:
    """What a command says; what it says of a failure goes with the error.

    Raises
    ------
    subprocess.CalledProcessError
    """
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=timeout_s)
    if done.returncode:
        fault = subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
        fault.add_note((done.stdout + done.stderr)[-5000:])
        raise fault
    return done.stdout


def why_not(folder: Path) -> str:
    """What this machine lacks to build and run containers; nothing where it can."""
    missing = [
        program for program in PROGRAMS if not shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    ]
    if missing:
        return f"missing: {', '.join(missing)} (tests/tools/debian_tools.sh image installs them)"
    if os.geteuid() != 0:
        return "images are built as root"
    try:
        Engine(folder / "probe").podman("info")
        told(["unshare", "--mount", "true"])
    except subprocess.CalledProcessError as fault:
        return f"no containers here: {(fault.stderr or '').strip()[-300:]}"
    return ""


def pack_interpreter(archive: Path) -> None:
    """The interpreter of the tests as it would lie in /usr/local, without packages."""
    base, name = Path(sys.base_prefix), f"python{sys.version_info.major}.{sys.version_info.minor}"
    left_out = {"site-packages", "dist-packages", "test", "__pycache__"}

    def kept(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return None if left_out & set(Path(member.name).parts) else member

    with tarfile.open(archive, "w") as packed:
        packed.add((base / "bin" / name).resolve(), f"usr/local/bin/{name}")
        for path in [*(base / "lib").glob("libpython3*"), base / "lib" / name]:
            packed.add(path, f"usr/local/lib/{path.name}", filter=kept)
        for alias in ("python3", "python"):
            link = tarfile.TarInfo(f"usr/local/bin/{alias}")
            link.type, link.linkname = tarfile.SYMTYPE, name
            packed.addfile(link)


def pip_settings(config: Path) -> Iterator[str]:
    """Options of a build in which pip looks where it looks here: its settings as a file, and the folders they name."""
    listed = told([sys.executable, "-m", "pip", "config", "list"])
    settings = {
        name: str(ast.literal_eval(value)) for of, name, value in sorted(_SETTING.findall(listed), reverse=True)
    }
    config.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))
    mounts = {config: "/etc/pip.conf"}
    for word in " ".join(settings.values()).split():
        path = Path(word.removeprefix("file://"))
        if path.is_absolute() and path.exists():
            folder = path if path.is_dir() and str(path) == word else path.parent
            mounts[folder] = str(folder)
    for source, target in mounts.items():
        yield from ("--volume", f"{source}:{target}:ro")


def torch_index() -> str:
    """Where the Dockerfile gets torch for the CPU from; empty where that cannot be reached."""
    return (
        told([sys.executable, str(REPOSITORY / "deploy/torch_index.py"), "0"]).removeprefix("--extra-index-url").strip()
    )


def wait_until(holds: Callable[[], object], *, timeout_s: float, says: str) -> None:
    """Return when a call says yes; what it raises meanwhile counts as no."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            if holds():
                return
        except (OSError, subprocess.CalledProcessError):
            pass
        assert time.monotonic() < deadline, says
        time.sleep(1)
