"""Who may use the status page: a file of names, roles and hashes of passwords (argon2id, RFC 9106)."""

from __future__ import annotations

import logging
import os
import re
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from dicomnode.config.tls import open_to_others
from dicomnode.errors import ConfigError

log = logging.getLogger(__name__)

MIN_PASSWORD = 12
MAX_PASSWORD = 1024
"""Characters; a longer one would cost more to hash than it adds."""
NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$FkqLdgoitn4P4/tprGfRUA$dIU2feCuaDqCHziFjkljUQP9/AUjnjLJ25esB2QDO9I"
"""Of a password that was thrown away: what is verified for a name that is no account, so that it takes as long."""
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
Version = tuple[int, int]
"""Of a file: time of its last change in ns, and inode."""
MISSING: Version = (0, 0)
CHANGED = "accounts changed"


class Role(StrEnum):
    """What an account may do: see, or also act."""

    VIEWER = "viewer"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Account:
    """One who may log in. ``password_hash``: as argon2 encodes it, with its parameters and salt."""

    name: str
    role: Role
    password_hash: str


class Accounts:
    """The accounts of a file, which is read anew whenever it has changed; a file that is not there holds none.

    What has changed since the first look is told in the log, which the audit trail hears: by command or by an editor.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._hasher = path, PasswordHasher()
        self._verifying, self._reading = threading.Lock(), threading.Lock()
        self._version: Version | None = None
        self._known: dict[str, Account] = {}

    def all(self) -> dict[str, Account]:
        """Accounts by name.

        Raises
        ------
        ConfigError : the file cannot be read, is damaged, or is open to others.
        """
        with self._reading:
            version = _version_of(self._path)
            if version != self._version:
                known = {} if version == MISSING else _parsed(self._path)
                if self._version is not None and (changes := _changes(self._known, known)):
                    log.warning(CHANGED, extra={"action": "accounts", "changes": changes})
                self._known, self._version = known, version
            return self._known

    def verified(self, name: str, password: str) -> Account | None:
        """The account whose password this is; None where there is none, after the same time.

        One at a time: each takes 64 MiB, and no number of tries may take more.

        Raises
        ------
        ConfigError : see :meth:`all`.
        """
        account = self.all().get(name)
        with self._verifying:
            try:
                self._hasher.verify(account.password_hash if account else NOBODY, password[:MAX_PASSWORD])
            except (VerificationError, InvalidHashError):
                return None
        return account

    def put(self, name: str, role: Role, password: str) -> None:
        """Add an account, or give one another role and password; sessions of the old one end.

        Raises
        ------
        ConfigError : the name or the password will not do, or the file is damaged.
        OSError : the file cannot be written.
        """
        if not _NAME.fullmatch(name):
            raise ConfigError([f"account {name!r}: 1 to 64 letters, digits, '.', '_' and '-'"])
        if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
            raise ConfigError([f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters"])
        self._write({**self.all(), name: Account(name, role, self._hasher.hash(password))})

    def remove(self, name: str) -> None:
        """Remove an account; its sessions end.

        Raises
        ------
        ConfigError : there is none of this name, or the file is damaged.
        OSError : the file cannot be written.
        """
        kept = dict(self.all())
        if kept.pop(name, None) is None:
            raise ConfigError([f"account {name}: there is none"])
        self._write(kept)

    def _write(self, accounts: dict[str, Account]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = self._path.with_name(f".{self._path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.writelines(f"{one.name} {one.role} {one.password_hash}\n" for one in accounts.values())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)


def _version_of(path: Path) -> Version:
    try:
        state = path.stat()
    except FileNotFoundError:
        return MISSING
    return (state.st_mtime_ns, state.st_ino)


def _changes(before: Mapping[str, Account], now: Mapping[str, Account]) -> list[str]:
    """What is told of each account that differs, without anything of its password."""
    changes = [f"{name}: removed" for name in before if name not in now]
    for name, account in now.items():
        known = before.get(name)
        if known is None:
            changes.append(f"{name}: new, {account.role}")
        elif known.role != account.role:
            changes.append(f"{name}: {known.role} -> {account.role}")
        elif known != account:
            changes.append(f"{name}: new password")
    return changes


def _parsed(path: Path) -> dict[str, Account]:
    if says := open_to_others(path):
        raise ConfigError([says])
    try:
        rows = [line.split() for line in path.read_text(encoding="ascii").splitlines() if line.strip()]
        accounts = [Account(name, Role(role), password_hash) for name, role, password_hash in rows]
    except OSError as fault:
        raise ConfigError([f"{path}: cannot be read ({fault.strerror})"]) from fault
    except ValueError:  # a bad line may hold a password: it is not quoted
        raise ConfigError(
            [f"{path}: damaged; a line is NAME ROLE HASH, made by 'dicomnode operations password'"]
        ) from None
    return {account.name: account for account in accounts}
