"""HTTP requests to a DICOMweb or FHIR server: time limits on every wait, bounded answers.

Foreign errors end here: whatever httpx does comes out as a :class:`~dicomnode.errors.WebError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self

import httpx

from dicomnode.config.destinations import WebTls
from dicomnode.config.tls import web_context
from dicomnode.dicom.uids import IMPLEMENTATION_VERSION_NAME
from dicomnode.errors import NoConnection, NoWholeAnswer
from dicomnode.web.bounded import path_of, read_body
from dicomnode.web.credentials import Credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server as its section of the configuration describes it.

    Attributes
    ----------
    where : names the section in messages, such as ``destination cloud``.
    accept : media type of its answers.
    timeout_s : of each wait, and of each answer as a whole.
    max_bytes : of an answer; no server can fill the node's memory.
    """

    where: str
    accept: str
    timeout_s: float
    max_bytes: int
    tls: WebTls


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class WebClient:
    """One kept-alive connection to a server. Use as a context manager.

    Environment variables and ``.netrc`` steer nothing, and no redirection is followed: where patient data and secrets
    go is said by the configuration alone.

    Raises
    ------
    ConfigError : a certificate file cannot be used.
    """

    def __init__(self, server: Server, credentials: Credentials) -> None:
        self._server = server
        self._credentials = credentials
        context = web_context(server.tls, server.where)
        self._http = httpx.Client(verify=context, trust_env=False, timeout=server.timeout_s, follow_redirects=False)
        self._http.headers["User-Agent"] = IMPLEMENTATION_VERSION_NAME
        self._http.headers["Accept"] = server.accept
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
        timeout_s : how long the answer is waited for; ``timeout_s`` of the server unless told.

        Raises
        ------
        WebError : there is none, and why.
        """
        limit_s = self._server.timeout_s if timeout_s is None else timeout_s
        answer = self._once(method, url, headers or {}, content, limit_s)
        if answer.status == 401 and self._credentials.forget():
            answer = self._once(method, url, headers or {}, content, limit_s)
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
        timeout = httpx.Timeout(min(self._server.timeout_s, limit_s), read=limit_s)
        body = None if content is None else content()
        try:
            with self._http.stream(method, url, headers=all_headers, content=body, timeout=timeout) as response:
                held = read_body(response, limit_s, self._server.max_bytes)
                return Answer(response.status_code, dict(response.headers), held)
        except (httpx.ConnectError, httpx.ConnectTimeout) as fault:
            late = isinstance(fault, httpx.ConnectTimeout)
            why = f" within {self._server.timeout_s:g} s" if late else f": {fault}"
            raise NoConnection(f"{path_of(url)}: no connection{why}") from fault
        except httpx.HTTPError as fault:
            raise NoWholeAnswer(f"{path_of(url)}: {_why_not(fault, limit_s)}") from fault
        except httpx.InvalidURL as fault:
            raise NoWholeAnswer(f"{path_of(url)}: this is no URL") from fault


def _why_not(fault: httpx.HTTPError, limit_s: float) -> str:
    if isinstance(fault, httpx.TimeoutException):
        return f"no whole answer within {limit_s:g} s"
    if isinstance(fault, httpx.RemoteProtocolError):
        return "the connection was lost before the answer was whole, or this is no HTTP port"
    # Its message may quote a header, hence a secret.
    return f"the connection was lost ({type(fault).__name__})"


def retry_after(value: str, now: datetime) -> float:
    """Seconds that a Retry-After header asks for (RFC 9110 10.2.3); 0 where there is none, or none to be understood.

    >>> from datetime import UTC
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
