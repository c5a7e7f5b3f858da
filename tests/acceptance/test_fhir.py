"""A scanner sends a head; a laboratory tells by HL7 over mutual TLS, a FHIR server is asked over TLS with a token.

The PACS gets what was told, with its times and sources, and what nobody told.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicomnode.dicom import codes
from tests.acceptance.orthanc import Orthanc, free_port
from tests.acceptance.served import ServedNode
from tests.acceptance.test_patient_context import results
from tests.acceptance.test_tiny_bundles import group_of, numbers, scores_report, texts, until
from tests.tools.bundle import write_threshold_bundle
from tests.tools.certificates import Authority
from tests.tools.fhir_server import SYSTEM, FhirTestServer, condition, observation, patient
from tests.tools.hl7_messages import Hl7Peer, message, obr, obx, pid
from tests.tools.leaks import told_in

pytestmark = [pytest.mark.tools, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[FhirTestServer]:
    made = authority.sign("fhir")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.cert, made.key)
    with FhirTestServer(tls=context) as running:
        running.tokens = ["issued-token"]
        yield running


@pytest.fixture(scope="module")
def node(
    tmp_path_factory: pytest.TempPathFactory, pacs: Orthanc, server: FhirTestServer, authority: Authority
) -> Iterator[ServedNode]:
    secret = tmp_path_factory.mktemp("secret") / "client"
    secret.write_text("client-secret\n")
    secret.chmod(0o600)
    auth = {"scheme": "oauth", "token_url": f"{server.url}/token", "client_id": "node", "secret_file": str(secret)}
    fhir = {
        "base_url": server.url,
        "identifier_system": SYSTEM,
        "poll_s": 2.0,
        "auth": auth,
        "tls": {"ca": str(authority.ca)},
    }
    made = authority.sign("node")
    tls = {"cert": str(made.cert), "key": str(made.key), "ca": str(authority.ca)}
    hl7 = {"port": free_port(), "host": "127.0.0.1", "tls": tls}
    destination = {"name": "pacs", "ae_title": pacs.ae_title, "host": "127.0.0.1", "port": pacs.dicom_port}
    served = ServedNode(
        tmp_path_factory.mktemp("node"),
        free_port(),
        [{**destination, "accept_research": True, "retry_min_s": 0.3, "retry_max_s": 2.0}],
        reception={"settle_s": 0.2, "quiet_period_s": 2.0, "selection_wait_s": 0.0},
        models=("threshold",),
        zoo_paths=(write_threshold_bundle(tmp_path_factory.mktemp("zoo") / "threshold").parent,),
        clinical={"issuer": "HOSPITAL", "amend_settle_s": 0.5, "fhir": fhir, "hl7": hl7},
    )
    served.start()
    yield served
    assert served.stop() == 0


@pytest.fixture
def laboratory(node: ServedNode, authority: Authority) -> Iterator[Hl7Peer]:
    lab = authority.sign("lab")
    context = ssl.create_default_context(cafile=str(authority.ca))
    context.load_cert_chain(lab.cert, lab.key)
    with Hl7Peer(node.clinical["hl7"]["port"], context=context) as peer:
        yield peer


def at(clock: str) -> str:
    return f"2026-01-01T{clock}:00Z"


def test_the_scores_in_the_pacs_list_what_laboratory_and_fhir_server_told_and_a_later_value_amends_them(
    node: ServedNode, pacs: Orthanc, server: FhirTestServer, laboratory: Hl7Peer, tmp_path: Path
) -> None:
    ours, another = pid("FLORA", born="19430601"), pid("FLORA", born="19660606")
    nihss = "72089-6^NIHSS^LN"
    assert laboratory.send(message(ours, obr(), obx(nihss, "18"), control_id="L1")).code == "AA"
    assert laboratory.send(message(another, obr(at="202601011012"), obx(nihss, "2"), control_id="L2")).code == "AA"
    server.resources += [
        patient("p1", "FLORA"),
        patient("p2", "GRETA"),
        observation("o1", "p1", "9269-2", 10, "{score}", at("10:00")),
        observation("o2", "p2", "72089-6", 40, "{score}", at("10:10")),
        condition("c1", "p1", "I10"),
    ]
    report = scores_report(results(node, pacs, tmp_path, "FLORA"))
    ich = group_of(report, "ICH Score")
    used = texts(ich, codes.INPUT_USED)
    assert used[0] == "Glasgow Coma Scale 10 (FHIR, 2026-01-01T10:00+00:00, 15 min before the scan)"
    max_ich = group_of(report, "max-ICH score")
    assert "NIHSS 18 (HL7, 2026-01-01T10:00+00:00, 15 min before the scan)" in texts(max_ich, codes.INPUT_USED)
    assert "Oral anticoagulation" in texts(max_ich, codes.INPUT_MISSING)
    first = numbers(ich)
    server.resources.append(observation("o3", "p1", "9269-2", 4, "{score}", at("10:14")))
    study_uid = str(report.StudyInstanceUID)
    until(lambda: set(node.states(study_uid)) == {"superseded", "done"})
    (page,) = json.loads(node.command("context", "show", "ACC-FLORA", "--json").stdout)["patients"]
    assert {(line["name"], line["source"], line["provenance"], line["verdict"]) for line in page["known"]} == {
        ("gcs", "FHIR", "Observation/o1", "another is nearer"),
        ("gcs", "FHIR", "Observation/o3", "used"),
        ("hypertension", "FHIR", "Condition/c1", "used"),
        ("nihss", "HL7", "LAB L1 OBX 1", "used"),
        ("nihss", "HL7", "LAB L2 OBX 1", "another patient: birth_date contradict"),
    }
    (question,) = page["questions"]
    assert question["outcome"] == "answered"
    events = json.loads(node.command("why", "ACC-FLORA", "--json").stdout)["events"]
    told = [event["name"] for event in events if event["subject"] == "fhir_question"]
    assert told == ["answered", "answered"]
    assert any("context came later: gcs" in str(event["detail"]) for event in events)
    assert len(first) == 2  # the lowest and the highest: nobody told where the bleed lies


def test_no_log_line_tells_of_a_patient_or_a_secret_and_check_is_content(
    node: ServedNode, server: FhirTestServer
) -> None:
    log = node.log.read_text()
    assert "FHIR server asked" in log
    born = ("19430601", "1943-06-01", "1943")
    assert told_in(log, ("FLORA", "GRETA", *born, "issued-token", "client-secret", "p1")) == []
    said = node.command("check", "--no-models").stdout
    assert "searches patients by identifier with the credentials (oauth)" in said
    assert "client-secret" not in said
