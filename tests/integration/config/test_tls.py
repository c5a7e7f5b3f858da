"""TLS both ways with real certificates: who is let in, who is not, and what the log says."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dicomnode.config.load import parse_config
from dicomnode.deliver.query import find_instances
from dicomnode.deliver.scu import echo
from dicomnode.errors import AssociationRejected, ConfigError
from dicomnode.store.engine import Store
from tests.acceptance.scanner import STORESCU, small_study
from tests.integration.deliver.pacs import ScriptedPacs
from tests.integration.deliver.world import World
from tests.integration.receive.world import Reception, wait_until
from tests.tools.certificates import Authority, Certificate
from tests.tools.series import write_series

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server(authority: Authority) -> Certificate:
    return authority.sign("server")


@pytest.fixture(scope="module")
def client(authority: Authority) -> Certificate:
    return authority.sign("client")


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path) -> Iterator[Store]:
    """TLS is the same on every database."""
    opened = Store(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'node.db')}")
    yield opened
    opened.close()


@pytest.fixture
def world(store: Store, tmp_path: Path) -> World:
    return World(store, tmp_path / "data")


@pytest.fixture
def pacs(tmp_path: Path, authority: Authority, server: Certificate) -> Iterator[ScriptedPacs]:
    """A PACS that lets in only who shows a certificate of the authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.cert, server.key)
    context.load_verify_locations(authority.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    with ScriptedPacs(tmp_path / "pacs", ssl_context=context) as running:
        yield running


def tls(authority: Authority, client: Certificate | None = None, **more: Any) -> dict[str, Any]:
    own = {} if client is None else {"cert": str(client.cert), "key": str(client.key)}
    return {"enabled": True, "ca": str(authority.ca), **own, **more}


def test_results_are_sent_and_proven_over_tls(
    world: World, pacs: ScriptedPacs, authority: Authority, client: Certificate
) -> None:
    job_id, results = world.deliver("seg", "sr", "sc", proof="commitment", payload=500_000)
    world.sender(world.destination(pacs.port, tls=tls(authority, client), proof="commitment")).step()
    assert world.job(job_id).status == "done"
    assert pacs.uids == [result.sop_instance_uid for result in results]
    found = find_instances(
        world.destination(pacs.port, tls=tls(authority, client)),
        "NODE",
        [(stored.study_uid, stored.series_uid) for stored in pacs.instances],
    )
    assert set().union(*found.values()) == set(pacs.uids)


def test_without_a_client_certificate_a_strict_pacs_lets_nobody_in(
    world: World, pacs: ScriptedPacs, authority: Authority
) -> None:
    with pytest.raises(AssociationRejected, match="client certificate"):
        echo(world.destination(pacs.port, tls=tls(authority)), "NODE")


def test_a_pacs_signed_by_a_stranger_gets_nothing(
    world: World, pacs: ScriptedPacs, client: Certificate, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path / "stranger", "stranger")
    job_id, _ = world.deliver("sr")
    world.sender(world.destination(pacs.port, tls=tls(stranger, client))).step()
    assert pacs.asked == []
    assert "no TLS connection" in world.rows(job_id)[0].error
    assert "self-signed" in world.rows(job_id)[0].error


def test_a_certificate_for_another_host_is_refused_unless_that_name_is_expected(
    world: World, authority: Authority, tmp_path: Path
) -> None:
    other = authority.sign("other", host="DNS:pacs.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(other.cert, other.key)
    with ScriptedPacs(tmp_path / "pacs", ssl_context=context) as pacs:
        with pytest.raises(AssociationRejected, match="no TLS connection: IP address mismatch"):
            echo(world.destination(pacs.port, tls=tls(authority)), "NODE")
        echo(world.destination(pacs.port, tls=tls(authority, server_name="pacs.example")), "NODE")


def test_plain_dicom_does_not_reach_a_tls_pacs(world: World, pacs: ScriptedPacs) -> None:
    with pytest.raises(AssociationRejected):
        echo(world.destination(pacs.port, timeout_s=2.0), "NODE")


def test_a_missing_certificate_file_is_named(world: World, tmp_path: Path) -> None:
    lost = {"enabled": True, "ca": str(tmp_path / "lost.pem")}
    with pytest.raises(AssociationRejected, match=r"lost\.pem is no file"):
        echo(world.destination(104, tls=lost), "NODE")


@pytest.fixture
def reception(
    store: Store, new_reception: Callable[..., Reception], authority: Authority, server: Certificate
) -> Reception:
    """A node that speaks TLS and wants certificates."""
    files = {"cert": str(server.cert), "key": str(server.key), "ca": str(authority.ca)}
    return new_reception(store, tls=files, idle_timeout_s=3.0)


def storescu_tls(paths: list[Path], port: int, authority: Authority, *options: str) -> int:
    command = [
        STORESCU,
        "-aet",
        "CT1",
        "-aec",
        "NODE",
        "-R",
        *options,
        "+cf",
        str(authority.ca),
        "127.0.0.1",
        str(port),
    ]
    return subprocess.run([*command, *map(str, paths)], capture_output=True, check=False, timeout=60).returncode


@pytest.mark.tools
def test_a_scanner_with_a_certificate_sends_over_tls(
    reception: Reception, authority: Authority, client: Certificate, tmp_path: Path
) -> None:
    paths = write_series(tmp_path / "study", small_study("tls"))
    assert storescu_tls(paths, reception.port, authority, "+tls", str(client.key), str(client.cert)) == 0
    assert len(reception.instances()) == len(paths)
    wait_until(lambda: reception.associations()[0].outcome == "released")


@pytest.mark.tools
def test_a_scanner_without_a_certificate_is_refused_and_the_log_says_so(
    reception: Reception, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = write_series(tmp_path / "study", small_study("tls"))
    assert storescu_tls(paths, reception.port, authority, "+tla") != 0
    assert reception.instances() == []
    wait_until(lambda: "TLS refused" in caplog.messages)
    (record,) = [record for record in caplog.records if record.message == "TLS refused"]
    assert "PEER_DID_NOT_RETURN_A_CERTIFICATE" in record.reason  # type: ignore[attr-defined]


def test_plain_dicom_is_refused_by_a_tls_port(reception: Reception, world: World) -> None:
    with pytest.raises(AssociationRejected):
        echo(world.destination(reception.port, ae_title="NODE", timeout_s=5.0), "CT1")


def test_a_peer_that_never_ends_its_handshake_holds_up_nobody(
    reception: Reception, world: World, authority: Authority, client: Certificate, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_connection(("127.0.0.1", reception.port)):
        echo(world.destination(reception.port, ae_title="NODE", tls=tls(authority, client)), "CT1")
        wait_until(lambda: "TLS refused" in caplog.messages)


def test_tls_below_1_2_is_refused(reception: Reception, authority: Authority, client: Certificate) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_cert_chain(client.cert, client.key)
    context.load_verify_locations(authority.ca)
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1 is deprecated"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("127.0.0.1", reception.port)) as plain,
        pytest.raises(ssl.SSLError),
        context.wrap_socket(plain, server_hostname="127.0.0.1"),
    ):
        pass


@pytest.mark.parametrize(
    ("section", "table", "says"),
    [
        ("reception", {"cert": "a.pem"}, "cert and key belong together"),
        ("reception", {"cert": "a.pem", "key": "a.key"}, "require_client_cert needs ca"),
        ("destination", {"ca": "ca.pem"}, "results would leave in the clear"),
    ],
)
def test_half_a_tls_configuration_is_refused(section: str, table: dict[str, Any], says: str) -> None:
    one: dict[str, Any] = {"tls": table}
    if section == "destination":
        one |= {"name": "pacs", "ae_title": "PACS", "host": "pacs", "port": 104}
    with pytest.raises(ConfigError, match=says):
        parse_config({section: [one] if section == "destination" else one}, serving=False, environment={})
