"""``config.toml`` -> frozen models. Every fault is reported at once, with its line; an unknown key is a fault.

Any scalar of a plain section can be overridden by an environment variable ``DICOMNODE_<SECTION>__<KEY>``, such as
``DICOMNODE_NODE__PORT=11113``.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
import zoneinfo
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)
from pydicom.datadict import tag_for_keyword

from dicomnode.errors import ConfigError

ENVIRONMENT_PREFIX = "DICOMNODE_"

AeTitle = Annotated[
    str,
    Field(min_length=1, max_length=16, pattern=r"^[\x21-\x5b\x5d-\x7e]([\x20-\x5b\x5d-\x7e]*[\x21-\x5b\x5d-\x7e])?$"),
]
Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(ge=0)]
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]


class Section(BaseModel):
    """Base of all sections: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _is_pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as fault:
        raise ValueError(f"{value!r} is no regular expression ({fault})") from fault
    return value


PROVISIONAL_NAMES = (
    r"(?i)unknown|unbekannt|inconnu|desconocid|sconosciut|不明|notfall|emergency|\btrauma(?![a-z])|\bn\.?n\.?(?![a-z])"
    r"|\b(john|jane)\W+doe\b|\bdoe\W+(john|jane)\b"
)
"""Names of patients who are not identified yet, as emergency departments give them; images without a name are, too."""


class Node(Section):
    """Who the node is and where it keeps its data.

    ``provisional_names``: regular expression for the names of patients who are not identified yet.
    """

    ae_title: AeTitle = "DICOMNODE"
    host: str = "0.0.0.0"
    port: Port = 11112
    data_dir: Path = Path("data")
    timezone: str = "UTC"
    provisional_names: Annotated[str, AfterValidator(_is_pattern)] = PROVISIONAL_NAMES

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, value: str) -> str:
        try:
            zoneinfo.ZoneInfo(value)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError) as fault:
            raise ValueError(f"unknown time zone {value!r}; use an IANA name such as 'Europe/Berlin'") from fault
        return value


class Database(Section):
    """Where job state lives. Empty: SQLite below ``data_dir``."""

    url: str = ""

    @field_validator("url")
    @classmethod
    def _supported_url(cls, value: str) -> str:
        if value and not value.startswith(("sqlite:///", "postgresql+psycopg://")):
            raise ValueError("must begin with 'sqlite:///' or 'postgresql+psycopg://'")
        return value


class ReceptionTls(Section):
    """TLS of the node's own port; without a certificate the port speaks plain DICOM. PEM files."""

    cert: str = ""
    key: str = ""
    ca: str = ""
    require_client_cert: bool = True

    @model_validator(mode="after")
    def _whole(self) -> ReceptionTls:
        if bool(self.cert) != bool(self.key):
            raise ValueError("cert and key belong together")
        if self.cert and self.require_client_cert and not self.ca:
            raise ValueError("require_client_cert needs ca, the authority that signed the senders' certificates")
        return self


class DestinationTls(Section):
    """TLS towards a destination. PEM files; ``cert`` and ``key`` where it asks for a client certificate."""

    enabled: bool = False
    ca: str = ""
    cert: str = ""
    key: str = ""
    server_name: str = ""

    @model_validator(mode="after")
    def _whole(self) -> DestinationTls:
        if bool(self.cert) != bool(self.key):
            raise ValueError("cert and key belong together")
        if not self.enabled and (self.ca or self.cert or self.server_name):
            raise ValueError("certificates are given, but enabled = true is missing: results would leave in the clear")
        return self


class Reception(Section):
    """Storage SCP: when a series counts as complete, and what a peer may ask for."""

    settle_s: Seconds = 1.0
    quiet_period_s: Seconds = 60.0
    selection_wait_s: Seconds = 20.0
    study_quiet_s: Seconds = 600.0
    check_called_ae: bool = True
    max_associations: Annotated[int, Field(ge=1, le=1000)] = 25
    idle_timeout_s: Annotated[float, Field(ge=1)] = 60.0
    max_association_s: Annotated[float, Field(ge=1)] = 3600.0
    min_free_gb: Annotated[float, Field(ge=0)] = 5.0
    tls: ReceptionTls = ReceptionTls()


class Sender(Section):
    """A peer that may send. ``host``: an address or a network in CIDR notation; empty: any address."""

    ae_title: AeTitle
    host: str = ""

    @field_validator("host")
    @classmethod
    def _address_or_network(cls, value: str) -> str:
        if value:
            try:
                ipaddress.ip_network(value, strict=False)
            except ValueError as fault:
                raise ValueError(f"{value!r} is neither an IP address nor a network such as 10.1.2.0/24") from fault
        return value


