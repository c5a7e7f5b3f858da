"""Destinations of results: a PACS that takes them by C-STORE, or a server that takes them by DICOMweb."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Discriminator, Field, Tag, field_validator, model_validator

from dicomnode.config.paths import FileName
from dicomnode.config.sections import AeTitle, Name, Section
from dicomnode.kinds import BY_DEFAULT, Kind

Proof = Literal["commitment", "query", "status"]
IdentityRule = Literal["query", "trust"]


class DestinationTls(Section):
    """TLS towards a destination. PEM files; ``cert`` and ``key`` where it asks for a client certificate."""

    enabled: bool = False
    ca: FileName = ""
    cert: FileName = ""
    key: FileName = ""
    server_name: str = ""

    @model_validator(mode="after")
    def _whole(self) -> DestinationTls:
        if bool(self.cert) != bool(self.key):
            raise ValueError("cert and key belong together")
        if not self.enabled and (self.ca or self.cert or self.server_name):
            raise ValueError("certificates are given, but enabled = true is missing: results would leave in the clear")
        return self


class BaseDestination(Section):
    """What every destination has, whatever way results go there."""

    name: Name
    accept_research: bool = False
    results: tuple[Kind, ...] = BY_DEFAULT
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
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 (reading it is what checks it)
    except ValueError:
        raise ValueError("is no URL") from None  # what Python says of it may quote a password
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be a URL that begins with https:// or http://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("holds a user or a password; secrets belong in a file or an environment variable, see auth")
    if parts.query or parts.fragment:
        raise ValueError("must end with a path, without '?' and '#'")
    return value.rstrip("/")


def _is_base_url_or_nothing(value: str) -> str:
    return _is_base_url(value) if value else value


Url = Annotated[str, AfterValidator(_is_base_url)]
OptionalUrl = Annotated[str, AfterValidator(_is_base_url_or_nothing)]
"""Empty: none."""


class WebTls(Section):
    """TLS towards a DICOMweb server, which an https URL asks for. PEM files."""

    ca: FileName = ""
    cert: FileName = ""
    key: FileName = ""

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
    token_url: OptionalUrl = ""
    client_id: str = ""
    scope: str = ""
    secret_file: FileName = ""
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
    query_url: OptionalUrl = ""
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


DestinationTable = Annotated[
    Annotated[Destination, Tag("dimse")] | Annotated[WebDestination, Tag("dicomweb")],
    Discriminator(_kind_of_destination),
]
"""One ``[[destination]]``; a ``url`` says that it is a DICOMweb server."""
