"""The ways a message goes: JSON by POST to a webhook, and mail by SMTP (RFC 5321, 3207, 8314)."""

from __future__ import annotations

import json
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Protocol

from dicomnode.config.destinations import WebTls
from dicomnode.config.notify import Mail, Notify, Webhook
from dicomnode.config.tls import open_to_others, web_context
from dicomnode.errors import ConfigError, NotifyError, WebError
from dicomnode.web.client import Server, WebClient
from dicomnode.web.credentials import Credentials

TIMEOUT_S = 20.0
MAX_ANSWER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What people are told. ``event``: ``start``, ``end`` or ``finding``; ``since_at``: ISO 8601, UTC."""

    node: str
    event: str
    what: str
    says: str
    since_at: str

    @property
    def subject(self) -> str:
        """One line."""
        begins = {"start": "FAULT", "end": "over", "finding": "URGENT FINDING"}[self.event]
        return " ".join(f"{self.node}: {begins}: {self.what}".split())


def moment(at: float) -> str:
    """Seconds since the epoch as ISO 8601."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


class Channel(Protocol):
    """One way."""

    name: str

    def send(self, message: Message) -> None:
        """Send a message.

        Raises
        ------
        NotifyError : it did not arrive; it is to be tried again.
        """


class WebhookChannel:
    """A server that takes JSON."""

    name = "webhook"

    def __init__(self, webhook: Webhook) -> None:
        self._webhook = webhook

    def send(self, message: Message) -> None:
        """POST it; any status below 300 is an arrival.

        Raises
        ------
        NotifyError : the server cannot be reached, or refuses it.
        """
        where = "operations.notify.webhook"
        server = Server(
            where=where,
            accept="*/*",
            timeout_s=TIMEOUT_S,
            max_bytes=MAX_ANSWER_BYTES,
            tls=self._webhook.tls,
        )
        body = json.dumps({"schema_version": 1, **asdict(message)}).encode()
        try:
            with WebClient(server, Credentials(self._webhook.auth)) as client:
                # Given, lest it goes in chunks, which many small servers do not read.
                headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
                answer = client.request("POST", self._webhook.url, headers=headers, content=lambda: iter([body]))
        except (WebError, ConfigError) as fault:
            raise NotifyError(f"webhook: {fault}") from fault
        if answer.status >= 300:
            raise NotifyError(f"webhook: the server answers {answer.status}")


class MailChannel:
    """A mail server."""

    name = "mail"

    def __init__(self, mail: Mail) -> None:
        self._mail = mail

    def send(self, message: Message) -> None:
        """Hand it to the mail server, for all recipients at once.

        Raises
        ------
        NotifyError : the server cannot be reached, or refuses it or any of its recipients.
        """
        mail = EmailMessage()
        mail["Subject"], mail["From"] = message.subject, self._mail.sender
        mail["To"] = ", ".join(self._mail.recipients)
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(f"{message.what}\n{message.says}\n\n{message.event} since {message.since_at}\n")
        try:
            with self._connected() as server:
                refused = server.send_message(mail)
        except (OSError, smtplib.SMTPException, ConfigError) as fault:
            code = getattr(fault, "smtp_code", "")
            raise NotifyError(f"mail: {self._mail.host}: {type(fault).__name__} {code}".rstrip()) from fault
        if refused:
            raise NotifyError(f"mail: {len(refused)} recipients were refused")

    @contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        mail = self._mail
        context: ssl.SSLContext = web_context(WebTls(ca=mail.ca), "operations.notify.mail")
        if mail.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(mail.host, mail.port, timeout=TIMEOUT_S, context=context)
        else:
            server = smtplib.SMTP(mail.host, mail.port, timeout=TIMEOUT_S)
        with server:
            if mail.security == "starttls":
                server.starttls(context=context)
            if mail.user:
                server.login(mail.user, _password(mail.password_file))
            yield server


def _password(path: str) -> str:
    if fault := open_to_others(Path(path)):
        raise ConfigError([f"operations.notify.mail: {fault}"])
    return Path(path).read_text(encoding="utf-8").strip("\r\n")


def channels_of(notify: Notify) -> list[Channel]:
    """The ways that are configured."""
    ways: list[Channel] = [WebhookChannel(notify.webhook)] if notify.webhook.url else []
    return [*ways, *([MailChannel(notify.mail)] if notify.mail.host else [])]
