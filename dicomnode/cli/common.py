"""What the commands share: options, exit codes, the database of a configuration."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dicomnode.config.known import there_are
from dicomnode.config.load import load_config
from dicomnode.config.protocols import Protocol
from dicomnode.config.sections import DEVICES, is_device
from dicomnode.config.whole import Config
from dicomnode.errors import BundleError, ConfigError, NodeError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from dicomnode.store.engine import Store

FAILED = 1
WRONG_CALL = 2
USUAL_PROTOCOL = "head-ct"

ConfigFile = Annotated[
    Path,
    typer.Option(
        "--config", "-c", help="The TOML file; 'dicomnode init' writes a first one.", envvar="DICOMNODE_CONFIG"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table; see docs/json.md.")]


def require_known(what: str, given: str, known: Iterable[str]) -> None:
    """Do nothing where ``given`` is known.

    Raises
    ------
    ConfigError : it is not; the message names all that is, and what may have been meant.
    """
    names = [str(name) for name in known]
    if given not in names:
        raise ConfigError([f"{what} {given}: unknown{there_are(given, names)}"])


def protocol_of(config: Config, name: str | None) -> Protocol:
    """The protocol that a command names; where it names none, the only one there is, or of several ``head-ct``.

    Raises
    ------
    ConfigError : there is no such protocol, or nothing says which of several is meant; the message names them all.
    """
    by_name = {protocol.name: protocol for protocol in config.protocol}
    if name is None:
        name = next(iter(by_name)) if len(by_name) == 1 else USUAL_PROTOCOL
        if name not in by_name:
            choices = ", ".join(by_name)
            raise ConfigError([f"--protocol: say which; there are: {choices}" if choices else "there is no protocol"])
    require_known("--protocol", name, by_name)
    return by_name[name]


def require_device(given: str) -> None:
    """Do nothing where ``--device`` names one, whether it is there or not.

    Raises
    ------
    ConfigError : it names none.
    """
    if given and not is_device(given):
        raise ConfigError([f"--device {given}: use {DEVICES}"])


def require_folder(what: str, folder: Path) -> None:
    """Do nothing where files can be written to a folder, which is made later; said before the work, not after it.

    Raises
    ------
    ConfigError : it, or what lies above it, is a file.
    NodeError : this user may not write there.
    """
    existing = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not existing.is_dir():
        raise ConfigError([f"{what} {folder}: {existing} is a file, not a folder"])
    if not os.access(existing, os.W_OK | os.X_OK):
        raise NodeError(f"{what} {folder}: this user may not write to {existing}")


def require_destination(what: str, given: str, config: Config, session: Session) -> None:
    """Do nothing where a destination is configured, or known from what was sent; empty: where none is given.

    Raises
    ------
    ConfigError : it is neither.
    """
    from dicomnode.store.history.held import destinations_known

    if given:
        configured = {destination.name for destination in config.destination}
        require_known(what, given, sorted(configured | destinations_known(session)))


def user_here() -> str:
    """Who calls a command, for the history."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user may be a number alone
        return str(os.getuid())


@contextmanager
def training_extra() -> Iterator[None]:
    """Say in a sentence that the extra is missing, before anything is imported from it."""
    from importlib.util import find_spec

    missing = [name for name in ("ignite", "tensorboard", "matplotlib", "nibabel") if find_spec(name) is None]
    if missing:
        raise ConfigError([f"{', '.join(missing)} not installed: training needs pip install 'dicomnode[train]'"])
    yield


def require_operations_extra() -> None:
    """Do nothing where what the HTTP port needs is installed.

    Raises
    ------
    ConfigError : it is not; the message says what to install.
    """
    from dicomnode.app.check.operations import INSTALL, missing_for_http

    if missing := missing_for_http():
        raise ConfigError([f"{', '.join(missing)} {INSTALL}"])


@contextmanager
def opened_store(config: Path) -> Iterator[tuple[Config, Store]]:
    """The configuration and its database, which must be there already.

    Raises
    ------
    ConfigError : the configuration is wrong.
    DatabaseUnusable : see :func:`~dicomnode.store.opening.existing_store`.
    """
    from dicomnode.store.opening import existing_store

    loaded = load_config(config, serving=False)
    with existing_store(loaded.database_url) as store:
        yield loaded, store


@contextmanager
def exit_codes() -> Iterator[None]:
    """Errors raised on purpose, and those of files, become a sentence and an exit code; anything else is a bug.

    A bug shows its traceback.
    """
    try:
        yield
    except (ConfigError, BundleError) as fault:
        typer.echo(str(fault), err=True)
        raise typer.Exit(WRONG_CALL) from fault
    except NodeError as fault:
        typer.echo(str(fault), err=True)
        raise typer.Exit(FAILED) from fault
    except OSError as fault:
        if isinstance(fault, BrokenPipeError) or fault.errno is None:
            raise
        typer.echo(_of_a_file(fault), err=True)
        raise typer.Exit(FAILED) from fault


def _of_a_file(fault: OSError) -> str:
    return f"{fault.filename}: {fault.strerror}" if fault.filename else str(fault.strerror)
