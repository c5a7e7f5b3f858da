"""Reads ``config.toml``: every fault is reported at once, with its line.

Any scalar of a plain section can be overridden by an environment variable ``DICOMNODE_<SECTION>__<KEY>``, such as
``DICOMNODE_NODE__PORT=11113``. Relative paths, those of such variables too, are relative to the folder of the file.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dicomnode.config.faults import Location, Locator, sentence
from dicomnode.config.known import did_you_mean
from dicomnode.config.paths import resolved
from dicomnode.config.priors import prior_faults
from dicomnode.config.sections import Section
from dicomnode.config.whole import Config, holds_bundles
from dicomnode.environment import PASSING, fault_of, said_by
from dicomnode.errors import ConfigError, EnvironmentFault

ENVIRONMENT_PREFIX = "DICOMNODE_"
NAME_IT = "name another with --config FILE or DICOMNODE_CONFIG; 'dicomnode init' writes a new one"


def load_config(path: Path, *, serving: bool = True, environment: Mapping[str, str] | None = None) -> Config:
    """Read, override from the environment and check a configuration.

    Parameters
    ----------
    path : the TOML file; relative paths in it are relative to its folder.
    serving : also require what a node needs: a protocol, destinations for it, and a folder that this user may write.
    environment : defaults to ``os.environ``.

    Raises
    ------
    ConfigError : with every fault found.
    EnvironmentFault : the disk or the memory failed, or ``data_dir`` cannot be written: no fault of what is configured.
    """
    text = _text_of(path)
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise ConfigError([f"{path}: not valid TOML: {fault}"]) from fault
    base = path.parent.resolve()
    config = parse_config(raw, source=str(path), text=text, base=base, serving=serving, environment=environment)
    existing = _existing(config.node.data_dir)
    if serving and not os.access(existing, os.R_OK | os.W_OK | os.X_OK):
        raise EnvironmentFault(f"node.data_dir: folder {existing} cannot be read and written by this user")
    return config


def _text_of(path: Path) -> str:
    """The text of a file, without the byte order mark that editors on Windows write.

    Raises
    ------
    ConfigError : it cannot be read, or is no UTF-8.
    EnvironmentFault : the disk or the memory failed.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as fault:
        raise ConfigError([f"{path.absolute()}: cannot be read: there is no such file; {NAME_IT}"]) from fault
    except OSError as fault:
        if fault_of(fault) in PASSING and not isinstance(fault, PermissionError):
            raise EnvironmentFault(f"{path}: cannot be read now ({said_by(fault)})") from fault
        raise ConfigError([f"{path}: cannot be read ({fault.strerror})"]) from fault
    except UnicodeDecodeError as fault:
        line = fault.object[: fault.start].count(b"\n") + 1
        raise ConfigError([f"{path} line {line}: not valid TOML: save it as UTF-8 ({fault.reason})"]) from fault


def parse_config(
    raw: dict[str, Any],
    *,
    source: str = "config",
    text: str = "",
    base: Path | None = None,
    serving: bool = True,
    environment: Mapping[str, str] | None = None,
) -> Config:
    """Check a configuration that is already a dictionary; see :func:`load_config`.

    Parameters
    ----------
    base : the folder that relative paths are relative to; None: they stay as they are.
    """
    overridden, faults = _apply_environment(raw, os.environ if environment is None else environment)
    locate = Locator(source, text, overridden)
    raw.setdefault("node", {})  # its default is a path, too
    config = None
    try:
        config = Config.model_validate(raw, context={"base": base})
    except ValidationError as error:
        faults += [sentence(locate, item) for item in error.errors()]
    faults += [f"{locate(where)}: {what}" for where, what in _cross_faults(raw, base, serving)]
    if config is None or faults:
        raise ConfigError(list(dict.fromkeys(faults)))
    return config


