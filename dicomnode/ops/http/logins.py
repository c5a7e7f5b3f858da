"""Logging in: passwords are verified at a rate that no guessing gets anywhere with, and every login is told."""

from __future__ import annotations

from dataclasses import dataclass

from dicomnode.ops.http.accounts import Accounts
from dicomnode.ops.http.audit import audit
from dicomnode.ops.http.sessions import Sessions, Throttle

WINDOW_S = 15 * 60.0
BY_NAME_AND_ADDRESS, BY_ADDRESS, BY_NAME = 5, 20, 50
"""Failures within the window after which no more are tried. By name alone last: nobody is locked out by others soon."""


@dataclass(frozen=True, slots=True)
class LoginTried:
    """What came of it. ``secret``: of the new session; ``wait_s``: how long nothing is tried any more."""

    secret: str = ""
    wait_s: float = 0.0


class Logins:
    """The door of the status page."""

    def __init__(self, accounts: Accounts, sessions: Sessions) -> None:
        self._accounts, self._sessions = accounts, sessions
        self._limits = [Throttle(most, WINDOW_S) for most in (BY_NAME_AND_ADDRESS, BY_ADDRESS, BY_NAME)]

    def login(self, name: str, password: str, address: str) -> LoginTried:
        """Begin a session, where name and password belong together.

        Raises
        ------
        ConfigError : the file of accounts is damaged.
        """
        keys = list(zip(self._limits, (f"{name}@{address}", address, name), strict=True))
        # What is typed for a name may be a password: only one that is an account is told.
        told = name if name in self._accounts.all() else "unknown"
        wait_s = max(limit.wait_s(key) for limit, key in keys)
        if wait_s > 0:
            audit("login", told, address, outcome="too many failures")
            return LoginTried(wait_s=wait_s)
        account = self._accounts.verified(name, password)
        if account is None:
            for limit, key in keys:
                limit.failed(key)
            audit("login", told, address, outcome="refused")
            return LoginTried()
        self._limits[0].forget(f"{name}@{address}")
        audit("login", account.name, address, outcome="ok")
        return LoginTried(secret=self._sessions.begin(account))
