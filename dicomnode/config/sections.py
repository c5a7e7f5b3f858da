"""Sections of ``config.toml`` that stand for themselves, and the types that all sections share."""

from __future__ import annotations

import ipaddress
import re
import zoneinfo
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from dicomnode.config.paths import ConfigPath, DatabaseUrl, FileName
from dicomnode.language import Language


def _is_ae_title(value: str) -> str:
    if len(value) > 16 or not re.fullmatch(r"[\x21-\x5b\x5d-\x7e]([\x20-\x5b\x5d-\x7e]*[\x21-\x5b\x5d-\x7e])?", value):
        raise ValueError("1 to 16 characters of ASCII without a backslash, and no blank at either end")
    return value


AeTitle = Annotated[str, AfterValidator(_is_ae_title)]
Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(ge=0)]
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]


class Section(BaseModel):
    """Base of all sections: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def is_pattern(value: str) -> str:
    """Validator of regular expressions; raises ValueError, which pydantic reports as a fault."""
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

    ``name``: one of several nodes that share ``data_dir`` and a PostgreSQL database has a name of its own.
    ``require_existing``: do not start where no node has worked before, so that lost data is no fresh install.
    ``language``: of the sentences in results; codes keep the meaning that DICOM gives them.
    ``provisional_names``: regular expression for the names of patients who are not identified yet.
    """

    ae_title: AeTitle = "DICOMNODE"
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{0,32}$")] = ""
    host: str = "0.0.0.0"
    port: Port = 11112
    data_dir: Annotated[ConfigPath, Field(validate_default=True)] = Path("data")
    require_existing: bool = False
    timezone: str = "UTC"
    language: Language = Language.BRITISH
    provisional_names: Annotated[str, AfterValidator(is_pattern)] = PROVISIONAL_NAMES

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, value: str) -> str:
        try:
            zoneinfo.ZoneInfo(value)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError) as fault:
            raise ValueError(f"unknown time zone {value!r}; use an IANA name such as 'Europe/Berlin'") from fault
        return value


_NO_DATABASE_URL = (
    "is no URL: the port is a number; in a user or password write '@' as %40, '/' as %2F, ':' as %3A, '#' as %23, "
    "'?' as %3F, '[' as %5B; better, leave the password to PGPASSWORD or ~/.pgpass"
)


class Database(Section):
    """The database that holds the queue and its history. ``url`` empty: SQLite below ``data_dir``.

    The URL may hold a password: it is not shown where the configuration is. ``backup_before_upgrade``: a new version
    copies the database before it changes the schema.
    """

    url: Annotated[DatabaseUrl, Field(repr=False)] = ""
    backup_before_upgrade: bool = True

    @field_validator("url")
    @classmethod
    def _supported_url(cls, value: str) -> str:
        if value and not value.startswith(("sqlite:///", "postgresql+psycopg://")):
            raise ValueError("must begin with 'sqlite:///' or 'postgresql+psycopg://'")
        try:
            parts = urlsplit(value)
            parts.port  # noqa: B018 (reading it is what checks it)
        except ValueError:
            raise ValueError(_NO_DATABASE_URL) from None  # what Python says of it quotes the password
        # Behind the second '@' the rest of a password would be shown as the host.
        if parts.netloc.count("@") > 1:
            raise ValueError(_NO_DATABASE_URL)
        return value


class ReceptionTls(Section):
    """TLS of the node's own port; without a certificate the port speaks plain DICOM. PEM files."""

    cert: FileName = ""
    key: FileName = ""
    ca: FileName = ""
    require_client_cert: bool = True

    @model_validator(mode="after")
    def _whole(self) -> ReceptionTls:
        if bool(self.cert) != bool(self.key):
            raise ValueError("cert and key belong together")
        if self.cert and self.require_client_cert and not self.ca:
            raise ValueError("require_client_cert needs ca, the authority that signed the senders' certificates")
        return self


