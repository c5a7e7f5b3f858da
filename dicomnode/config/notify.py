"""``[operations.notify]``: whom the node tells that it does not work, or that it found something urgent."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dicomnode.config.destinations import DestinationTls, OptionalUrl, WebAuth, WebTls
from dicomnode.config.paths import FileName
from dicomnode.config.sections import Port, Seconds, Section

HierarchicDesignator = Annotated[str, Field(max_length=180, pattern=r"^[^|~\\\x00-\x1f]*$")]
Hour = Annotated[int, Field(ge=0, le=24)]


class Webhook(Section):
    """A server that gets each message as JSON by POST; ``url`` empty: none."""

    url: OptionalUrl = ""
    auth: WebAuth = WebAuth()
    tls: WebTls = WebTls()


class Mail(Section):
    """A mail server (SMTP) that gets each message; ``host`` empty: none.

    ``security``: TLS after STARTTLS, TLS from the beginning, or none. ``password_file``: of ``user``.
    """

    host: str = ""
    port: Port = 25
    security: Literal["starttls", "tls", "none"] = "starttls"
    ca: FileName = ""
    user: str = ""
    password_file: FileName = ""
    sender: str = ""
    recipients: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _whole(self) -> Mail:
        if self.host and not (self.sender and self.recipients):
            raise ValueError("sender and recipients are missing")
        if bool(self.user) != bool(self.password_file):
            raise ValueError("user and password_file belong together")
        if self.user and self.security == "none":
            raise ValueError("the password would travel in the clear: security = 'starttls' or 'tls'")
        return self


class Hl7Receiver(Section):
    """A system that gets each urgent finding as HL7 v2 ORU^R01 over MLLP; ``host`` empty: none.

    ``sending_application`` to ``receiving_facility``: MSH-3 to MSH-6. ``processing_id``: MSH-11, P is production, T
    training, D debugging. ``timeout_s``: for connecting, and for the acknowledgement.
    """

    host: str = ""
    port: Port = 2575
    sending_application: HierarchicDesignator = "DICOMNODE"
    sending_facility: HierarchicDesignator = ""
    receiving_application: HierarchicDesignator = ""
    receiving_facility: HierarchicDesignator = ""
    processing_id: Literal["P", "T", "D"] = "P"
    timeout_s: Annotated[float, Field(ge=1, le=120)] = 20.0
    tls: DestinationTls = DestinationTls()


class Notify(Section):
    """Messages to people, and reports of urgent findings to a system.

    Attributes
    ----------
    after_s : a fault is told when it has lasted this long, and its end when it has been gone this long.
    stat_wait_s : a stat job that waits longer for a worker is a fault; 0: none is.
    silence_h : no image for so long, between ``silence_from`` and ``silence_to`` (hours of the node's zone), is a
        fault; 0: none is.
    urgent_ml, urgent_probability : a finding of at least this volume, or of an exam at least as probable, is told; 0:
        none is.
    urgent_scores : by the name of a score, such as ``deterioration``: from which value on, in its unit, it is told.
    patient_data : whether messages may name the accession number, and reports by HL7 the ID of the patient; a name
        is in none.
    """

    webhook: Webhook = Webhook()
    mail: Mail = Mail()
    hl7: Hl7Receiver = Hl7Receiver()
    after_s: Seconds = 120.0
    stat_wait_s: Seconds = 900.0
    silence_h: Annotated[float, Field(ge=0)] = 0.0
    silence_from: Hour = 7
    silence_to: Hour = 19
    urgent_ml: Annotated[float, Field(ge=0)] = 0.0
    urgent_probability: Annotated[float, Field(ge=0, le=1)] = 0.0
    urgent_scores: dict[str, float] = Field(default_factory=dict)
    patient_data: bool = False

    @property
    def knows_urgent(self) -> bool:
        """Whether any finding may be urgent."""
        return bool(self.urgent_ml or self.urgent_probability or self.urgent_scores)

    @model_validator(mode="after")
    def _reports_are_about_somebody(self) -> Notify:
        if self.hl7.host and not self.patient_data:
            raise ValueError("hl7: a report without a patient is of no use to anybody: it needs patient_data = true")
        if self.hl7.host and not self.knows_urgent:
            raise ValueError("hl7: no finding is ever urgent: it needs urgent_ml, urgent_probability or urgent_scores")
        return self
