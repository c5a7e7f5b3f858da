"""A certificate belongs to an AE title: nobody takes the title of another who was let in, too."""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dicomnode.config.load import parse_config
from dicomnode.errors import ConfigError
from dicomnode.store.engine import Store
from tests.integration.receive import peers
from tests.integration.receive.peers import ScriptedPeer, ct_slice, sent
from tests.integration.receive.world import Reception, wait_until
from tests.tools.certificates import Authority, Certificate

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")

SUCCESS = 0x0000
SENDERS = (
    {"ae_title": "CT1", "certificate": "CT1.example"},
    {"ae_title": "CT2", "certificate": "by-name"},
    {"ae_title": "PACS"},
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def certificates(authority: Authority) -> dict[str, Certificate]:
    alternative = {"ct1": "DNS:ct1.example", "pacs": "DNS:pacs.example", "by-name": "IP:127.0.0.1"}
    return {name: authority.sign(name, host=host) for name, host in alternative.items()}


@pytest.fixture
def reception(
    sqlite_template: Path,
    tmp_path: Path,
    authority: Authority,
    certificates: dict[str, Certificate],
    new_reception: Callable[..., Reception],
) -> Iterator[Reception]:
    store = Store(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'node.db')}")
    own = certificates["pacs"]
    tls = {"cert": str(own.cert), "key": str(own.key), "ca": str(authority.ca)}
    yield new_reception(store, senders=SENDERS, tls=tls)
    store.close()


def secured(reception: Reception, calling: str, certificate: Certificate) -> ScriptedPeer:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(certificate.cert, certificate.key)
    peer = ScriptedPeer(reception.port, calling=calling)
    peer.socket = context.wrap_socket(peer.socket)
    return peer


@pytest.mark.parametrize(("calling", "shows"), [("CT1", "ct1"), ("CT2", "by-name"), ("PACS", "pacs")])
def test_who_shows_his_own_certificate_may_send(
    reception: Reception, certificates: dict[str, Certificate], calling: str, shows: str
) -> None:
    with secured(reception, calling, certificates[shows]) as peer:
        assert sent(peer.associate(), ct_slice()) == SUCCESS
        peer.release()


@pytest.mark.parametrize(("calling", "shows"), [("CT1", "pacs"), ("CT1", "by-name"), ("PACS", "ct1"), ("CT2", "ct1")])
def test_who_shows_the_certificate_of_another_is_rejected_and_stands_in_the_log_once(
    reception: Reception,
    certificates: dict[str, Certificate],
    caplog: pytest.LogCaptureFixture,
    calling: str,
    shows: str,
) -> None:
    with secured(reception, calling, certificates[shows]) as peer:
        answer = peer.request()
        assert (answer.type, *answer.body[1:4]) == (peers.ASSOCIATE_RJ, 1, 1, 3)
    wait_until(lambda: not reception.scp._server.open_lines())
    (line,) = [vars(record) for record in caplog.records if record.levelname == "WARNING"]
    assert (line["reason"], line["calling_ae"], line["peer"]) == ("certificate_of_another", calling, "127.0.0.1")


@pytest.mark.parametrize(
    "tls", [{}, {"cert": "a", "key": "a"}, {"cert": "a", "key": "a", "require_client_cert": False}]
)
def test_a_certificate_that_nobody_is_asked_for_is_a_fault_of_the_configuration(tls: dict[str, object]) -> None:
    raw = {"sender": [{"ae_title": "CT", "certificate": "ct.example"}], "reception": {"tls": tls}}
    with pytest.raises(ConfigError, match=r"sender.*certificate: nobody shows one"):
        parse_config(raw, serving=False)
