"""What the node writes, and the keys that it reads, are for its own user alone."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dicomnode.app.checkup import checkup
from dicomnode.cli.main import app
from dicomnode.config.destinations import WebAuth
from dicomnode.config.secrets import open_password
from dicomnode.config.sections import ReceptionTls
from dicomnode.config.tls import open_to_others, server_context
from dicomnode.config.whole import Config
from dicomnode.errors import ConfigError, NoCredentials
from dicomnode.ops.permissions import close_to_others, private_files
from dicomnode.store.engine import Store
from dicomnode.web.credentials import read_secret
from tests.tools.certificates import Authority


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """As most users have it."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_inside_the_block_files_are_private_and_outside_they_are_as_the_user_wants_them(tmp_path: Path) -> None:
    with private_files():
        (tmp_path / "in").mkdir()
        (tmp_path / "in/file").touch()
    (tmp_path / "out").touch()
    assert [mode_of(tmp_path / name) for name in ("in", "in/file", "out")] == [0o700, 0o600, 0o644]


def test_a_database_is_private_with_all_its_files_whoever_makes_it(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'node.db'}")
    store.migrate()
    with store.read() as session:
        session.connection()
        files = {path.name: mode_of(path) for path in tmp_path.iterdir()}
    store.close()
    assert files == {"node.db": 0o600, "node.db-wal": 0o600, "node.db-shm": 0o600}


TRY_TO_LOCK = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000002)
"""
"""The bytes that SQLite locks while a connection is open (its file format, "locking byte page")."""


def test_opening_a_database_a_second_time_takes_no_lock_away_from_the_first(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    first, second = Store(f"sqlite:///{path}"), Store(f"sqlite:///{path}")
    first.migrate()
    with first.read() as session, second.read() as other:
        session.connection()
        other.connection()
        tried = subprocess.run([sys.executable, "-c", TRY_TO_LOCK, path], capture_output=True, text=True, check=False)
    first.close()
    second.close()
    assert "BlockingIOError" in tried.stderr


def test_what_an_earlier_version_left_open_is_closed_at_the_start_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    config = Config.model_validate({"node": {"data_dir": tmp_path / "data"}})
    for name in ("spool/1.2/1.3/1.4.dcm", "work/job-1/claim-1/seg.dcm", "models/m/weights", "node.db", "mine.txt"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    outside = tmp_path / "outside"
    outside.touch()
    (tmp_path / "data/work/link").symlink_to(outside)
    assert close_to_others(config) == 12
    data = tmp_path / "data"
    ours = [path for top in ("spool", "work", "models") for path in (data / top, *(data / top).rglob("*"))]
    assert {mode_of(path) for path in ours if not path.is_symlink()} == {0o700, 0o600}
    assert [mode_of(path) for path in (data / "node.db", data / "mine.txt", outside)] == [0o600, 0o644, 0o644]
    assert close_to_others(config) == 0


def test_a_private_key_that_others_can_read_is_refused_with_what_mends_it(tmp_path: Path) -> None:
    made = Authority(tmp_path).sign("server")
    tls = ReceptionTls(cert=str(made.cert), key=str(made.key), require_client_cert=False)
    made.key.chmod(0o640)
    with pytest.raises(ConfigError, match=rf"can be read by others \(mode 0640\): chmod 600 {made.key}"):
        server_context(tls)
    made.key.chmod(0o600)
    assert server_context(tls) is not None


def test_a_secret_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("open sesame\n")
    auth = WebAuth(scheme="bearer", secret_file=str(secret))
    with pytest.raises(NoCredentials, match="can be read by others") as refused:
        read_secret(auth)
    assert "sesame" not in str(refused.value)
    secret.chmod(0o400)
    assert read_secret(auth) == "open sesame"


@pytest.mark.parametrize("url", ["//node:sesame@127.0.0.1/node", "//node@127.0.0.1/node?password=sesame"])
def test_a_configuration_with_a_password_that_others_can_read_is_told_and_init_writes_it_for_its_user_alone(
    tmp_path: Path, url: str
) -> None:
    path = tmp_path / "config.toml"
    path.touch(mode=0o644)
    ended = CliRunner().invoke(app, ["init", str(path), "--force", "--database-url", f"postgresql+psycopg:{url}"])
    assert ended.exit_code == 0, ended.output
    assert mode_of(path) == 0o600
    assert open_password(path) == ""
    path.chmod(0o644)
    fault = open_password(path)
    assert f"chmod 600 {path}" in fault
    assert "sesame" not in fault
    config = Config.model_validate({"node": {"data_dir": tmp_path}})
    (said,) = [one for one in checkup(config, only_configuration=True, file=path) if one.what == "configuration"]
    assert (said.ok, said.fatal, said.says) == (False, False, fault)


def test_a_configuration_without_a_password_is_nobodys_secret(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    assert CliRunner().invoke(app, ["init", str(path)]).exit_code == 0
    assert (mode_of(path), open_password(path)) == (0o644, "")


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_a_key_that_another_user_lends_is_that_users_to_protect(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.touch()
    key.chmod(0o640)
    os.chown(key, 12345, 12345)
    assert open_to_others(key) == ""


def test_a_password_in_the_database_url_is_shown_nowhere() -> None:
    url = "postgresql+psycopg://node:sesame@127.0.0.1:1/node"
    config = Config.model_validate({"database": {"url": url}})
    assert "sesame" not in repr(config)
    assert "sesame" not in str(config.database)
    store = Store(url)
    assert "sesame" not in repr(store.engine)