ResultKind = Literal[
    "seg",
    "sr",
    "scores",
    "text",
    "sc",
    "predicted",
    "predicted_sc",
    "probability",
    "kos",
    "rejection",
    "not_performed",
    "seg_sc",
    "sr_comp",
    "sr_enhanced",
    "scores_comp",
    "scores_enhanced",
]
Proof = Literal["commitment", "query", "status"]
IdentityRule = Literal["query", "trust"]


class BaseDestination(Section):
    """What every destination has, whatever way results go there."""

    name: Name
    accept_research: bool = False
    results: tuple[ResultKind, ...] = ("seg", "sr", "scores", "text", "sc", "predicted", "rejection")
    identity: IdentityRule = "query"
    proof: Proof = "query"
    proof_wait_s: Annotated[float, Field(gt=0)] = 60.0
    timeout_s: Annotated[float, Field(ge=1)] = 30.0
    retry_min_s: Annotated[float, Field(gt=0)] = 5.0
    retry_max_s: Annotated[float, Field(gt=0)] = 14400.0
    give_up_after_h: Annotated[float, Field(gt=0)] = 168.0

    @model_validator(mode="after")
    def _retry_grows(self) -> BaseDestination:
        if self.retry_max_s < self.retry_min_s:
            raise ValueError("retry_max_s must not be below retry_min_s")
        return self


class Destination(BaseDestination):
    """A PACS or viewer that receives results by C-STORE.

    ``proof``: what shows that it has them: storage commitment, C-FIND, or only the status of the C-STORE, which proves
    nothing.
    """

    ae_title: AeTitle
    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)]
    tls: DestinationTls = DestinationTls()


def _is_base_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be a URL that begins with https:// or http://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("holds a user or a password; secrets belong in a file or an environment variable, see auth")
    if parts.query or parts.fragment:
        raise ValueError("must end with a path, without '?' and '#'")
    return value.rstrip("/")


Url = Annotated[str, AfterValidator(_is_base_url)]


class WebTls(Section):
    """TLS towards a DICOMweb server, which an https URL asks for. PEM files."""

    ca: str = ""
    cert: str = ""
    key: str = ""

    @model_validator(mode="after")
    def _whole(self) -> WebTls:
        if bool(self.cert) != bool(self.key):
            raise ValueError("cert and key belong together")
        return self


_AUTH_KEYS: dict[str, tuple[str, ...]] = {
    "none": (),
    "basic": ("user",),
    "bearer": (),
    "oauth": ("token_url", "client_id"),
}


class WebAuth(Section):
    """Who the node is to a DICOMweb server. The secret (password, token, client secret) never stands here itself."""

    scheme: Literal["none", "basic", "bearer", "oauth"] = "none"
    user: str = ""
    token_url: Url | Literal[""] = ""
    client_id: str = ""
    scope: str = ""
    secret_file: str = ""
    secret_env: str = ""

    @model_validator(mode="after")
    def _whole(self) -> WebAuth:
        if faults := list(self._faults()):
            raise ValueError("; ".join(faults))
        return self

    def _faults(self) -> Iterator[str]:
        needed = _AUTH_KEYS[self.scheme]
        yield from (f"{self.scheme} needs {key}" for key in needed if not getattr(self, key))
        optional = ("scope",) if self.scheme == "oauth" else ()
        for key in ("user", "token_url", "client_id", "scope"):
            if getattr(self, key) and key not in (*needed, *optional):
                yield f"{key} is given, but scheme = {self.scheme!r} does not use it"
        secrets = [key for key in ("secret_file", "secret_env") if getattr(self, key)]
        if self.scheme == "none" and secrets:
            yield f"{secrets[0]} is given, but scheme = 'none' does not use it"
        if self.scheme != "none" and len(secrets) != 1:
            yield f"{self.scheme} needs either secret_file or secret_env"


class WebDestination(BaseDestination):
    """A DICOMweb server that receives results by STOW-RS and shows them by QIDO-RS (DICOM PS3.18 10.5, 10.6).

    ``url``: what stands before ``/studies``; ``query_url``: the same for QIDO-RS, where it is another one.
    """

    url: Url
    query_url: Url | Literal[""] = ""
    auth: WebAuth = WebAuth()
    tls: WebTls = WebTls()

    @field_validator("proof", mode="after")
    @classmethod
    def _no_commitment(cls, value: Proof) -> Proof:
        if value == "commitment":
            raise ValueError("DICOMweb has no storage commitment; use 'query' (QIDO-RS) or 'status'")
        return value

    @model_validator(mode="after")
    def _certificates_are_used(self) -> WebDestination:
        urls = (self.url, self.query_url, self.auth.token_url)
        if (self.tls.ca or self.tls.cert) and not any(url.startswith("https:") for url in urls):
            raise ValueError("certificates are given, but url begins with http:// : results would leave in the clear")
        return self


