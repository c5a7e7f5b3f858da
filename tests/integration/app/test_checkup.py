"""``dicomnode check`` says what a protocol can never match, who may send, and what a PACS must be told."""

from __future__ import annotations

import socket
from pathlib import Path

from pynetdicom import AE

from dicomnode.app.check.destinations import check_destinations
from dicomnode.app.check.finding import Finding
from dicomnode.app.check.host import check_host
from dicomnode.app.check.models import check_models, check_protocols
from dicomnode.app.checkup import checkup
from dicomnode.config.whole import Config


def findings(folder: Path, match: dict[str, object]) -> list[Finding]:
    """What is said of a protocol with these conditions."""
    config = Config.model_validate(
        {
            "node": {"data_dir": folder, "host": "127.0.0.1", "port": 0},
            "reception": {"min_free_gb": 0},
            "protocol": [{"name": "head", "match": match, "models": ["hemorrhage"]}],
        }
    )
    return [one for one in checkup(config, load_models=False) if one.what == "protocol head"]


def test_a_protocol_on_a_keyword_that_is_never_kept_is_named(tmp_path: Path) -> None:
    said = findings(tmp_path, {"PatientName": "Test", "Modality": "CT", "ReferencedImageSequence": ["1"]})
    named = [one for one in said if "never kept" in one.says]
    assert [one.says.split(",")[0] for one in named] == [
        "match names PatientName",
        "match names ReferencedImageSequence",
    ]
    assert all(not one.ok and one.fatal for one in named)


def test_a_protocol_on_what_is_kept_is_not(tmp_path: Path) -> None:
    said = findings(tmp_path, {"PatientAge": "^0[2-9]", "Modality": "CT", "SliceThickness": {"max": 8}})
    assert not any("never kept" in one.says for one in said)


def test_a_limit_of_a_score_that_no_model_of_a_protocol_gives_is_named(tmp_path: Path) -> None:
    config = Config.model_validate(
        {
            "node": {"data_dir": tmp_path, "host": "127.0.0.1", "port": 0},
            "protocol": [{"name": "stroke", "match": {"Modality": "CT"}, "models": ["deterioration"]}],
            "zoo": {"thresholds": {"deterioration": 0.4}},
            "operations": {"notify": {"urgent_scores": {"deteriorations": 0.5}}},
        }
    )
    (said,) = [one for one in check_protocols(config) if "gives the score" in one.says]
    assert (said.what, said.ok) == ("operations.notify.urgent_scores", False)
    assert said.says == "no model of a protocol gives the score 'deteriorations'; known: deterioration"


def test_check_loads_the_models_on_every_device_and_names_the_one_that_is_not_there(tmp_path: Path) -> None:
    config = Config.model_validate(
        {
            "node": {"data_dir": tmp_path},
            "protocol": [{"name": "stroke", "match": {"Modality": "CT"}, "models": ["deterioration"]}],
            "execution": {"devices": ["cpu", "cpu", "cuda:63"], "start_timeout_s": 300},
        }
    )
    said = list(check_models(config))
    assert [(one.what, one.ok) for one in said] == [
        ("model deterioration", True),
        ("selftest deterioration", True),
        ("models", False),
    ]
    assert "device cuda:63" in said[-1].says


def about_senders(folder: Path, **sections: object) -> list[Finding]:
    """What is said of who may send."""
    raw = {"node": {"data_dir": folder, "host": "127.0.0.1", "port": 0}, "reception": {"min_free_gb": 0}, **sections}
    return [one for one in check_host(Config.model_validate(raw)) if one.what == "senders"]


def test_check_names_senders_that_anyone_may_pass_for(tmp_path: Path) -> None:
    closed = {"ae_title": "CT1", "host": "10.1.2.0/24"}
    anyone = about_senders(tmp_path)
    assert [one.says.split(":")[0] for one in anyone] == ["none is listed", "no TLS"]
    some = about_senders(tmp_path, sender=[closed, {"ae_title": "CT2"}, {"ae_title": "CT3", "host": "0.0.0.0/0"}])
    assert [one.says.split(":")[0] for one in some] == ["CT2 has no host", "CT3 has no host", "no TLS"]
    assert all(not one.ok and not one.fatal for one in [*anyone, *some])
    listed = about_senders(tmp_path, sender=[closed])
    assert [(one.ok, one.says.split(":")[0]) for one in listed] == [
        (False, "no TLS"),
        (True, "1 listed, each with its host"),
    ]


def test_check_says_of_tls_without_certificates_of_clients_that_an_ae_title_proves_nothing(tmp_path: Path) -> None:
    tls = {"cert": "a", "key": "b", "require_client_cert": False}
    (said, _) = about_senders(tmp_path, reception={"min_free_gb": 0, "tls": tls})[::-1]
    assert said.says.startswith("require_client_cert = false")


def test_check_says_what_to_enter_in_a_pacs_that_does_not_know_the_node(tmp_path: Path) -> None:
    entity = AE(ae_title="PACS")
    entity.add_supported_context("1.2.840.10008.1.1")
    entity.require_calling_aet = ["OTHER"]
    server = entity.start_server(("127.0.0.1", 0), block=False)
    try:
        destination = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": server.server_address[1]}
        raw = {"node": {"data_dir": tmp_path, "ae_title": "NODE7", "port": 11199}, "destination": [destination]}
        (said,) = check_destinations(Config.model_validate(raw))
    finally:
        server.shutdown()
    assert "does not know the calling AE title 'NODE7'" in said.says
    assert said.says.endswith("Enter this node there: AE title NODE7, host 127.0.0.1, port 11199")


def test_check_says_nothing_to_enter_where_nobody_answers(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        destination = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": closed.getsockname()[1]}
        raw = {"node": {"data_dir": tmp_path}, "destination": [destination]}
        (said,) = check_destinations(Config.model_validate(raw))
    assert "no connection" in said.says
    assert "Enter this node there" not in said.says
