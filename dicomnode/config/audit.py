"""``[operations.audit]``: where the audit trail goes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from dicomnode.config.paths import FileName
from dicomnode.config.sections import Port, Section


class AuditTls(Section):
    """TLS towards the syslog server, which there is no audit without. PEM files.

    ``ca``: who signed its certificate; empty: whom the system trusts. ``server_name``: the name in its certificate,
    where that is not ``host``.
    """

    ca: FileName = ""
    cert: FileName = ""
    key: FileName = ""
    server_name: str = ""

    @model_validator(mode="after")
    def _whole(self) -> AuditTls:
        if bool(self.cert) != bool(self.key):
            raise ValueError("cert and key belong together")
        return self


class Audit(Section):
    """A syslog server (RFC 5425) that gets the audit messages; ``host`` empty: none.

    Attributes
    ----------
    enterprise_site : AuditEnterpriseSiteID of every message.
    max_waiting : messages that are kept while the server is away; further ones are lost, which is told.
    patient_data : whether messages name the patient's ID and the accession number.
    """

    host: str = ""
    port: Port = 6514
    enterprise_site: str = ""
    max_waiting: Annotated[int, Field(ge=100, le=10_000_000)] = 100_000
    patient_data: bool = False
    tls: AuditTls = AuditTls()

    @property
    def is_on(self) -> bool:
        """Whether there is an audit trail."""
        return bool(self.host)
