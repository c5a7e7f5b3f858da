"""How long a session lasts, how many logins may fail, and what a file of accounts must be."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from dicomnode.config.operations import Operations
from dicomnode.errors import ConfigError
from dicomnode.ops.http import sessions as sessions_module
from dicomnode.ops.http.accounts import MIN_PASSWORD, NOBODY, Accounts, Role
from dicomnode.ops.http.sessions import IDLE_S, LONGEST_S, Sessions, Throttle

LINE = f"anna admin {NOBODY}\n"


class Clock:
    """Seconds, set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    """One account."""
    path = tmp_path / "accounts"
    path.write_text(LINE)
    path.chmod(0o600)
    return Accounts(path)


def test_a_session_ends_when_nobody_clicks_and_a_page_that_refreshes_itself_is_no_click(accounts: Accounts) -> None:
    clock = Clock()
    sessions = Sessions(accounts, clock=clock)
    secret = sessions.begin(accounts.all()["anna"])
    clock.now += IDLE_S - 1
    assert sessions.find(secret, counts=False) is not None
    clock.now += 2
    assert sessions.find(secret) is None


def test_no_session_lasts_for_ever(accounts: Accounts) -> None:
    clock = Clock()
    sessions = Sessions(accounts, clock=clock)
    secret = sessions.begin(accounts.all()["anna"])
    while clock.now < 1000.0 + LONGEST_S:
        assert sessions.find(secret) is not None
        clock.now += IDLE_S / 2
    clock.now += 1
    assert sessions.find(secret) is None


def test_of_too_many_sessions_the_one_that_was_idle_longest_ends(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions_module, "MAX_SESSIONS", 2)
    clock = Clock()
    sessions = Sessions(accounts, clock=clock)
    secrets = []
    for _ in range(3):
        clock.now += 1
        secrets.append(sessions.begin(accounts.all()["anna"]))
    assert [sessions.find(secret) is not None for secret in secrets] == [False, True, True]


def test_failures_count_within_a_sliding_window() -> None:
    clock = Clock()
    throttle = Throttle(2, 60.0, clock=clock)
    throttle.failed("a")
    clock.now += 30
    assert throttle.wait_s("a") == 0
    throttle.failed("a")
    assert throttle.wait_s("a") == 30
    assert throttle.wait_s("b") == 0
    clock.now += 31
    assert throttle.wait_s("a") == 0
    throttle.forget("a")
    assert throttle.wait_s("a") == 0


def test_keys_are_not_remembered_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions_module, "MAX_KEYS", 3)
    throttle = Throttle(1, 60.0, clock=Clock())
    for number in range(10):
        throttle.wait_s(f"asked {number}")
        throttle.failed(f"failed {number}")
    assert len(throttle._failures) == 3


def test_what_changes_in_the_accounts_after_the_first_look_is_told_without_any_hash(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "accounts"
    node, admin = Accounts(path), Accounts(path)
    assert node.all() == {}
    told: list[list[str]] = []
    for change in (
        lambda: admin.put("anna", Role.VIEWER, "a long password"),
        lambda: admin.put("anna", Role.ADMIN, "a long password"),
        lambda: admin.put("anna", Role.ADMIN, "another long one"),
        lambda: admin.remove("anna"),
        lambda: admin.put("bert", Role.VIEWER, "a long password"),
        path.unlink,
    ):
        change()
        caplog.clear()
        node.all()
        node.all()
        told += [record.changes for record in caplog.records if record.msg == "accounts changed"]
    assert told == [
        ["anna: new, viewer"],
        ["anna: viewer -> admin"],
        ["anna: new password"],
        ["anna: removed"],
        ["bert: new, viewer"],
        ["bert: removed"],
    ]


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [(LINE, 0o644, "can be read by others"), ("anna admin\n", 0o600, "damaged"), ("a boss x\n", 0o600, "damaged")],
)
def test_a_file_of_accounts_that_is_open_or_damaged_lets_nobody_in(
    tmp_path: Path, text: str, mode: int, says: str
) -> None:
    path = tmp_path / "accounts"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=says) as fault:
        Accounts(path).all()
    assert "boss" not in str(fault.value)


@pytest.mark.parametrize(
    ("name", "password"), [("", "long enough it is"), ("a b", "long enough it is"), ("a", "short")]
)
def test_names_are_plain_and_passwords_long(tmp_path: Path, name: str, password: str) -> None:
    assert len("short") < MIN_PASSWORD
    with pytest.raises(ConfigError):
        Accounts(tmp_path / "accounts").put(name, Role.ADMIN, password)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.1.2.3", "::", "node.example"])
def test_no_other_machine_is_served_without_tls(host: str) -> None:
    with pytest.raises(ValidationError, match="in the clear"):
        Operations(port=8042, host=host)
    assert not Operations(host=host).has_http


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_this_machine_is_served_without_tls(host: str) -> None:
    assert Operations(port=8042, host=host).has_http
