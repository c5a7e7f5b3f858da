"""Sessions of the status page, and how many logins may fail. In memory: a restart logs everybody out."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from dicomnode.ops.http.accounts import Account, Accounts

IDLE_S = 30 * 60.0
LONGEST_S = 12 * 3600.0
MAX_SESSIONS = 200
MAX_KEYS = 10_000
"""Addresses and names whose failures are remembered."""

Clock = Callable[[], float]


@dataclass(slots=True)
class UserSession:
    """One login. ``form_token``: what every form of this session carries; ``said``: told once, on the next page."""

    account: Account
    began: float
    seen: float
    form_token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    said: str = ""


class Sessions:
    """Sessions by the secret that the browser keeps; what is kept here is its digest. For any number of threads."""

    def __init__(self, accounts: Accounts, *, clock: Clock = time.monotonic) -> None:
        self._accounts, self._clock = accounts, clock
        self._lock = threading.Lock()
        self._open: dict[str, UserSession] = {}

    def begin(self, account: Account) -> str:
        """A new session, with a secret that nobody has seen before: none is taken over from before the login."""
        secret, now = secrets.token_urlsafe(32), self._clock()
        with self._lock:
            self._drop_old(now)
            while len(self._open) >= MAX_SESSIONS:
                del self._open[min(self._open, key=lambda key: self._open[key].seen)]
            self._open[_digest(secret)] = UserSession(account, now, now)
        return secret

    def find(self, secret: str, *, counts: bool = True) -> UserSession | None:
        """The session of a secret; None where it is over, or its account has changed.

        Parameters
        ----------
        counts : whether this is a sign of life; a page that refreshes itself is none.

        Raises
        ------
        ConfigError : the file of accounts is damaged.
        """
        with self._lock:
            self._drop_old(self._clock())
            session = self._open.get(_digest(secret))
        if session is None or self._accounts.all().get(session.account.name) != session.account:
            return None
        if counts:
            session.seen = self._clock()
        return session

    def end(self, secret: str) -> None:
        """Log out."""
        with self._lock:
            self._open.pop(_digest(secret), None)

    def _drop_old(self, now: float) -> None:
        over = [key for key, one in self._open.items() if now - one.seen > IDLE_S or now - one.began > LONGEST_S]
        for key in over:
            del self._open[key]


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


class Throttle:
    """Counts failures by key, such as an address, within a sliding window. For any number of threads."""

    def __init__(self, most: int, within_s: float, *, clock: Clock = time.monotonic) -> None:
        self._most, self._within_s, self._clock = most, within_s, clock
        self._lock = threading.Lock()
        self._failures: dict[str, deque[float]] = defaultdict(deque)

    def wait_s(self, key: str) -> float:
        """Seconds until this key may try again; 0: now."""
        with self._lock:
            recent = self._recent(key)
            if not recent:
                self._failures.pop(key, None)  # whoever only asks leaves nothing behind
            return recent[0] + self._within_s - self._clock() if len(recent) >= self._most else 0.0

    def failed(self, key: str) -> None:
        """Count a failure."""
        with self._lock:
            if key not in self._failures and len(self._failures) >= MAX_KEYS:
                self._failures.pop(next(iter(self._failures)))
            self._recent(key).append(self._clock())

    def forget(self, key: str) -> None:
        """It succeeded."""
        with self._lock:
            self._failures.pop(key, None)

    def _recent(self, key: str) -> deque[float]:
        recent = self._failures[key]
        while recent and self._clock() - recent[0] >= self._within_s:
            recent.popleft()
        return recent
