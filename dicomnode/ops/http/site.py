"""All addresses of the HTTP port, in one table."""

from __future__ import annotations

import hmac
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio.to_thread
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from dicomnode.environment import said_by
from dicomnode.errors import NodeError
from dicomnode.ops.http.accounts import Accounts
from dicomnode.ops.http.actions import Actions
from dicomnode.ops.http.audit import audit
from dicomnode.ops.http.board import Board
from dicomnode.ops.http.guard import Door, FormRefused, NotAllowed, SafeAnswers, Visit, address_of, posted
from dicomnode.ops.http.logins import Logins
from dicomnode.ops.http.metrics import Metrics
from dicomnode.ops.http.pages import Pages
from dicomnode.ops.http.sessions import Sessions
from dicomnode.ops.http.shown import Templates

log = logging.getLogger(__name__)

THREADS = 4
"""Requests that wait for the database at a time; the node's own threads are not theirs."""
STYLE = Path(__file__).parent / "templates" / "style.css"
TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"


class Site:
    """The probes, the metrics and the pages of one node.

    Parameters
    ----------
    token : that whoever asks for the metrics must show; empty: nobody must, where only this machine reaches the port.
    """

    def __init__(self, board: Board, metrics: Metrics, accounts: Accounts, token: str) -> None:
        operations = board.config.operations
        self._board, self._metrics, self._token = board, metrics, token
        self._is_open = operations.is_loopback
        sessions = Sessions(accounts)
        self._accounts, self._logins = accounts, Logins(accounts, sessions)
        self._door = Door(sessions, is_tls=bool(operations.tls.cert))
        self._templates = Templates(lambda: board.config.node)
        self._pages = Pages(board, self._templates)
        self._actions = Actions(board)

    def app(self) -> Starlette:
        """As an ASGI application."""
        is_tls = bool(self._board.config.operations.tls.cert)
        return Starlette(
            routes=self._routes(),
            middleware=[Middleware(SafeAnswers, is_tls=is_tls)],
            lifespan=_few_threads,
            exception_handlers={
                FormRefused: self._refused,
                NotAllowed: self._not_allowed,
                HTTPException: self._http_fault,
                SQLAlchemyError: self._database_away,
                NodeError: self._fault,
            },
        )

    def _routes(self) -> list[Route]:
        door, pages = self._door, self._pages
        return [
            Route("/live", self._live),
            Route("/ready", self._ready),
            Route("/metrics", self._scrape),
            Route("/style.css", lambda _: FileResponse(STYLE, media_type="text/css")),
            Route("/favicon.ico", lambda _: Response(status_code=204)),
            Route("/login", self._login_page),
            Route("/login", self._login, methods=["POST"]),
            Route("/logout", door.action(self._logout, admin=False), methods=["POST"]),
            Route("/", door.page(pages.overview)),
            Route("/studies", door.page(pages.studies)),
            Route("/studies/{study_uid}", door.page(pages.study)),
            Route("/refusals", door.page(pages.refusals)),
            Route("/models", door.page(pages.models)),
            Route("/drift", door.page(pages.drift)),
            Route("/pictures/{result_id:int}.png", door.page(pages.picture)),
            Route("/alarms/{alarm_id:int}/acknowledge", door.action(self._actions.on_alarm), methods=["POST"]),
            Route("/queue/{did}", door.action(self._actions.on_queue), methods=["POST"]),
            Route("/destinations/{name}/{did}", door.action(self._actions.on_destination), methods=["POST"]),
            Route("/jobs/{job_id:int}/{did}", door.action(self._actions.on_job), methods=["POST"]),
        ]

    async def _live(self, _request: Request) -> Response:
        failed = self._board.state_of().has_failed
        return PlainTextResponse("a part of the node died\n" if failed else "live\n", 503 if failed else 200)

    def _ready(self, _request: Request) -> Response:
        checks = self._board.readiness.checks(self._board.state_of())
        is_ready = all(check.ok for check in checks)
        told = [{"check": check.what, "ok": check.ok, "says": check.says} for check in checks]
        return JSONResponse({"ready": is_ready, "checks": told}, 200 if is_ready else 503)

    def _scrape(self, request: Request) -> Response:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        may = hmac.compare_digest(given.encode(), self._token.encode()) if self._token else self._is_open
        if not may and self._door.session_of(request) is None:
            return PlainTextResponse("the token is missing\n", 401, {"WWW-Authenticate": "Bearer"})
        return Response(self._metrics.text(), media_type=TEXT_FORMAT)

    def _login_page(self, _request: Request) -> Response:
        return self._templates.page("login.html", fault="", has_accounts=bool(self._accounts.all()))

    async def _login(self, request: Request) -> Response:
        form = await posted(request)
        return await anyio.to_thread.run_sync(self._try_login, request, form)

    def _try_login(self, request: Request, form: dict[str, str]) -> Response:
        name, password = form.get("name", "")[:64], form.get("password", "")
        tried = self._logins.login(name, password, address_of(request))
        if tried.secret:
            # A session of before, whoever began it, ends here.
            response: Response = RedirectResponse("/", 303)
            self._door.leave(request, Response())
            self._door.enter(response, tried.secret)
            return response
        fault = "Name and password do not belong together."
        if tried.wait_s:
            fault = f"Too many failures: try again in {tried.wait_s / 60:.0f} minutes."
        status = 429 if tried.wait_s else 401
        response = self._templates.page("login.html", status=status, fault=fault, has_accounts=True)
        if tried.wait_s:
            response.headers["Retry-After"] = f"{tried.wait_s:.0f}"
        return response

    def _logout(self, visit: Visit) -> Response:
        response = RedirectResponse("/login", 303)
        self._door.leave(visit.request, response)
        audit("logout", visit.user, visit.address, outcome="ok")
        return response

    def _refused(self, _request: Request, fault: Exception) -> Response:
        return self._sentence(403, f"This form was refused: {fault}.")

    def _not_allowed(self, _request: Request, _fault: Exception) -> Response:
        return self._sentence(403, "This account may look, and not act.")

    def _http_fault(self, _request: Request, fault: Exception) -> Response:
        assert isinstance(fault, HTTPException)
        return self._sentence(fault.status_code, fault.detail)

    def _database_away(self, _request: Request, fault: Exception) -> Response:
        log.warning("page has no database", extra={"action": "environment", "error": said_by(fault)})
        return self._sentence(503, "The database cannot be used now.")

    def _fault(self, _request: Request, fault: Exception) -> Response:
        log.error("page failed", extra={"error": type(fault).__name__})
        return self._sentence(500, str(fault))

    def _sentence(self, status: int, says: str) -> Response:
        return self._templates.page("sentence.html", status=status, says=says)


@asynccontextmanager
async def _few_threads(_app: Any) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    yield