AnyDestination = Destination | WebDestination


def _kind_of_destination(value: Any) -> str:
    return "dicomweb" if isinstance(value, WebDestination) or (isinstance(value, dict) and "url" in value) else "dimse"


class Range(Section):
    """A range that must hold for every slice; either bound may be left out."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Range:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is above max")
        return self

    def holds(self, value: float) -> bool:
        """Whether ``value`` lies within the bounds, both inclusive."""
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)


def _kind_of_match(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "values"
    return "range" if isinstance(value, (dict, Range)) else "pattern"


def _is_keyword(value: str) -> str:
    if tag_for_keyword(value) is None:
        raise ValueError(f"{value!r} is no DICOM keyword")
    return value


Keyword = Annotated[str, AfterValidator(_is_keyword)]
Match = Annotated[
    Annotated[str, AfterValidator(_is_pattern), Tag("pattern")]
    | Annotated[tuple[str, ...], Tag("values")]
    | Annotated[Range, Tag("range")],
    Discriminator(_kind_of_match),
]


class Protocol(Section):
    """Which series is run through which models, and where the results go.

    ``match``: DICOM keyword -> regular expression, list of allowed values, or range.
    """

    name: Name
    match: dict[Keyword, Match]
    models: Annotated[tuple[Name, ...], Field(min_length=1)]
    destinations: tuple[Name, ...] = ()
    priority: Literal["stat", "routine"] = "routine"
    preferred_thickness_mm: Range = Range(min=2.0, max=8.0)


class Execution(Section):
    """Where and how long models run."""

    backend: Literal["local"] = "local"
    devices: Annotated[tuple[str, ...], Field(min_length=1)] = ("auto",)
    run_timeout_s: Annotated[float, Field(gt=0)] = 300.0
    start_timeout_s: Annotated[float, Field(gt=0)] = 180.0
    max_attempts: Annotated[int, Field(ge=1)] = 3
    retry_min_s: Annotated[float, Field(gt=0)] = 5.0
    lease_s: Annotated[float, Field(ge=2)] = 30.0
    cpu_threads: Annotated[int, Field(ge=0)] = 1

    @field_validator("devices")
    @classmethod
    def _known_devices(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for device in value:
            if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
                raise ValueError(f"{device!r}: use 'auto', 'cpu', 'cuda' or 'cuda:0'")
        return value


class Zoo(Section):
    """Bundles beyond the built-in ones, and pinned digests (name -> ``sha256:...``)."""

    paths: tuple[Path, ...] = ()
    digests: dict[str, str] = {}


class Operations(Section):
    """Logs and retention."""

    log_format: Literal["json", "text"] = "json"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    retention_days: Annotated[float, Field(ge=0)] = 14.0
    unused_retention_h: Annotated[float, Field(ge=0)] = 24.0


class Config(Section):
    """The whole configuration."""

    node: Node = Node()
    database: Database = Database()
    reception: Reception = Reception()
    sender: tuple[Sender, ...] = ()
    destination: tuple[
        Annotated[
            Annotated[Destination, Tag("dimse")] | Annotated[WebDestination, Tag("dicomweb")],
            Discriminator(_kind_of_destination),
        ],
        ...,
    ] = ()
    protocol: tuple[Protocol, ...] = ()
    execution: Execution = Execution()
    zoo: Zoo = Zoo()
    operations: Operations = Operations()

    @property
    def database_url(self) -> str:
        """URL of the database; SQLite below ``data_dir`` when none is configured."""
        return self.database.url or f"sqlite:///{self.node.data_dir / 'node.db'}"

    @property
    def spool_dir(self) -> Path:
        """Where received instances lie."""
        return self.node.data_dir / "spool"

    @property
    def work_dir(self) -> Path:
        """Where findings and encoded results lie."""
        return self.node.data_dir / "work"

    @property
    def models_dir(self) -> Path:
        """Where imported models lie."""
        return self.node.data_dir / "models"

    @property
    def bundle_paths(self) -> tuple[Path, ...]:
        """Bundles and folders of bundles beyond the built-in ones: those named, and the imported ones."""
        return (*self.zoo.paths, *([self.models_dir] if holds_bundles(self.models_dir) else ()))

    def destinations_of(self, protocol: Protocol) -> tuple[AnyDestination, ...]:
        """The destinations a protocol names, in its order."""
        by_name = {destination.name: destination for destination in self.destination}
        return tuple(by_name[name] for name in protocol.destinations if name in by_name)

    def protocol_named(self, name: str) -> Protocol | None:
        """The protocol with this name, or None."""
        return next((protocol for protocol in self.protocol if protocol.name == name), None)


def holds_bundles(folder: Path) -> bool:
    """Whether a folder is a bundle or has bundles directly below it."""
    return any(any(folder.glob(f"{below}configs/metadata.json")) for below in ("", "*/"))


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
    """
    try:
        text = path.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
    except OSError as fault:
        raise ConfigError([f"{path}: cannot be read ({fault.strerror})"]) from fault
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise ConfigError([f"{path}: not valid TOML: {fault}"]) from fault
    return parse_config(raw, source=str(path), text=text, serving=serving, environment=environment)


