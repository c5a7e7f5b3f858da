"""``dicomnode check`` says of the port for HL7 whether it is free or answers, and who may send."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from dicomnode.app.check.finding import Finding
from dicomnode.app.check.hl7 import SENDERS, WHAT, check_hl7
from dicomnode.config.whole import Config
from dicomnode.store.engine import Store
from tests.integration.clinical.hl7_world import hl7_config, listening
from tests.tools.certificates import Authority


def said(config: Config, what: str = WHAT) -> list[Finding]:
    return [one for one in check_hl7(config) if one.what == what]


def test_nothing_is_said_where_there_is_no_port(tmp_path: Path) -> None:
    assert list(check_hl7(Config.model_validate({"node": {"data_dir": tmp_path}}))) == []


def test_a_port_is_free_answers_or_is_somebody_elses(tmp_path: Path, store: Store) -> None:
    config = hl7_config(tmp_path)
    (free,) = said(config)
    assert free.ok
    assert "is free, plain HL7" in free.says
    with listening(store, tmp_path, port=config.clinical.hl7.port):
        (running,) = said(config)
        assert (running.ok, "answers HL7 messages" in running.says) == (True, True)
    with socket.create_server(("127.0.0.1", config.clinical.hl7.port)) as other:
        other.settimeout(10)
        (taken,) = said(config)
    assert (taken.ok, taken.fatal) == (False, False)
    assert "gives this machine no answer" in taken.says


def test_a_tls_port_is_asked_with_the_nodes_own_certificate(tmp_path: Path, store: Store) -> None:
    authority = Authority(tmp_path / "ca")
    node = authority.sign("node")
    tls = {"cert": str(node.cert), "key": str(node.key), "ca": str(authority.ca)}
    config = hl7_config(tmp_path, tls=tls)
    assert "is free, TLS only" in said(config)[0].says
    with listening(store, tmp_path, port=config.clinical.hl7.port, tls=tls):
        assert [(one.ok, one.says.endswith("answers HL7 messages, over TLS")) for one in said(config)] == [(True, True)]
    node.key.chmod(0o644)
    assert [(one.fatal, "can be read by others" in one.says) for one in said(config)] == [(True, True)]


def test_open_senders_are_named(tmp_path: Path) -> None:
    def about(*senders: dict[str, Any]) -> list[str]:
        return [one.says.split(":")[0] for one in said(hl7_config(tmp_path, senders=senders), SENDERS)]

    assert about() == ["none is listed", "no TLS"]
    assert about({"application": "LAB"}, {"host": "0.0.0.0/0", "facility": "H"}) == [
        "LAB has neither host nor certificate",
        "H has neither host nor certificate",
        "no TLS",
    ]
    assert about({"host": "10.1.2.3"}, {"certificate": "lab"}) == [
        "no TLS",
        "2 listed, each with its host or certificate",
    ]


def test_an_issuer_that_is_missing_and_codes_that_are_unknown_are_said(tmp_path: Path) -> None:
    plain = hl7_config(tmp_path)
    without = plain.model_copy(update={"clinical": plain.clinical.model_copy(update={"issuer": ""})})
    assert [one.fatal for one in said(without, "HL7 patients")] == [False]
    assert said(plain, "HL7 patients") == []
    (wrong,) = check_hl7(hl7_config(tmp_path, codes={"GLU": "sugar"}))
    assert wrong.fatal
    assert "'GLU' means 'sugar'" in wrong.says
