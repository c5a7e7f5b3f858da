"""HTTP requests to a DICOMweb server: time limits on every wait, and the reason in words where there is no answer.

Foreign errors end here: whatever httpx or a server does comes out as a :class:`DeliveryError`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self

import httpx

from dicomnode.config.destinations import WebDestination
from dicomnode.config.tls import web_context
from dicomnode.deliver.web_auth import Credentials
from dicomnode.dicom.uids import IMPLEMENTATION_VERSION_NAME
from dicomnode.errors import AssociationRejected, ConfigError, DestinationUnavailable

DICOM_JSON = "application/dicom+json"

MAX_ANSWER_BYTES = 64_000_000
"""An answer that is longer is cut off: a server cannot fill the node's memory."""

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


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class WebClient:
    """One kept-alive connection to the server of a destination. Use as a context manager.

    Environment variables and ``.netrc`` steer nothing: where patient data go is said by the configuration alone.

    Raises
    ------
    AssociationRejected : a certificate file cannot be used.
    """

    def __init__(self, destination: WebDestination, credentials: Credentials) -> None:
        self._destination = destination
        self._credentials = credentials
        try:
            context = web_context(destination.tls, destination.name)
        except ConfigError as fault:
            raise AssociationRejected(str(fault)) from fault
        self._http = httpx.Client(verify=context, trust_env=False, timeout=destination.timeout_s)
        self._http.headers["User-Agent"] = IMPLEMENTATION_VERSION_NAME
        self._http.headers["Accept"] = DICOM_JSON
        # No server may make the node unpack a small answer into a large one.
        self._http.headers["Accept-Encoding"] = "identity"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: Callable[[], Iterator[bytes]] | None = None,
        timeout_s: float | None = None,
    ) -> Answer:
        """One request and its whole answer; where a fetched token was refused, once more with a fresh one.

        Parameters
        ----------
        content : makes the body, anew for each try.
        timeout_s : how long the answer is waited for; ``timeout_s`` of the destination unless told.

        Raises
        ------
        AssociationRejected : the connection was lost, or the answer did not come whole and in time.
        DestinationUnavailable : no connection, or the server answered that it takes nothing now.
        """
        limit_s = self._destination.timeout_s if timeout_s is None else timeout_s
        answer = self._once(method, url, headers or {}, content, limit_s)
        if answer.status == 401 and self._credentials.forget():
            answer = self._once(method, url, headers or {}, content, limit_s)
        _check_available(answer, url)
        return answer

    def _once(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: Callable[[], Iterator[bytes]] | None,
        limit_s: float,
    ) -> Answer:
        all_headers = {**headers, **self._credentials.headers(self._http)}
        timeout = httpx.Timeout(self._destination.timeout_s, read=limit_s)
        body = None if content is None else content()
        try:
            with self._http.stream(method, url, headers=all_headers, content=body, timeout=timeout) as response:
                held = _read(response, limit_s)
                return Answer(response.status_code, dict(response.headers), held)
        except (httpx.ConnectError, httpx.ConnectTimeout) as fault:
            late = isinstance(fault, httpx.ConnectTimeout)
            why = f" within {self._destination.timeout_s:g} s" if late else f": {fault}"
            raise DestinationUnavailable(f"{_path(url)}: no connection{why}") from fault
        except httpx.HTTPError as fault:
            raise AssociationRejected(f"{_path(url)}: {_why_not(fault, limit_s)}") from fault


def _path(url: str) -> str:
    """The path of a URL without its query, so that one fault has one message."""
    return url.partition("?")[0]


def _read(response: httpx.Response, limit_s: float) -> bytes:
    """The body; a limit of httpx holds for each read, so that one byte now and then would hold the thread for ever."""
    deadline, held = time.monotonic() + limit_s, bytearray()
    for chunk in response.iter_raw():
        held += chunk
        if len(held) > MAX_ANSWER_BYTES:
            raise httpx.ReadError("the answer is too long")
        if time.monotonic() > deadline:
            raise httpx.ReadTimeout("the answer came too slowly")
    return bytes(held)


def _why_not(fault: httpx.HTTPError, limit_s: float) -> str:
    if isinstance(fault, httpx.TimeoutException):
        return f"no whole answer within {limit_s:g} s"
    if isinstance(fault, httpx.RemoteProtocolError):
        return "the connection was lost before the answer was whole, or this is no HTTP port"
    # Its message may quote a header, hence a secret.
    return f"the connection was lost ({type(fault).__name__})"


def _check_available(answer: Answer, url: str) -> None:
    what = _UNAVAILABLE.get(answer.status, "")
    if 300 <= answer.status < 400:
        elsewhere = answer.headers.get("location", "nowhere")[:200]
        what = f"points to {elsewhere}; results follow no redirection, set url to it"
    if what:
        retry_after_s = retry_after(answer.headers.get("retry-after", ""), datetime.now(UTC))
        said = f"{_path(url)}: the server {what} (HTTP {answer.status})"
        raise DestinationUnavailable(said, retry_after_s, leaves_open=answer.status in _OUTCOME_UNKNOWN)


def retry_after(value: str, now: datetime) -> float:
    """Seconds that a Retry-After header asks for (RFC 9110 10.2.3); 0 where there is none, or none to be understood.

    >>> retry_after("120", datetime(2026, 1, 1, tzinfo=UTC))
    120.0
    >>> retry_after("Thu, 01 Jan 2026 00:01:30 GMT", datetime(2026, 1, 1, tzinfo=UTC))
    90.0
    >>> retry_after("soon", datetime(2026, 1, 1, tzinfo=UTC))
    0.0
    """
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return 0.0
