"""The audit trail in a real rsyslog over TLS: what goes out, what waits while it is away, and what an admin is told."""

from __future__ import annotations

import base64
import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import generate_uid
from sqlalchemy import update

from dicomnode.config.whole import Config
from dicomnode.ops.audit.trail import AuditTrail
from dicomnode.ops.http.audit import audit
from dicomnode.ops.notify.faults import faults_of_work
from dicomnode.store.engine import Store
from dicomnode.store.ops.audit import add_messages, count_waiting
from dicomnode.store.ops.studies import note_deed
from dicomnode.store.receive.receptions import end_association, open_association
from dicomnode.store.tables import Association, AuditMessage, Event, Instance
from tests.integration.deliver.world import new_series
from tests.integration.ops.syslog_server import SyslogServer
from tests.integration.receive.peers import CT_IMAGE
from tests.integration.receive.world import wait_until
from tests.integration.store.fixture import both_databases
from tests.tools.audit_schema import judged
from tests.tools.certificates import Authority

pytestmark = pytest.mark.tools
WITHIN_S = 60
STUDY = "1.2.3.77"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SyslogServer]:
    """An rsyslog, started by the tests that need it."""
    folder = tmp_path_factory.mktemp("syslog")
    made = SyslogServer(folder / "server", Authority(folder / "ca"))
    yield made
    made.stop()


class Trail:
    """An audit trail whose duties are called by hand."""

    def __init__(self, store: Store, server: SyslogServer, **values: Any) -> None:
        tls = {"ca": str(server.authority.ca), **values.pop("tls", {})}
        to = {"host": "localhost", "port": server.port, "tls": tls, **values}
        self.config = Config.model_validate({"node": {"ae_title": "AINODE"}, "operations": {"audit": to}})
        self.store, self.server = store, server
        self.trail = AuditTrail(self.config, store, works=True)
        self.before = len(server.lines)

    def __enter__(self) -> Trail:
        self.trail.start()
        self.trail.write()  # what comes from now on is read
        return self

    def __exit__(self, *_: object) -> None:
        self.trail.reload(Config())

    def look(self) -> None:
        """Both duties; what happened now is old enough for them."""
        with self.store.write() as session:
            session.execute(update(Event).values(at=Event.at - 10))
            session.execute(update(Association).values(opened_at=Association.opened_at - 10))
        self.trail.write()
        self.trail.send()

    def waiting(self) -> int:
        """Messages that are not sent yet."""
        with self.store.read() as session:
            return count_waiting(session)

    def received(self, count: int) -> list[str]:
        """EventID and outcome of what the server has had since this trail began, once it is so many.

        rsyslog at times closes a connection with bytes that are no TLS: what it had read is then sent once more.
        """
        wait_until(lambda: len(self._asked()) >= count, WITHIN_S)
        return self._asked()

    def comes(self, expected: Sequence[str]) -> bool:
        """Whether this is what the server has in the end: of what it had twice it has the first late, at times."""
        with contextlib.suppress(AssertionError):
            wait_until(lambda: self._asked() == expected, WITHIN_S)
        return self._asked() == expected

    def _asked(self) -> list[str]:
        self.trail.send()  # as on a node, where a busy server is asked again after seconds
        newest_first = self.server.messages[self.before :][::-1]
        found = [judged(xml) for xml in reversed(list(dict.fromkeys(newest_first)))]
        about = [one.find("EventIdentification") for one in found]
        return [f"{one.find('EventID').get('csd-code')} {one.get('EventOutcomeIndicator')}" for one in about]


def receive(store: Store, *, ends: bool = True) -> int:
    """An association that brought one image."""
    series_id = new_series(store, study_uid=STUDY)
    with store.write() as session:
        who = {"calling_ae": "CT1", "called_ae": "AINODE", "peer_address": "10.0.0.1"}
        association = open_association(session, receiver="r", **who)
        session.add(
            Instance(
                series_id=series_id,
                association_id=association,
                sop_instance_uid=generate_uid(),
                sop_class_uid=CT_IMAGE,
                study_uid=STUDY,
                series_uid="1.2.3.77.1",
                transfer_syntax_uid="1.2.840.10008.1.2.1",
                digest="0" * 64,
                size_bytes=1,
                path=generate_uid(),
                header={},
                status="active",
                received_at=time.time(),
            )
        )
    if ends:
        end(store, association)
    return association


def end(store: Store, association: int, outcome: str = "released") -> None:
    """It is over."""
    with store.write() as session:
        end_association(session, association, outcome, settle_s=0)


