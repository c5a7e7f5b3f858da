"""``[clinical]``: what is known of patients beside the images, from where, and who may tell it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from dicomnode.config.destinations import OptionalUrl, WebAuth, WebTls
from dicomnode.config.paths import FileName
from dicomnode.config.sections import Peer, Port, ReceptionTls, Seconds, Section


class Fhir(Section):
    """A FHIR R4 server that is asked for what is known of a patient; ``base_url`` empty: none.

    ``identifier_system``: of the patient IDs of ``[clinical] issuer``; ``identifier_systems``: issuer -> system of
    those of others. ``codes``: ``system|code`` of the site's own -> variable. ``wait_s``: how long a job waits for the
    answer.
    """

    base_url: OptionalUrl = ""
    identifier_system: str = ""
    identifier_systems: dict[str, str] = Field(default_factory=dict)
    codes: dict[str, str] = Field(default_factory=dict)
    wait_s: Annotated[float, Field(ge=0, le=600)] = 10.0
    poll_s: Seconds = 900.0
    timeout_s: Annotated[float, Field(ge=0.1, le=300)] = 10.0
    budget_s: Annotated[float, Field(ge=1, le=600)] = 30.0
    page_size: Annotated[int, Field(ge=1, le=1000)] = 100
    max_pages: Annotated[int, Field(ge=1, le=1000)] = 20
    max_mb: Annotated[float, Field(gt=0, le=1000)] = 8.0
    allow_http: bool = False
    auth: WebAuth = WebAuth()
    tls: WebTls = WebTls()

    @model_validator(mode="after")
    def _whole(self) -> Fhir:
        if self.base_url and (faults := list(self._faults())):
            raise ValueError("; ".join(faults))
        return self

    def _faults(self) -> Iterator[str]:
        if not self.identifier_system and not self.identifier_systems:
            yield "identifier_system is missing: a patient is asked for by the system of the ID, and the ID"
        for key, url in (("base_url", self.base_url), ("auth.token_url", self.auth.token_url)):
            if url.startswith("http:") and not self.allow_http and not _is_this_machine(url):
                yield f"{key} begins with http:// : health data and secrets would travel in the clear; use https"
        urls = (self.base_url, self.auth.token_url)
        if (self.tls.ca or self.tls.cert) and not any(url.startswith("https:") for url in urls):
            yield "tls is given, but base_url begins with http://"


def _is_this_machine(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Hl7Sender(Section):
    """Who may send HL7 messages; all that is given must hold.

    ``host``: an address or a network in CIDR notation. ``application``, ``facility``: MSH-3 and MSH-4, their first
    component. ``certificate``: common name or an alternative name of the TLS certificate. Empty: any.
    """

    host: Peer = ""
    application: str = ""
    facility: str = ""
    certificate: str = ""


class Hl7(Section):
    """HL7 v2 over MLLP. ``port`` 0: there is no such port.

    Attributes
    ----------
    charset : of messages that name none in MSH-18, as HL7 table 0211 names it.
    processing_ids : of MSH-11 that are taken: P is production, T training, D debugging.
    codes : local code of OBX-3 -> variable or section; empty: values under this code are passed over.
    units : local code of OBX-3 -> UCUM unit, where OBX-6 is missing or says less.
    """

    port: Port = 0
    host: str = "0.0.0.0"
    max_connections: Annotated[int, Field(ge=1, le=200)] = 20
    max_message_bytes: Annotated[int, Field(ge=1024, le=64 << 20)] = 4 << 20
    message_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    idle_timeout_s: Annotated[float, Field(gt=0)] = 3600.0
    charset: str = "ASCII"
    processing_ids: tuple[str, ...] = ("P",)
    senders: tuple[Hl7Sender, ...] = ()
    tls: ReceptionTls = ReceptionTls()
    codes: Mapping[str, str] = {}
    units: Mapping[str, str] = {}

    @property
    def is_on(self) -> bool:
        """Whether there is a port for it."""
        return self.port > 0


class Clinical(Section):
    """What is known of patients beside the images: from where, how near to the scan, and for how long it is kept.

    ``issuer``: of patient IDs that come without one, in images as in other sources. ``scores``: whether the reference
    scores are sent where somebody told something that they ask for, or for every bleed.
    """

    issuer: Annotated[str, Field(max_length=64)] = ""
    hours_before: Annotated[float, Field(ge=0)] = 24.0
    hours_after: Annotated[float, Field(ge=0)] = 6.0
    retention_days: Annotated[float, Field(ge=0)] = 14.0
    drop_folder: FileName = ""
    drop_every_s: Annotated[float, Field(ge=0.1)] = 2.0
    structured_reports: bool = True
    scores: Literal["told", "always"] = "told"
    amend_h: Annotated[float, Field(ge=0)] = 24.0
    amend_settle_s: Annotated[float, Field(ge=0)] = 60.0
    fhir: Fhir = Fhir()
    hl7: Hl7 = Hl7()
