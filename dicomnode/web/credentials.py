"""Who the node is to a DICOMweb or FHIR server: basic, bearer, OAuth 2 client credentials (RFC 7617, 6750, 6749 4.4).

Secrets are read anew for each connection, since they are renewed while the node runs, and never appear in a message.
"""

from __future__ import annotations

import base64
import json
import os
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from dicomnode.config.destinations import WebAuth
from dicomnode.config.tls import open_to_others
from dicomnode.errors import NoCredentials
from dicomnode.web.bounded import read_body

TOKEN_MARGIN_S = 30.0
"""A token that ends this soon is renewed before it is used."""

TOKEN_LIFETIME_S = 300.0
"""Assumed where the token server does not say how long its token holds."""

TOKEN_WAIT_S = 30.0
MAX_TOKEN_BYTES = 1 << 20

# RFC 6750 2.1; anything else would end in an error of the HTTP library that quotes the header.
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")


class Credentials:
    """Makes the Authorization header; keeps an OAuth token until it expires."""

    def __init__(self, auth: WebAuth) -> None:
        self._auth = auth
        self._token = ""
        self._token_until = 0.0

    def headers(self, http: httpx.Client) -> dict[str, str]:
        """The Authorization header, or none.

        Raises
        ------
        NoCredentials : the secret cannot be read, or the token server gives no token.
        """
        if self._auth.scheme == "none":
            return {}
        if self._auth.scheme == "basic":
            return {"Authorization": basic(self._auth.user, read_secret(self._auth))}
        if self._auth.scheme == "bearer":
            return {"Authorization": f"Bearer {_checked(read_secret(self._auth), 'the bearer token')}"}
        if time.monotonic() >= self._token_until:
            self._token, lifetime_s = _fetch_token(self._auth, http)
            # A token that lives no longer than the margin would be renewed for each request.
            self._token_until = time.monotonic() + max(lifetime_s - TOKEN_MARGIN_S, lifetime_s / 2)
        return {"Authorization": f"Bearer {self._token}"}

    def forget(self) -> bool:
        """The server refused: drop a token that was fetched; whether another one can be had."""
        self._token, self._token_until = "", 0.0
        return self._auth.scheme == "oauth"


def basic(user: str, password: str) -> str:
    """Value of the header for basic authentication, in UTF-8 (RFC 7617 2.1).

    >>> basic("Aladdin", "open sesame")
    'Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=='
    """
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def read_secret(auth: WebAuth) -> str:
    """The secret from its file or environment variable, without the line end.

    Raises
    ------
    NoCredentials : it is not there, empty or open to others; the message names the place, never the value.
    """
    if auth.secret_env:
        secret, place = os.environ.get(auth.secret_env, ""), f"the environment variable {auth.secret_env}"
    else:
        place = f"the file {auth.secret_file}"
        try:
            if fault := open_to_others(Path(auth.secret_file)):
                raise NoCredentials(f"auth: {fault}")
            secret = Path(auth.secret_file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as fault:
            why = getattr(fault, "strerror", "") or "it is no UTF-8 text"
            raise NoCredentials(f"auth: the secret in {place} cannot be read: {why}") from fault
    secret = secret.strip("\r\n")
    if not secret:
        raise NoCredentials(f"auth: {place} holds no secret")
    return secret


def _checked(token: str, what: str) -> str:
    if not _TOKEN.fullmatch(token):
        # Not from the original fault: it would quote what it is about.
        raise NoCredentials(f"auth: {what} holds characters that no token has (RFC 6750 2.1)")
    return token


def _fetch_token(auth: WebAuth, http: httpx.Client) -> tuple[str, float]:
    """Access token and its lifetime in seconds."""
    # RFC 6749 2.3.1: both are form-encoded before they are joined
    identity = basic(quote(auth.client_id, safe=""), quote(read_secret(auth), safe=""))
    form = {"grant_type": "client_credentials"} | ({"scope": auth.scope} if auth.scope else {})
    headers = {"Authorization": identity, "Accept": "application/json"}
    try:
        with http.stream("POST", auth.token_url, data=form, headers=headers) as answer:
            content = read_body(answer, TOKEN_WAIT_S, MAX_TOKEN_BYTES)
    except httpx.HTTPError as fault:
        raise NoCredentials(f"the token server {auth.token_url} cannot be reached: {fault}") from fault
    if not answer.is_success:
        raise NoCredentials(f"the token server {auth.token_url} gives no token (HTTP {answer.status_code})")
    try:
        said: Any = json.loads(content)
    except (ValueError, RecursionError):
        said = None
    token = said.get("access_token") if isinstance(said, dict) else None
    if not isinstance(token, str):
        raise NoCredentials(f"the token server {auth.token_url} answered without an access_token")
    return _checked(token, "the token from the token server"), _lifetime_s(said.get("expires_in"))


def _lifetime_s(said: object) -> float:
    try:
        lifetime_s = float(said)  # type: ignore[arg-type]  # a string with some servers
    except (TypeError, ValueError):
        return TOKEN_LIFETIME_S
    return lifetime_s if lifetime_s > 0 else TOKEN_LIFETIME_S
