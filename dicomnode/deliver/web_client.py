"""The HTTP server of a destination: what keeps it from taking results, as a :class:`DeliveryError` in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from dicomnode.config.destinations import WebDestination
from dicomnode.errors import (
    AssociationRejected,
    ConfigError,
    DestinationUnavailable,
    NoConnection,
    NoCredentials,
    WebError,
)
from dicomnode.web import client
from dicomnode.web.bounded import path_of
from dicomnode.web.client import Answer, Server, retry_after
from dicomnode.web.credentials import Credentials

DICOM_JSON = "application/dicom+json"

MAX_ANSWER_BYTES = 64_000_000
"""An answer that is longer is cut off."""

_UNAVAILABLE = {
    401: "does not accept the credentials",
    403: "does not allow this to the credentials given",
    407: "a proxy wants credentials",
    408: "gave up waiting for the request",
    429: "asks for fewer requests",
    502: "cannot reach what is behind it",
    503: "is not available now",
    504: "waits in vain for what is behind it",
}
"""HTTP statuses that speak of the server as a whole, never of one instance (RFC 9110 15, RFC 6585 4)."""

_OUTCOME_UNKNOWN = frozenset({502, 504})
"""A proxy answers for a server that may have done what it was asked."""


class WebClient:
    """One kept-alive connection to the server of a destination. Use as a context manager.

    Raises
    ------
    AssociationRejected : a certificate file cannot be used.
    """

    def __init__(self, destination: WebDestination, credentials: Credentials) -> None:
        where = f"destination {destination.name}"
        server = Server(
            where=where,
            accept=DICOM_JSON,
            timeout_s=destination.timeout_s,
            max_bytes=MAX_ANSWER_BYTES,
            tls=destination.tls,
        )
        try:
            self._client = client.WebClient(server, credentials)
        except ConfigError as fault:
            raise AssociationRejected(str(fault)) from fault

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self._client.__exit__(kind, fault, at)

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: Callable[[], Iterator[bytes]] | None = None,
        timeout_s: float | None = None,
    ) -> Answer:
        """One request and its whole answer: see :meth:`dicomnode.web.client.WebClient.request`.

        Raises
        ------
        AssociationRejected : the connection was lost, or the answer did not come whole and in time.
        DestinationUnavailable : no connection, or the server answered that it takes nothing now.
        """
        try:
            answer = self._client.request(method, url, headers=headers, content=content, timeout_s=timeout_s)
        except (NoConnection, NoCredentials) as fault:
            raise DestinationUnavailable(str(fault)) from fault
        except WebError as fault:
            raise AssociationRejected(str(fault)) from fault
        _check_available(answer, url)
        return answer


def _check_available(answer: Answer, url: str) -> None:
    what = _UNAVAILABLE.get(answer.status, "")
    if 300 <= answer.status < 400:
        elsewhere = answer.headers.get("location", "nowhere")[:200]
        what = f"points to {elsewhere}; results follow no redirection, set url to it"
    if what:
        retry_after_s = retry_after(answer.headers.get("retry-after", ""), datetime.now(UTC))
        said = f"{path_of(url)}: the server {what} (HTTP {answer.status})"
        raise DestinationUnavailable(said, retry_after_s, leaves_open=answer.status in _OUTCOME_UNKNOWN)