@both_databases
def test_what_happens_goes_to_the_server_in_its_order_each_by_the_schema(store: Store, server: SyslogServer) -> None:
    if server.process is None:
        server.start()
    with Trail(store, server) as trail:
        receive(store)
        with store.write() as session:
            note_deed(session, "acknowledge", "anna", alarm="destination pacs")
            note_deed(session, "backup", "root", name="node", files=3, images=True)
            note_deed(session, "restore", "root", name="node", made_at="2026-11-30T08:00:00+00:00")
            note_deed(session, "import", "root", name="spleen", version="0.3.1", digest="sha256:00ff")
        audit("login", "anna", "10.0.0.9", outcome="ok")
        audit("login", "unknown", "10.0.0.9", outcome="refused")
        rejected = {"reason": "calling_ae_not_recognised", "peer": "10.0.0.7", "calling_ae": "EVIL"}
        logging.getLogger("dicomnode.receive.turned_away").warning("association rejected", extra=rejected)
        changed = {"changes": ["bert: new, admin"]}
        logging.getLogger("dicomnode.ops.http.accounts").warning("accounts changed", extra=changed)
        trail.look()
        expected = [
            "110100 0",
            "110114 0",
            "110114 4",
            "110113 4",
            "110113 0",
            "110102 0",
            "110104 0",
            "110113 0",
            "110106 0",
            "110107 0",
            "110113 0",
        ]
        assert trail.comes(expected), trail.received(0)
        told = base64.b64encode(b"bert: new, admin").decode("ascii")
        assert any('csd-code="110137"' in line and told in line for line in trail.server.lines)
        imported = next(line for line in trail.server.lines if 'ParticipantObjectID="spleen"' in line)
        assert 'csd-code="110131"' in imported
        assert base64.b64encode(b"sha256:00ff").decode("ascii") in imported
        assert trail.server.lines[-1].startswith("85 dicomnode DICOM+RFC3881 ")
        assert any(f'ParticipantObjectID="{STUDY}"' in line for line in trail.server.lines)
        trail.look()
        assert (trail.waiting(), len(trail.received(11))) == (0, 11)


def test_an_association_that_is_open_is_told_again_when_it_ends_and_an_aborted_one_as_a_failure(
    store: Store, server: SyslogServer
) -> None:
    if server.process is None:
        server.start()
    with Trail(store, server) as trail:
        association = receive(store, ends=False)
        trail.look()
        assert trail.comes(["110100 0", "110102 0"]), trail.received(0)
        end(store, association, "aborted")
        trail.look()
        assert trail.comes(["110100 0", "110102 0", "110104 4"]), trail.received(0)


def test_nothing_is_lost_while_the_server_is_away_and_an_admin_is_told(store: Store, server: SyslogServer) -> None:
    server.stop()
    with Trail(store, server) as trail:
        for _ in range(3):
            audit("login", "anna", "10.0.0.9", outcome="ok")
            trail.look()
        assert trail.waiting() == 4
        with store.write() as session:
            session.execute(update(AuditMessage).values(at=AuditMessage.at - 100))
        with store.read() as session:
            assert faults_of_work(session, trail.config, time.time()) == {
                "audit messages wait": "4 of at most 100000 wait for the syslog server"
            }
        server.start()
        trail.before = len(server.lines)
        trail.look()
        assert trail.comes(["110100 0"] + ["110114 0"] * 3), trail.received(0)
        assert trail.waiting() == 0


def test_a_server_that_the_authority_does_not_know_gets_nothing(
    store: Store, server: SyslogServer, tmp_path: Path
) -> None:
    if server.process is None:
        server.start()
    with Trail(store, server, tls={"ca": str(Authority(tmp_path / "other").ca)}) as trail:
        trail.look()
        assert (trail.waiting(), len(server.lines)) == (1, trail.before)


@both_databases
def test_rows_do_not_grow_without_bound_and_what_is_lost_is_said(
    store: Store, server: SyslogServer, caplog: pytest.LogCaptureFixture
) -> None:
    with Trail(store, server, max_waiting=100) as trail:
        with store.write() as session:
            assert add_messages(session, [(time.time(), "<AuditMessage/>")] * 120, most=100) == 21
        audit("login", "anna", "10.0.0.9", outcome="ok")
        trail.trail.write()
        assert trail.waiting() == 100
        assert [(one.levelname, one.count) for one in caplog.records if "are lost" in one.message] == [("ERROR", 1)]
        with store.write() as session:
            session.execute(update(AuditMessage).values(at=AuditMessage.at - 100))
        with store.read() as session:
            assert "further ones are lost" in faults_of_work(session, trail.config, time.time())["audit messages wait"]


def test_no_patient_and_no_accession_number_unless_the_switch_says_so(store: Store, server: SyslogServer) -> None:
    with Trail(store, server) as trail:
        assert not trail.config.operations.audit.patient_data
        receive(store)
        with store.write() as session:
            session.execute(update(Event).values(at=Event.at - 10))
            session.execute(update(Association).values(opened_at=Association.opened_at - 10))
        trail.trail.write()
        with store.read() as session:
            text = "".join(row.xml for row in session.query(AuditMessage))
        assert STUDY in text
        assert "Patient Number" not in text
        assert "Accession" not in text


@both_databases
def test_of_two_nodes_on_one_database_one_sends_and_the_other_takes_over_when_it_is_gone(
    store: Store, server: SyslogServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    if server.process is None:
        server.start()
    with Trail(store, server) as first, Trail(store, server) as second:
        first.trail.send()
        assert first.comes(["110100 0", "110100 0"]), first.received(0)  # both starts, from the one that has the turn
        receive(store)
        first.trail.write()
        second.look()
        assert second.waiting() == 2
        first.trail.send()
        assert (first.waiting(), len(first.received(4))) == (0, 4)
        receive(store)
        monkeypatch.setattr(time, "time", lambda now=time.time: now() + 200.0)
        second.look()  # the first one has not sent for more than two minutes
        assert (second.waiting(), len(first.received(6))) == (0, 6)


def test_a_node_that_stops_leaves_its_turn_to_others_at_once(store: Store, server: SyslogServer) -> None:
    if server.process is None:
        server.start()
    with Trail(store, server) as first, Trail(store, server) as second:
        first.trail.send()
        first.trail.stop()
        receive(store)
        second.look()
        assert second.waiting() == 0
