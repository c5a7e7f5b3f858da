"""``[operations]``: logs, retention, and the HTTP port of those who run the node."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import Field, model_validator

from dicomnode.config.audit import Audit
from dicomnode.config.notify import Notify
from dicomnode.config.paths import FileName
from dicomnode.config.sections import Port, Section


class HttpTls(Section):
    """TLS of the HTTP port; without a certificate it speaks plain HTTP. PEM files."""

    cert: FileName = ""
    key: FileName = ""

    @model_validator(mode="after")
    def _whole(self) -> HttpTls:
        if bool(self.cert) != bool(self.key):
            raise ValueError("cert and key belong together")
        return self


class Operations(Section):
    """Logs, retention, and the HTTP port: probes, metrics and the status page. ``port`` 0: there is none.

    ``retention_days``: of received images, ``results_retention_days``: of findings and encoded results, after their
    job; ``pictures_retention_days``: of overview pictures, for the status page; ``history_retention_days``: of rows
    and events, 0: for ever.

    ``metrics_token_file``: whoever asks for the metrics shows the token that this file holds; empty: nobody has to.
    """

    log_format: Literal["json", "text"] = "json"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    retention_days: Annotated[float, Field(ge=0)] = 14.0
    unused_retention_h: Annotated[float, Field(ge=0)] = 24.0
    results_retention_days: Annotated[float, Field(ge=0)] = 14.0
    pictures_retention_days: Annotated[float, Field(ge=0)] = 14.0
    history_retention_days: Annotated[float, Field(ge=0)] = 0.0
    host: str = "127.0.0.1"
    port: Port = 0
    tls: HttpTls = HttpTls()
    metrics_token_file: FileName = ""
    notify: Notify = Notify()
    audit: Audit = Audit()

    @model_validator(mode="after")
    def _history_outlasts_files(self) -> Operations:
        longest = max(self.retention_days, self.results_retention_days, self.pictures_retention_days)
        if 0 < self.history_retention_days < longest:
            raise ValueError(
                f"history_retention_days {self.history_retention_days:g}: rows must outlast the files that they are "
                f"about ({longest:g} days); 0 keeps them for ever"
            )
        return self

    @model_validator(mode="after")
    def _is_closed_to_the_network(self) -> Operations:
        if self.port and not self.is_loopback and not self.tls.cert:
            raise ValueError(
                f"host {self.host} is reached from other machines: passwords and patient data would travel in the "
                "clear; give tls (cert, key), or host 127.0.0.1"
            )
        return self

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches the HTTP port."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def has_http(self) -> bool:
        """Whether there is an HTTP port."""
        return self.port > 0
