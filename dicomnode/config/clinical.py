"""``[clinical]``: what is known of patients beside the images, from where, and who may tell it."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, field_validator

from dicomnode.config.paths import FileName
from dicomnode.config.sections import Port, ReceptionTls, Section


class Hl7Sender(Section):
    """Who may send HL7 messages; all that is given must hold.

    ``host``: an address or a network in CIDR notation. ``application``, ``facility``: MSH-3 and MSH-4, their first
    component. ``certificate``: common name or an alternative name of the TLS certificate. Empty: any.
    """

    host: str = ""
    application: str = ""
    facility: str = ""
    certificate: str = ""

    @field_validator("host")
    @classmethod
    def _address_or_network(cls, value: str) -> str:
        if value:
            try:
                ipaddress.ip_network(value, strict=False)
            except ValueError as fault:
                raise ValueError(f"{value!r} is neither an IP address nor a network such as 10.1.2.0/24") from fault
        return value


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

    ``issuer``: of patient IDs that come without one, in images as in other sources.
    """

    issuer: Annotated[str, Field(max_length=64)] = ""
    hours_before: Annotated[float, Field(ge=0)] = 24.0
    hours_after: Annotated[float, Field(ge=0)] = 6.0
    retention_days: Annotated[float, Field(ge=0)] = 14.0
    drop_folder: FileName = ""
    drop_every_s: Annotated[float, Field(ge=0.1)] = 2.0
    structured_reports: bool = True
    amend_h: Annotated[float, Field(ge=0)] = 24.0
    amend_settle_s: Annotated[float, Field(ge=0)] = 60.0
    hl7: Hl7 = Hl7()
