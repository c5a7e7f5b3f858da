"""``dicomnode check`` on certificates, which end without a word, and on the HTTP port."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dicomnode.app.check import operations
from dicomnode.app.check.certificates import check_certificates
from dicomnode.app.check.operations import check_operations
from dicomnode.cli.main import app
from dicomnode.config.certificates import expiries
from dicomnode.config.whole import Config
from tests.tools.certificates import Authority, Certificate

DAY_S = 86400.0


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Signs certificates; holds for two days itself."""
    return Authority(tmp_path_factory.mktemp("tls"))


def config_with(tmp_path: Path, made: Certificate, **operations: Any) -> Config:
    """A node whose HTTP port has this certificate."""
    made.key.chmod(0o600)
    tls = {"cert": str(made.cert), "key": str(made.key)}
    return Config.model_validate({"node": {"data_dir": tmp_path}, "operations": {"tls": tls, **operations}})


def test_the_end_of_a_certificate_is_read_as_openssl_wrote_it(authority: Authority) -> None:
    (ends_at,) = expiries(authority.sign("ten", days=10).cert)
    assert ends_at == pytest.approx(time.time() + 10 * DAY_S, abs=300)
    (far,) = expiries(authority.sign("century", days=36500).cert)  # beyond 2050 it is a GeneralizedTime
    assert far == pytest.approx(time.time() + 36500 * DAY_S, abs=300)


@pytest.mark.parametrize(
    ("days", "ok", "fatal", "says"), [(400, True, False, "holds until"), (10, False, False, "renew it")]
)
def test_a_certificate_that_ends_soon_is_told(
    authority: Authority, tmp_path: Path, days: int, ok: bool, fatal: bool, says: str
) -> None:
    (finding,) = check_certificates(config_with(tmp_path, authority.sign("node", days=days)))
    assert (finding.ok, finding.fatal) == (ok, fatal)
    assert says in finding.says
    assert "operations.tls.cert" in finding.says


def test_one_that_ended_is_a_fault(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_with(tmp_path, authority.sign("node", days=10))
    later = time.time() + 20 * DAY_S
    monkeypatch.setattr(time, "time", lambda: later)
    (finding,) = check_certificates(config)
    assert (finding.ok, finding.fatal) == (False, True)
    assert "ended on" in finding.says


@pytest.mark.parametrize("cut", [0, 200, 600])
def test_a_damaged_certificate_is_said_to_be_one(authority: Authority, tmp_path: Path, cut: int) -> None:
    made = authority.sign("node")
    made.cert.write_text(made.cert.read_text()[:cut])
    (finding,) = check_certificates(config_with(tmp_path, made))
    assert "cannot be read: holds no certificate" in finding.says


def test_what_the_http_port_needs_and_lacks_is_named_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "NEEDED", ("starlette", "no_such_library"))
    path = tmp_path / "config.toml"
    assert CliRunner().invoke(app, ["init", str(path), "--http-port", "8042"]).exit_code == 0
    ended = CliRunner().invoke(app, ["serve", "--config", str(path)])
    assert ended.exit_code == 2
    assert "no_such_library not installed: the HTTP port needs pip install 'dicomnode[operations]'" in ended.output
    first, *_ = check_operations(Config.model_validate({"operations": {"port": 8042}}))
    assert (first.ok, first.fatal) == (False, True)


def test_the_http_port_is_free_or_in_use_and_wants_an_account(authority: Authority, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = config_with(tmp_path, authority.sign("node"), port=taken.getsockname()[1])
        port, accounts = check_operations(config)
    assert "fine if the node is running already" in port.says
    assert (accounts.what, accounts.fatal) == ("accounts", False)
    (tmp_path / "accounts").touch()
    (free,) = check_operations(config)
    assert free.ok
