"""Reads ``config.toml``: every fault is reported at once, with its line.

Any scalar of a plain section can be overridden by an environment variable ``DICOMNODE_<SECTION>__<KEY>``, such as
``DICOMNODE_NODE__PORT=11113``.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dicomnode.config.faults import Location, Locator, sentence
from dicomnode.config.sections import Section
from dicomnode.config.whole import Config, holds_bundles
from dicomnode.environment import Fault, fault_of, said_by
from dicomnode.errors import ConfigError, EnvironmentFault

ENVIRONMENT_PREFIX = "DICOMNODE_"


def load_config(path: Path, *, serving: bool = True, environment: Mapping[str, str] | None = None) -> Config:
    """Read, override from the environment and check a configuration.

    Parameters
    ----------
    path : the TOML file; a relative ``data_dir`` is relative to the working directory.
    serving : also require what a node needs: a protocol, and destinations for it.
    environment : defaults to ``os.environ``.

    Raises
    ------
    ConfigError : with every fault found.
    EnvironmentFault : the disk or the memory failed, or ``data_dir`` cannot be written: no fault of what is configured.
    """
    try:
        text = path.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
    except OSError as fault:
        if fault_of(fault) is Fault.PASSES and not isinstance(fault, PermissionError):
            raise EnvironmentFault(f"{path}: cannot be read now ({said_by(fault)})") from fault
        raise ConfigError([f"{path}: cannot be read ({fault.strerror})"]) from fault
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise ConfigError([f"{path}: not valid TOML: {fault}"]) from fault
    config = parse_config(raw, source=str(path), text=text, serving=serving, environment=environment)
    existing = _existing(config.node.data_dir)
    if not os.access(existing, os.R_OK | os.W_OK | os.X_OK):
        raise EnvironmentFault(f"node.data_dir: folder {existing} cannot be read and written by this user")
    return config


def parse_config(
    raw: dict[str, Any],
    *,
    source: str = "config",
    text: str = "",
    serving: bool = True,
    environment: Mapping[str, str] | None = None,
) -> Config:
    """Check a configuration that is already a dictionary; see :func:`load_config`."""
    locate = Locator(source, text)
    faults = _apply_environment(raw, os.environ if environment is None else environment)
    config = None
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        faults += [sentence(locate, item) for item in error.errors()]
    faults += [f"{locate(where)}: {what}" for where, what in _cross_faults(raw, serving)]
    if config is None or faults:
        raise ConfigError(list(dict.fromkeys(faults)))
    return config


def _cross_faults(raw: dict[str, Any], serving: bool) -> Iterator[tuple[Location, str]]:
    """Faults between sections, found on the raw tables so that they show beside faults within a section."""
    destinations, protocols = _tables(raw, "destination"), _tables(raw, "protocol")
    yield from _duplicates("destination", destinations)
    yield from _duplicates("protocol", protocols)
    known = {table.get("name") for table in destinations}
    for index, protocol in enumerate(protocols):
        names = protocol.get("destinations", ())
        for name in names if isinstance(names, (list, tuple)) else ():
            if name not in known:
                yield ("protocol", index, "destinations"), f"no [[destination]] is named {name!r}"
        if serving and not names:
            yield ("protocol", index), f"{protocol.get('name')!r} names no destination: its results would go nowhere"
    if serving and not protocols:
        yield ("protocol",), "no [[protocol]]: nothing would ever be processed"
    yield from _folder_faults(raw)


def _tables(raw: dict[str, Any], section: str) -> list[dict[str, Any]]:
    tables = raw.get(section, [])
    return [table for table in tables if isinstance(table, dict)] if isinstance(tables, (list, tuple)) else []


def _duplicates(section: str, tables: list[dict[str, Any]]) -> Iterator[tuple[Location, str]]:
    names = [table.get("name") for table in tables]
    for index, name in enumerate(names):
        if name is not None and name in names[:index]:
            yield (section, index, "name"), f"the name {name!r} is used twice"


def _folder_faults(raw: dict[str, Any]) -> Iterator[tuple[Location, str]]:
    node, zoo = raw.get("node", {}), raw.get("zoo", {})
    folder = Path(str(node.get("data_dir", "data")) if isinstance(node, dict) else "data")
    existing = _existing(folder)
    if not existing.is_dir():
        yield ("node", "data_dir"), f"{existing} is a file, not a folder"
    for index, path in enumerate(zoo.get("paths", ()) if isinstance(zoo, dict) else ()):
        if not holds_bundles(Path(str(path))):
            says = f"{path} is no readable bundle, nor a folder of bundles (configs/metadata.json is missing)"
            yield ("zoo", "paths", index), says


def _existing(folder: Path) -> Path:
    """The folder itself, or the nearest one above it that is there."""
    return next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())


def _apply_environment(raw: dict[str, Any], environment: Mapping[str, str]) -> list[str]:
    faults = []
    for variable, value in environment.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or "__" not in variable:
            continue
        section, _, key = variable.removeprefix(ENVIRONMENT_PREFIX).lower().partition("__")
        model = Config.model_fields.get(section)
        plain = model is not None and isinstance(model.annotation, type) and issubclass(model.annotation, Section)
        if not plain or key not in model.annotation.model_fields:  # type: ignore[union-attr]
            faults.append(f"environment: {variable} overrides no key of a plain section")
        else:
            raw.setdefault(section, {})[key] = value
    return faults
