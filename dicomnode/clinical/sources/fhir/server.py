"""Searches at a FHIR R4 server, within bounds: pages, bytes, seconds, and one origin.

What went wrong is a coded outcome. No message has a URL: a query names the patient.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Self
from urllib.parse import SplitResult, urlencode, urljoin, urlsplit

from dicomnode.clinical.sources.fhir.shapes import Json, part, parts, words
from dicomnode.config.clinical import Fhir
from dicomnode.errors import AnswerTooLong, FhirError, FhirOutcome, NoCredentials, WebError
from dicomnode.web.client import Answer, Server, WebClient, retry_after
from dicomnode.web.credentials import Credentials

FHIR_JSON = "application/fhir+json"
MAX_NEXT = 8192
"""Characters of a link to a next page."""
_PORTS = {"http": 80, "https": 443}
_PASSING_ISSUES = frozenset({"transient", "lock-error", "no-store", "exception", "timeout", "incomplete", "throttled"})
"""Codes of an issue that may be over soon (FHIR R4, value set issue-type)."""
_STATUSES = {
    **dict.fromkeys((401, 403, 407), FhirOutcome.NOT_ALLOWED),
    **dict.fromkeys((408, 425, 500, 502, 503, 504), FhirOutcome.NOT_REACHED),
    429: FhirOutcome.BUSY,
}

Parameters = Sequence[tuple[str, str]]
"""Of a search: names and values; a name that comes twice asks for both."""


@dataclass(slots=True)
class Bounds:
    """What is left of a question's time and pages.

    Attributes
    ----------
    is_stopping : whether the node is to stop: then no further request is made.
    is_cut : more pages were offered than there was room for.
    """

    pages: int
    until: float
    is_stopping: Callable[[], bool]
    is_cut: bool = False

    def left_s(self) -> float:
        """Seconds that are left.

        Raises
        ------
        FhirError : none are.
        """
        left = self.until - time.monotonic()
        if left <= 0 or self.is_stopping():
            raise FhirError(FhirOutcome.TOO_SLOW)
        return left


@dataclass(slots=True)
class FhirServer:
    """One connection to the server of a configuration. Use as a context manager.

    Raises
    ------
    ConfigError : a certificate file cannot be used.
    """

    fhir: Fhir
    credentials: Credentials
    is_stopping: Callable[[], bool] = lambda: False
    bounds: Bounds = field(init=False)
    _client: WebClient = field(init=False)

    def __post_init__(self) -> None:
        fhir = self.fhir
        server = Server(
            where="clinical.fhir",
            accept=FHIR_JSON,
            timeout_s=fhir.timeout_s,
            max_bytes=int(fhir.max_mb * 1e6),
            tls=fhir.tls,
        )
        self._client = WebClient(server, self.credentials)
        self.bounds = Bounds(fhir.max_pages, time.monotonic() + fhir.budget_s, self.is_stopping)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self._client.__exit__(kind, fault, at)

    def capability(self) -> Json:
        """The CapabilityStatement.

        Raises
        ------
        FhirError : there is none.
        """
        return self._json(f"{self.fhir.base_url}/metadata", "CapabilityStatement")

    def search(self, kind: str, parameters: Parameters) -> Iterator[Json]:
        """The resources of one kind that match, page by page.

        Raises
        ------
        FhirError : the server does not give them.
        """
        asked = urlencode([*parameters, ("_count", self.fhir.page_size)])
        url, seen = f"{self.fhir.base_url}/{kind}?{asked}", set[str]()
        while url:
            if self.bounds.pages <= 0 or url in seen:
                self.bounds.is_cut = True
                return
            seen.add(url)
            self.bounds.pages -= 1
            bundle = self._json(url, "Bundle")
            yield from _matches(bundle, kind)
            url = self._next(bundle, url)

    def _next(self, bundle: Json, url: str) -> str:
        """The URL of the next page; empty where this one is the last.

        Raises
        ------
        FhirError : it lies at another origin, where the token must not go.
        """
        links = (words(link, "url", MAX_NEXT) for link in parts(bundle, "link") if words(link, "relation") == "next")
        link = next(links, "")
        if not link:
            return ""
        try:
            following = urljoin(url, link)
            is_here = _origin(urlsplit(following)) == _origin(urlsplit(self.fhir.base_url))
        except ValueError as fault:
            raise FhirError(FhirOutcome.BAD_ANSWER, "link") from fault
        if not is_here:
            raise FhirError(FhirOutcome.OTHER_ORIGIN)
        return following

    def _json(self, url: str, kind: str) -> Json:
        answer = self._asked(url)
        resource = _object(answer.content)
        _require_success(answer, resource)
        if words(resource, "resourceType") != kind:
            raise _refusal(FhirOutcome.BAD_ANSWER, answer, resource)
        return resource

    def _asked(self, url: str) -> Answer:
        limit_s = min(self.fhir.timeout_s, self.bounds.left_s())
        try:
            return self._client.request("GET", url, timeout_s=limit_s)
        except AnswerTooLong as fault:
            raise FhirError(FhirOutcome.TOO_LONG) from fault
        except NoCredentials as fault:
            raise FhirError(FhirOutcome.NO_CREDENTIALS, str(fault)) from fault
        except WebError as fault:
            raise FhirError(FhirOutcome.NOT_REACHED, type(fault).__name__) from fault


def _origin(url: SplitResult) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port or _PORTS.get(url.scheme)


def _object(content: bytes) -> Json:
    """A JSON object; empty where it is none."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _require_success(answer: Answer, resource: Json) -> None:
    if answer.status == 200:
        return
    outcome = _STATUSES.get(answer.status, FhirOutcome.REFUSED)
    if 300 <= answer.status < 400:
        outcome = FhirOutcome.REDIRECTED
    raise _refusal(outcome, answer, resource)


def _refusal(outcome: FhirOutcome, answer: Answer, resource: Json) -> FhirError:
    """The error for an answer, with what its OperationOutcome says: codes only, its texts may name anybody."""
    issues = parts(resource, "issue") if words(resource, "resourceType") == "OperationOutcome" else []
    said = sorted({words(issue, "code", 32) for issue in issues} - {""})
    if outcome in (FhirOutcome.REFUSED, FhirOutcome.BAD_ANSWER) and _PASSING_ISSUES & set(said):
        outcome = FhirOutcome.NOT_REACHED
    wait_s = retry_after(answer.headers.get("retry-after", ""), datetime.now(UTC))
    return FhirError(outcome, " ".join([f"HTTP {answer.status}", *(one for one in said if one.isascii())]), wait_s)


def _matches(bundle: Json, kind: str) -> Iterator[Json]:
    for entry in parts(bundle, "entry"):
        resource = part(entry, "resource")
        is_match = words(part(entry, "search"), "mode") in ("", "match")
        if is_match and words(resource, "resourceType") == kind:
            yield resource


def supported_version(capability: Json) -> str:
    """``4.0.1``; empty where the statement names none."""
    return words(capability, "fhirVersion", 32)


def kinds_offered(capability: Json) -> set[str]:
    """The kinds of resources that a server says it has."""
    return {words(one, "type") for rest in parts(capability, "rest") for one in parts(rest, "resource")} - {""}