def parse_config(
    raw: dict[str, Any],
    *,
    source: str = "config",
    text: str = "",
    serving: bool = True,
    environment: Mapping[str, str] | None = None,
) -> Config:
    """Check a configuration that is already a dictionary; see :func:`load_config`."""
    locate = _Locator(source, text)
    faults = _apply_environment(raw, os.environ if environment is None else environment)
    config = None
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        faults += [_sentence(locate, item) for item in error.errors()]
    faults += [f"{locate(where)}: {what}" for where, what in _cross_faults(raw, serving)]
    if config is None or faults:
        raise ConfigError(list(dict.fromkeys(faults)))
    return config


Location = tuple[str | int, ...]


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
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not existing.is_dir():
        yield ("node", "data_dir"), f"{existing} is a file, not a folder"
    elif not os.access(existing, os.R_OK | os.W_OK | os.X_OK):
        yield ("node", "data_dir"), f"folder {existing} cannot be read and written by this user"
    for index, path in enumerate(zoo.get("paths", ()) if isinstance(zoo, dict) else ()):
        if not holds_bundles(Path(str(path))):
            says = f"{path} is no readable bundle, nor a folder of bundles (configs/metadata.json is missing)"
            yield ("zoo", "paths", index), says


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


def _sentence(locate: _Locator, item: Any) -> str:
    where: Location = tuple(part for part in item["loc"] if part not in _TAGS)
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        message = _unknown(item["loc"])
    elif item["type"] == "missing":
        message = "missing"
    return f"{locate(where)}: {message}"


_TAGS = {"pattern", "values", "range", "[key]", "dimse", "dicomweb"}
"""What pydantic puts into a location to say which member of a union it speaks of."""


def _unknown(loc: Location) -> str:
    key = loc[-1]
    if loc[-2:-1] == ("dicomweb",) and key in Destination.model_fields:
        return "unknown key: this destination has a url, which says where it is"
    if loc[-2:-1] == ("dimse",) and key in WebDestination.model_fields:
        return "unknown key: only a DICOMweb destination, one with a url, has it"
    return "unknown key"


class _Locator:
    """Turns a key path into ``file line N: [section] key``; tomllib itself keeps no positions."""

    def __init__(self, source: str, text: str) -> None:
        self.source = source
        self.lines = text.splitlines()

    def __call__(self, where: Location) -> str:
        line = self._line(where)
        key = ".".join(f"[{part}]" if isinstance(part, int) else part for part in where).replace(".[", "[")
        return f"{self.source}{f' line {line}' if line else ''}: {key}"

    def _line(self, where: Location) -> int | None:
        if not where:
            return None
        start = self._section_line(str(where[0]), where[1] if len(where) > 1 and isinstance(where[1], int) else 0)
        keys = [part for part in where[1:] if isinstance(part, str)]
        if start is None or not keys:
            return start
        for number in range(start, len(self.lines)):
            if self.lines[number].lstrip().startswith("["):
                break
            if re.match(rf"\s*[\"']?{re.escape(keys[0])}[\"']?\s*[=.]", self.lines[number]):
                return number + 1
        return start

    def _section_line(self, section: str, index: int) -> int | None:
        heads = [
            n for n, line in enumerate(self.lines, 1) if re.match(rf"\s*\[\[?\s*{re.escape(section)}\s*\]\]?", line)
        ]
        return heads[min(index, len(heads) - 1)] if heads else None


HEAD_CT: dict[str, Any] = {
    "Modality": "^CT$",
    "BodyPartExamined": r"(?i)^$|head|brain|skull|neuro|sch(ä|ae)del|kopf|hirn|cr(a|â)n",
}
"""Head CT as scanners name it; an absent BodyPartExamined is no obstacle, since the volume gate and the search for a
brain within a skull still stand before every result. Contrast and other series are refused by triage."""


def built_in_config() -> Config:
    """What ``process`` and ``demo`` use without a file: one protocol for any non-contrast head CT."""
    return Config(protocol=(Protocol(name="head-ct", match=HEAD_CT, models=("hemorrhage",), priority="stat"),))
