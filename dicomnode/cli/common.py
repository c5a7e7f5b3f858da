"""What the commands share: options, exit codes, the database of a configuration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dicomnode.config.load import load_config
from dicomnode.config.whole import Config
from dicomnode.errors import BundleError, ConfigError, NodeError

if TYPE_CHECKING:
    from dicomnode.store.engine import Store

FAILED = 1
WRONG_CALL = 2

ConfigFile = Annotated[
    Path, typer.Option("--config", "-c", help="The TOML file; see config.example.toml.", envvar="DICOMNODE_CONFIG")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")]


@contextmanager
def training_extra() -> Iterator[None]:
    """Say in a sentence that the extra is missing, before anything is imported from it."""
    from importlib.util import find_spec

    missing = [name for name in ("ignite", "tensorboard", "matplotlib", "nibabel") if find_spec(name) is None]
    if missing:
        raise ConfigError([f"{', '.join(missing)} not installed: training needs pip install 'dicomnode[train]'"])
    yield


@contextmanager
def opened_store(config: Path) -> Iterator[tuple[Config, Store]]:
    from sqlalchemy.exc import SQLAlchemyError

    from dicomnode.store.engine import Store

    loaded = load_config(config, serving=False)
    store = Store(loaded.database_url)
    try:
        try:
            store.migrate()
        except SQLAlchemyError as fault:
            raise NodeError(f"the database cannot be used: {str(fault).splitlines()[0]}") from fault
        yield loaded, store
    finally:
        store.close()


@contextmanager
def exit_codes() -> Iterator[None]:
    """Errors raised on purpose become a sentence and an exit code; anything else is a bug and shows its traceback."""
    try:
        yield
    except (ConfigError, BundleError) as fault:
        typer.echo(str(fault), err=True)
        raise typer.Exit(WRONG_CALL) from fault
    except NodeError as fault:
        typer.echo(str(fault), err=True)
        raise typer.Exit(FAILED) from fault
