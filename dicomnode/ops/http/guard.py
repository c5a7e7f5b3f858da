"""What stands before every page: a session, a form that the page itself made, a body that is small and comes soon."""

from __future__ import annotations

import asyncio
import logging
import secrets
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dicomnode.ops.http.accounts import Role
from dicomnode.ops.http.sessions import Sessions, UserSession

log = logging.getLogger(__name__)

MAX_FORM_BYTES = 8192
FORM_WITHIN_S = 10.0
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: browsers would say "null" in place of the origin of our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
HSTS = {"Strict-Transport-Security": "max-age=31536000"}


class SafeAnswers:
    """Puts the security headers (OWASP secure headers) on every answer; a bug ends in one that tells nothing."""

    def __init__(self, app: ASGIApp, *, is_tls: bool) -> None:
        self._app = app
        headers = {**HEADERS, **(HSTS if is_tls else {})}
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def send_with(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                message["headers"] = [*message.get("headers", []), *self._headers]
            await send(message)

        try:
            await self._app(scope, receive, send_with)
        except Exception as fault:
            # Neither its message nor the path that was asked for: both may hold what a log must not.
            where = traceback.extract_tb(fault.__traceback__)[-1]
            log.error("page failed", extra={"error": type(fault).__name__, "place": f"{where.name}:{where.lineno}"})
            if has_begun or scope["type"] != "http":
                raise
            await PlainTextResponse("This page failed; the log says where.\n", 500)(scope, receive, send_with)


class FormRefused(Exception):
    """A form that is none of ours: too long, too slow, without its token, or from another site."""


class NotAllowed(Exception):
    """The role of this account does not act."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of somebody who is logged in. ``form``: what was posted."""

    request: Request
    session: UserSession
    form: Mapping[str, str] = field(default_factory=dict)

    @property
    def user(self) -> str:
        """Name of the account."""
        return self.session.account.name

    @property
    def is_admin(self) -> bool:
        """Whether this account may act."""
        return self.session.account.role is Role.ADMIN

    @property
    def address(self) -> str:
        """Where the request came from."""
        return address_of(self.request)


Page = Callable[[Visit], Response]
Endpoint = Callable[[Request], Any]


def address_of(request: Request) -> str:
    """The peer's address, as the connection has it: no header is believed."""
    return request.client.host if request.client else ""


class Door:
    """Lets those in who have a session.

    Parameters
    ----------
    is_tls : the cookie then goes over TLS alone, and to this host alone.
    """

    def __init__(self, sessions: Sessions, *, is_tls: bool) -> None:
        self._sessions, self._is_tls = sessions, is_tls
        self.cookie = "__Host-dicomnode" if is_tls else "dicomnode"

    def session_of(self, request: Request, *, counts: bool = True) -> UserSession | None:
        """The session of a request; see :meth:`Sessions.find`."""
        secret = request.cookies.get(self.cookie, "")
        return self._sessions.find(secret, counts=counts) if secret else None

    def enter(self, response: Response, secret: str) -> None:
        """Give the browser its secret."""
        response.set_cookie(self.cookie, secret, path="/", secure=self._is_tls, httponly=True, samesite="strict")

    def leave(self, request: Request, response: Response) -> None:
        """End the session, and take the secret back."""
        self._sessions.end(request.cookies.get(self.cookie, ""))
        response.delete_cookie(self.cookie, path="/", secure=self._is_tls, httponly=True, samesite="strict")

    def page(self, make: Page) -> Endpoint:
        """A page for those who are logged in; all others are sent to the login."""

        def show(request: Request) -> Response:
            session = self.session_of(request, counts="refresh" not in request.query_params)
            return RedirectResponse("/login", 303) if session is None else make(Visit(request, session))

        return show

    def action(self, act: Page, *, admin: bool = True) -> Endpoint:
        """An action: a form that a page of this session made."""

        async def take(request: Request) -> Response:
            form = await posted(request)
            return await run_in_threadpool(self._act, request, form, act, admin)

        return take

    def _act(self, request: Request, form: Mapping[str, str], act: Page, admin: bool) -> Response:
        session = self.session_of(request)
        if session is None:
            return RedirectResponse("/login", 303)
        if not secrets.compare_digest(form.get("form_token", "").encode(), session.form_token.encode()):
            raise FormRefused("its token is missing or old: load the page again")
        if admin and session.account.role is not Role.ADMIN:
            raise NotAllowed
        return act(Visit(request, session, form))


async def posted(request: Request) -> dict[str, str]:
    """The fields of a small form that came from a page of this host.

    Raises
    ------
    FormRefused : it did not.
    """
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise FormRefused("it comes from another site")
    if request.headers.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
        raise FormRefused("it is no form")
    try:
        async with asyncio.timeout(FORM_WITHIN_S):
            body = await _body(request)
        return dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=20))
    except TimeoutError as fault:
        raise FormRefused("it came too slowly") from fault
    except ValueError as fault:
        raise FormRefused("it cannot be read") from fault


async def _body(request: Request) -> bytes:
    held = bytearray()
    async for chunk in request.stream():
        held += chunk
        if len(held) > MAX_FORM_BYTES:
            raise FormRefused("it is too long")
    return bytes(held)