def _cross_faults(raw: dict[str, Any], base: Path | None, serving: bool) -> Iterator[tuple[Location, str]]:
    """Faults between sections, found on the raw tables so that they show beside faults within a section."""
    destinations, protocols = _tables(raw, "destination"), _tables(raw, "protocol")
    yield from _duplicates("destination", destinations)
    yield from _duplicates("protocol", protocols)
    known = [str(table.get("name")) for table in destinations]
    for index, protocol in enumerate(protocols):
        names = protocol.get("destinations", ())
        for name in names if isinstance(names, (list, tuple)) else ():
            if name not in known:
                says = f"no [[destination]] is named {name!r}{did_you_mean(str(name), known)}"
                yield ("protocol", index, "destinations"), says
        canary_of = protocol.get("canary_of", "")
        if canary_of and canary_of not in [other.get("name") for other in protocols if not other.get("canary_of")]:
            yield ("protocol", index, "canary_of"), f"no [[protocol]] that is no canary itself is named {canary_of!r}"
        if serving and not names and not protocol.get("shadow"):
            yield ("protocol", index), f"{protocol.get('name')!r} names no destination: its results would go nowhere"
    if serving and not protocols:
        yield ("protocol",), "no [[protocol]]: nothing would ever be processed"
    yield from ((("priors", key), says) for key, says in prior_faults(raw, protocols, known))
    yield from _certificate_faults(raw)
    yield from _folder_faults(raw, base, serving)


def _certificate_faults(raw: dict[str, Any]) -> Iterator[tuple[Location, str]]:
    reception = raw.get("reception", {})
    tls = reception.get("tls", {}) if isinstance(reception, dict) else {}
    asks = isinstance(tls, dict) and tls.get("cert") and tls.get("ca") and tls.get("require_client_cert", True)
    for index, sender in enumerate(_tables(raw, "sender")):
        if sender.get("certificate") and not asks:
            yield (
                ("sender", index, "certificate"),
                "nobody shows one: reception.tls needs cert, key and ca",
            )


def _tables(raw: dict[str, Any], section: str) -> list[dict[str, Any]]:
    tables = raw.get(section, [])
    return [table for table in tables if isinstance(table, dict)] if isinstance(tables, (list, tuple)) else []


def _duplicates(section: str, tables: list[dict[str, Any]]) -> Iterator[tuple[Location, str]]:
    names = [table.get("name") for table in tables]
    for index, name in enumerate(names):
        if name is not None and name in names[:index]:
            yield (section, index, "name"), f"the name {name!r} is used twice"


def _folder_faults(raw: dict[str, Any], base: Path | None, serving: bool) -> Iterator[tuple[Location, str]]:
    node, zoo = raw.get("node", {}), raw.get("zoo", {})
    paths = zoo.get("paths", ()) if isinstance(zoo, dict) else ()
    folder = _raw_path(node.get("data_dir", "data") if isinstance(node, dict) else "data", base)
    existing = _existing(folder) if folder is not None else None
    if existing is not None and not existing.is_dir():
        what = "a link to nothing" if existing.is_symlink() else "a file"
        yield ("node", "data_dir"), f"{existing} is {what}, not a folder"
    for index, text in enumerate(paths if isinstance(paths, (list, tuple)) else ()):
        path = _raw_path(text, base)
        if path is not None and not holds_bundles(path):
            says = f"{path} is no readable bundle, nor a folder of bundles (configs/metadata.json is missing)"
            yield ("zoo", "paths", index), says


def _raw_path(value: object, base: Path | None) -> Path | None:
    """A path of the raw tables; None where it is none, which is said of its key."""
    try:
        return resolved(Path(value), base) if isinstance(value, (str, Path)) else None
    except ValueError:
        return None


def _existing(folder: Path) -> Path:
    """The folder itself, or the nearest one above it that is there."""
    return next(parent for parent in (folder, *folder.absolute().parents) if os.path.lexists(parent))


def _apply_environment(raw: dict[str, Any], environment: Mapping[str, str]) -> tuple[dict[Location, str], list[str]]:
    """Put the values of the environment into the tables; which keys have theirs from there, and what is wrong."""
    overridden: dict[Location, str] = {}
    faults = []
    for variable, value in environment.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or "__" not in variable:
            continue
        section, _, key = variable.removeprefix(ENVIRONMENT_PREFIX).lower().partition("__")
        if (section, key) not in _plain_keys():
            close = did_you_mean(variable, [_variable(*known) for known in _plain_keys()])
            faults.append(f"environment: {variable} overrides no key of a plain section{close}")
        elif isinstance(table := raw.setdefault(section, {}), dict):
            table[key] = value
            overridden[section, key] = variable
    return overridden, faults


def _plain_keys() -> list[tuple[str, str]]:
    sections = {name: field.annotation for name, field in Config.model_fields.items()}
    plain = {name: one for name, one in sections.items() if isinstance(one, type) and issubclass(one, Section)}
    return [(name, key) for name, section in plain.items() for key in section.model_fields]


def _variable(section: str, key: str) -> str:
    return f"{ENVIRONMENT_PREFIX}{section}__{key}".upper()
