"""HL7 v2 over MLLP against ``dicomnode serve``: mutual TLS, a database that goes away, and ``kill -9``."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from dicomnode.store.tables import ClinicalValue
from tests.acceptance.orthanc import free_port
from tests.acceptance.served import ServedNode
from tests.tools.certificates import Authority
from tests.tools.hl7_messages import GCS, GLUCOSE, INR, Hl7Peer, framed, message, obr, obx, pid

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[ServedNode]:
    nobody = [{"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": 1}]
    hl7 = {"port": free_port(), "host": "127.0.0.1"}
    served = ServedNode(
        tmp_path / "node",
        free_port(),
        nobody,
        clinical={"issuer": "HOSPITAL", "hl7": hl7},
        operations={"log_level": "DEBUG"},
        role="receive",
    )
    yield served
    served.kill()


def port_of(node: ServedNode) -> int:
    return int(node.clinical["hl7"]["port"])


def rows(node: ServedNode) -> list[tuple[str, object, str]]:
    with node.reading() as session:
        return [(row.name, row.value, row.provenance) for row in session.scalars(select(ClinicalValue))]


def until_stored(node: ServedNode, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(rows(node)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_kill_between_storing_and_acknowledging_leaves_one_row_for_the_senders_repeat(node: ServedNode) -> None:
    node.start()
    for number in range(1, 3):
        sent = message(pid(f"P{number}"), obr(), obx(GLUCOSE, "7", "mmol/L"), obx(GCS, "10"), control_id=f"K{number}")
        peer = Hl7Peer(port_of(node))
        peer.socket.sendall(framed(sent))  # and never read: the answer, if any was written, is not had
        until_stored(node, 2 * number)
        node.kill()
        peer.socket.close()
        node.start()
        assert len(rows(node)) == 2 * number  # what was committed is there after a crash
        with Hl7Peer(port_of(node)) as again:
            ack = again.send(sent)
        assert (ack.code, ack.control_id) == ("AA", f"K{number}")
        assert len(rows(node)) == 2 * number


def test_a_kill_at_any_moment_loses_nothing_that_was_acknowledged(node: ServedNode) -> None:
    node.start()
    acknowledged: list[str] = []
    with Hl7Peer(port_of(node)) as peer:
        for number in range(20):
            assert peer.send(message(pid(f"Q{number}"), obr(), obx(INR, "2.4"), control_id=f"Q{number}")).code == "AA"
            acknowledged.append(f"LAB Q{number} OBX 1")
        peer.socket.sendall(framed(message(pid("LAST"), obr(), obx(INR, "2.4"), control_id="LAST")))
        node.kill()
    assert {where for _, _, where in rows(node)} - {"LAB LAST OBX 1"} == set(acknowledged)


def test_mutual_tls_senders_and_what_is_known_show_where_a_value_came_from(tmp_path: Path, node: ServedNode) -> None:
    authority = Authority(tmp_path / "ca")
    server, lab = authority.sign("node"), authority.sign("lab")
    node.clinical["hl7"] |= {
        "tls": {"cert": str(server.cert), "key": str(server.key), "ca": str(authority.ca)},
        "senders": [{"application": "LAB", "certificate": "lab"}],
    }
    node.start()
    context = ssl.create_default_context(cafile=str(authority.ca))
    context.load_cert_chain(lab.cert, lab.key)
    with Hl7Peer(port_of(node), context=context) as peer:
        assert peer.send(message(pid("ANNA"), obr(), obx(GCS, "10"), control_id="77")).code == "AA"
        refused = peer.send(message(pid("ANNA"), obr(), obx(GCS, "3"), application="OTHER"))
        assert (refused.code, refused.reasons) == ("AR", ["unknown_sender"])
    (page,) = json.loads(node.command("context", "show", "ANNA", "--json").stdout)["patients"]
    assert [(one["name"], one["source"], one["provenance"]) for one in page["known"]] == [
        ("gcs", "HL7", "LAB 77 OBX 1")
    ]
    said = json.loads(node.command("check", "--no-models", "--json").stdout)["findings"]
    (port,) = [one for one in said if one["what"] == "HL7 port"]  # the check's certificate is the node's, not the lab's
    assert (port["fatal"], "lists its senders" in port["says"]) == (False, True)
    log = node.log.read_text()
    assert '"control_id": "77"' in log
    assert not any(word in log for word in ("ANNA", "DOE", "JANE", "19440502"))