class Reception(Section):
    """Storage SCP: when a series counts as complete, and what a peer may ask for.

    ``receivers``: processes that receive on the one port.
    """

    receivers: Annotated[int, Field(ge=1, le=64)] = 1
    settle_s: Seconds = 1.0
    quiet_period_s: Seconds = 60.0
    selection_wait_s: Seconds = 20.0
    study_quiet_s: Seconds = 600.0
    check_called_ae: bool = True
    max_associations: Annotated[int, Field(ge=1, le=1000)] = 25
    max_associations_per_ae: Annotated[int, Field(ge=0, le=1000)] = 0
    reserved_associations: Annotated[int, Field(ge=0, le=1000)] = 5
    min_bytes_per_s: Annotated[float, Field(ge=0)] = 1000.0
    idle_timeout_s: Annotated[float, Field(ge=1)] = 60.0
    max_association_s: Annotated[float, Field(ge=1)] = 3600.0
    min_free_gb: Annotated[float, Field(ge=0)] = 5.0
    max_instance_gb: Annotated[float, Field(gt=0)] = 4.0
    max_series_instances: Annotated[int, Field(ge=1)] = 10_000
    tls: ReceptionTls = ReceptionTls()


def _address_or_network(value: str) -> str:
    if value:
        try:
            ipaddress.ip_network(value, strict=False)
        except ValueError as fault:
            raise ValueError(f"{value!r} is neither an IP address nor a network such as 10.1.2.0/24") from fault
    return value


Peer = Annotated[str, AfterValidator(_address_or_network)]
"""Who may connect: an address, or a network in CIDR notation; empty: anyone."""


class Sender(Section):
    """A peer that may send. ``host``: an address or a network in CIDR notation; empty: any address.

    ``certificate``: common name or an alternative name of its TLS certificate. Nobody without it has the AE title, and
    nobody with it has another. ``places``: of ``max_associations`` so many are kept free for it.
    """

    ae_title: AeTitle
    host: Peer = ""
    certificate: str = ""
    places: Annotated[int, Field(ge=0, le=1000)] = 0


DEVICES = "'auto', 'cpu', 'cuda' or 'cuda:0'"


def is_device(name: str) -> bool:
    """Whether it names a device, which need not be there."""
    return re.fullmatch(r"auto|cpu|cuda(:\d+)?", name) is not None


class RayCluster(Section):
    """The cluster of ``execution.backend = "ray"``.

    ``address``: ``ray://HOST:10001``, or ``HOST:6379`` or ``auto`` on a machine that belongs to the cluster.
    ``workers``: actors, each with its models; so many jobs run at once. ``gpus``, ``cpus``: of each actor.
    """

    address: str = ""
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    gpus: Annotated[float, Field(ge=0)] = 1.0
    cpus: Annotated[float, Field(ge=0)] = 1.0


class Execution(Section):
    """The devices that models run on, and for how long they may."""

    backend: Literal["local", "ray"] = "local"
    devices: Annotated[tuple[str, ...], Field(min_length=1)] = ("auto",)
    run_timeout_s: Annotated[float, Field(gt=0)] = 300.0
    start_timeout_s: Annotated[float, Field(gt=0)] = 180.0
    max_attempts: Annotated[int, Field(ge=1)] = 3
    retry_min_s: Annotated[float, Field(gt=0)] = 5.0
    lease_s: Annotated[float, Field(ge=2)] = 30.0
    cpu_threads: Annotated[int, Field(ge=0)] = 1
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    ray: RayCluster = RayCluster()

    @model_validator(mode="after")
    def _one_backend(self) -> Execution:
        if self.backend == "ray" and not self.ray.address:
            raise ValueError('backend = "ray" needs the address of the cluster: [execution.ray] address')
        if self.backend == "ray" and self.devices != ("auto",):
            raise ValueError("devices are those of this machine; an actor takes what [execution.ray] gpus and cpus say")
        return self

    @field_validator("devices")
    @classmethod
    def _known_devices(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [device for device in value if not is_device(device)]:
            raise ValueError(f"{wrong[0]!r}: use {DEVICES}")
        return value


class Zoo(Section):
    """Bundles beyond the built-in ones, pinned digests (name -> ``sha256:...``), and thresholds of scores by name.

    ``horizons_h``: how many hours after the scan at hand what a model foretells is, by the name of the model.
    ``selftest``: whether a running node asks its models about the known patient, once it works and every night in the
    hour ``selftest_hour`` of its zone.
    """

    paths: tuple[ConfigPath, ...] = ()
    digests: dict[str, str] = {}
    thresholds: dict[str, float] = {}
    horizons_h: dict[str, Annotated[float, Field(gt=0)]] = {}
    selftest: bool = True
    selftest_hour: Annotated[int, Field(ge=0, le=23)] = 3
