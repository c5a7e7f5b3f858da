"""SIGHUP: a running node goes by its file again, whole or not at all, and loses nothing that is on its way."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from dicomnode.app.demo_pacs import ReceivingPacs
from dicomnode.store.history.jobs import list_jobs
from tests.acceptance.orthanc import free_port
from tests.acceptance.scanner import small_study
from tests.acceptance.served import ServedNode
from tests.integration.app.test_node import OVER, new_node
from tests.integration.ops.syslog_server import SyslogServer
from tests.integration.receive.peers import ASSOCIATE_AC, CT_IMAGE, ScriptedPeer, encoded, sent
from tests.integration.receive.world import wait_until
from tests.tools.audit_schema import judged
from tests.tools.bundle import write_threshold_bundle
from tests.tools.certificates import Authority

pytestmark = pytest.mark.timeout(900)

WITHIN_S = 400
TAKEN, REFUSED = "configuration taken over", "configuration not taken over"


class Reloaded:
    """A node and its file; each ``change`` is a text put in place of another."""

    def __init__(self, node: ServedNode, syslog: SyslogServer) -> None:
        self.node, self.syslog = node, syslog

    def lines(self, message: str) -> list[dict[str, Any]]:
        """Lines of the log that begin so."""
        every = [json.loads(line) for line in self.node.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in every if line["message"].startswith(message)]

    def change(self, *pairs: tuple[str, str], message: str = TAKEN, more: str = "") -> dict[str, Any]:
        """Change the file, send SIGHUP, and wait for what the log says of it."""
        text = self.node.config.read_text()
        for before, after in pairs:
            assert text.count(before) == 1, before
            text = text.replace(before, after)
        self.node.config.write_text(text + more)
        return self.signal(message)

    def signal(self, message: str) -> dict[str, Any]:
        """Send SIGHUP, and wait for what the log says of it."""
        known = len(self.lines(message))
        assert self.node.process is not None
        self.node.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(self.lines(message)) > known, WITHIN_S)
        return self.lines(message)[-1]

    def metric(self, name: str) -> str:
        """A line of /metrics."""
        text = httpx.get(f"http://127.0.0.1:{self.node.operations['port']}/metrics", trust_env=False, timeout=20).text
        return next(line for line in text.splitlines() if line.startswith(name))

    def lets_in(self, calling: str) -> bool:
        """Whether an association with this calling AE title is accepted."""
        peer = ScriptedPeer(self.node.port, calling=calling, called=self.node.ae_title)
        try:
            return peer.request().type == ASSOCIATE_AC
        finally:
            peer.socket.close()


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReceivingPacs]:
    """Receives results."""
    with ReceivingPacs(tmp_path_factory.mktemp("pacs"), "PACS") as running:
        yield running


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, pacs: ReceivingPacs) -> Iterator[Reloaded]:
    """A node that lets in CT1 alone."""
    folder = tmp_path_factory.mktemp("reload")
    node = new_node(folder, pacs.port, write_threshold_bundle(folder / "bundle"))
    syslog = SyslogServer(folder / "syslog", Authority(folder / "ca"))
    syslog.start()
    tls = {"ca": str(syslog.authority.ca)}
    node.operations["audit"] = {"host": "localhost", "port": syslog.port, "tls": tls, "enterprise_site": "SITE"}
    node.write_config()
    node.config.write_text(node.config.read_text() + '[[sender]]\nae_title = "CT1"\n')
    node.start()
    yield Reloaded(node, syslog)
    assert node.stop() == 0
    syslog.stop()


def jobs_of(node: ServedNode) -> list[Any]:
    """As the database has them."""
    with node.reading() as session:
        return list_jobs(session)


def test_a_wrong_file_and_one_that_needs_a_restart_change_nothing_and_are_told(running: Reloaded) -> None:
    right = running.node.config.read_text()
    line = running.change(
        ("priority", "priority") if False else ("settle_s = 0.1", 'settle_s = "soon"'), message=REFUSED
    )
    assert "settle_s" in line["reason"]
    running.node.config.write_text(right)
    other = free_port()
    port = f"port = {running.node.port}"
    line = running.change((port, f"port = {other}"), message=REFUSED, more='[[sender]]\nae_title = "CT9"\n')
    assert line["reason"] == "node.port: needs a restart"
    assert not running.lets_in("CT9")
    wait_until(lambda: running.metric("dicomnode_configuration_fault").endswith(" 1.0"), 30)
    running.node.config.write_text(right)
    assert running.signal(TAKEN)["changes"] == []
    wait_until(lambda: running.metric("dicomnode_configuration_fault").endswith(" 0.0"), 30)


def test_senders_protocols_and_destinations_of_the_new_file_hold_and_no_image_is_lost(
    running: Reloaded, pacs: ReceivingPacs
) -> None:
    assert not running.lets_in("CT2")
    study = small_study("reload")
    held = ScriptedPeer(running.node.port, calling="CT1", called=running.node.ae_title)
    held.associate()
    assert [sent(held, dataset) for dataset in study[:10]] == [0] * 10
    cut, rest = encoded(study[10])[:5000], encoded(study[10])[5000:]
    held.begin_store(CT_IMAGE, study[10].SOPInstanceUID)
    held.send_data(cut, last=False)
    destination = f'[[destination]]\nname = "second"\nae_title = "PACS"\nhost = "127.0.0.1"\nport = {pacs.port}\n'
    secret = '[operations.notify]\nwebhook = { url = "http://127.0.0.1:9/HIDDEN-TOKEN" }\n'
    line = running.change(
        ('name = "head-ct"', 'name = "renamed"'),
        ('destinations = ["pacs"]', 'destinations = ["second"]'),
        more=f'{destination}accept_research = true\n{secret}[[sender]]\nae_title = "CT2"\n',
    )
    assert {"sender.[CT2]: - -> a table", "protocol.[head-ct]: a table -> -"} <= set(line["changes"])
    assert "operations.notify.webhook.url: changed" in line["changes"]
    assert "HIDDEN-TOKEN" not in running.node.log.read_text()
    assert running.lets_in("CT2")
    held.send_data(rest, last=True)
    assert held.receive_status() == 0
    assert [sent(held, dataset) for dataset in study[11:]] == [0] * len(study[11:])
    held.release()
    held.socket.close()
    wait_until(lambda: [job.status in OVER for job in jobs_of(running.node)] == [True], WITHIN_S)
    (job,) = jobs_of(running.node)
    assert job.protocol == "renamed"
    shown = json.loads(running.node.command("jobs", "show", str(job.job_id), "--json").stdout)
    assert {one["destination"] for one in shown["deliveries"]} == {"second"}
    assert len({one.sop_instance_uid for one in pacs.instances}) == len(shown["deliveries"])


def test_the_audit_trail_of_all_this_is_in_the_syslog_of_the_hospital(running: Reloaded) -> None:
    assert running.node.stop() == 0
    wait_until(lambda: "110121" in "".join(running.syslog.messages), 60)
    # A server that takes from several connections keeps no order.
    found = sorted(map(judged, running.syslog.messages), key=happened_at)
    told = [
        (one.find("EventIdentification/EventID").get("originalText"), one.find("EventIdentification")) for one in found
    ]
    names = [name for name, _ in told]
    assert (names[0], names[-1]) == ("Application Activity", "Application Activity")
    assert {"Begin Transferring DICOM Instances", "DICOM Instances Transferred", "Query", "Security Alert"} <= set(
        names
    )
    roles = {
        (user.get("UserID"), user.find("RoleIDCode").get("originalText"))
        for one in found
        for user in one.findall("ActiveParticipant")
    }
    assert {("CT1", "Source Role ID"), ("second", "Destination Role ID"), ("CT9", "Source Role ID")} <= roles
    outcomes = [about.get("EventOutcomeIndicator") for name, about in told if name == "Security Alert"]
    assert outcomes.count("0") == 2  # what was taken over
    assert outcomes.count("4") >= 4  # two files that were not, and those who were rejected
    assert "HIDDEN-TOKEN" not in "".join(running.syslog.lines)


def happened_at(message: Any) -> str:
    """When that happened which a message tells of."""
    return str(message.find("EventIdentification").get("EventDateTime"))
