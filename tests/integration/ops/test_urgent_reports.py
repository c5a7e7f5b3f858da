"""Urgent findings as HL7 ORU^R01, received over MLLP by a server that reads them with the hl7 library."""

from __future__ import annotations

import socketserver
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hl7
import pytest
from pydantic import ValidationError
from sqlalchemy import update

from dicomnode.config.notify import Notify
from dicomnode.config.whole import Config
from dicomnode.ops.notify.notifier import Notifier
from dicomnode.store.engine import Store
from dicomnode.store.ops import alarms
from dicomnode.store.states import RunEvent
from dicomnode.store.storage import Storage
from dicomnode.store.tables import Alarm, Job, Run, StudyPatient
from dicomnode.store.transitions import move
from tests.integration.deliver.world import new_job
from tests.integration.ops.site import UP
from tests.integration.ops.test_figures import POSITIVE
from tests.integration.store.fixture import both_databases
from tests.tools.certificates import Authority

VT, FS, CR = b"\x0b", b"\x1c", b"\r"
GROUNDS = "marks, and the exam at or above its threshold"
OUTCOME = {**POSITIVE, "exam_probability": 0.91, "exam_threshold": 0.5, "grounds": GROUNDS}


class Receiver(socketserver.ThreadingTCPServer):
    """Takes messages. ``answers``: codes of the next answers, ``""`` is none; after them every message is taken."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Reading)
        self.tls, self.messages, self.answers = tls, list[hl7.Message](), list[str]()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        return (self.tls.wrap_socket(connection, server_side=True) if self.tls else connection), address

    def handle_error(self, *_: Any) -> None:
        """A peer that trusts nobody is none of the test's faults."""


class Reading(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, Receiver)
        framed = b""
        while not framed.endswith(FS + CR):
            framed += self.rfile.read(1)
        assert framed.startswith(VT)
        message = hl7.parse(framed[1:-2].decode("utf-8"))
        self.server.messages.append(message)
        code = self.server.answers.pop(0) if self.server.answers else "AA"
        if code:
            self.wfile.write(VT + str(message.create_ack(code)).encode() + FS + CR)


def serving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver for the length of a test."""
    receiver = Receiver(tls)
    thread = threading.Thread(target=receiver.serve_forever)
    thread.start()
    yield receiver
    receiver.shutdown()
    receiver.server_close()
    thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Without TLS."""
    yield from serving()


class Reporting:
    """A node with one urgent finding, looked at by hand."""

    def __init__(
        self, store: Store, folder: Path, port: int, *, urgent_scores: dict[str, float] | None = None, **to: Any
    ) -> None:
        receiver = {"host": "127.0.0.1", "port": port, "timeout_s": 5.0, "receiving_application": "RIS", **to}
        notify = {"after_s": 0, "urgent_ml": 10.0, "patient_data": True, "hl7": receiver}
        notify["urgent_scores"] = urgent_scores or {}
        values = {"node": {"data_dir": folder}, "reception": {"min_free_gb": 0}, "operations": {"notify": notify}}
        self.config, self.store = Config.model_validate(values), store
        Storage(store, self.config.spool_dir).bind()
        new_job(store)
        with store.write() as session:
            job, run = session.query(Job).one(), session.query(Run).one()
            session.execute(update(Job).values(accession_number="ACC|7"))
            moment = {"seen_at": time.time(), "checked_at": 0.0}
            who = {"patient_id": "47^11", "issuer": "HOSPITAL", "birth_date": "19440502", "sex": "F"}
            session.add(StudyPatient(study_uid=job.study_uid, **who, **moment))
            move(session, run, RunEvent.START, started_at=time.time(), device="cpu")
            move(session, run, RunEvent.SUCCEED, finished_at=time.time(), outcomes=[OUTCOME])
        self.restart()

    def restart(self) -> None:
        """The node starts (again)."""
        self.notifier = Notifier(self.config, self.store, "node-1", lambda: UP)

    def look(self, times: int = 1) -> None:
        """The node looks at itself."""
        for _ in range(times):
            self.notifier.look()

    def alarms(self) -> dict[str, Alarm]:
        """By name, those that last."""
        with self.store.read() as session:
            return {one.name: one for one in session.query(Alarm).filter_by(ended_at=None)}


@both_databases
def test_an_urgent_finding_is_one_oru_that_names_patient_study_and_volume(
    store: Store, tmp_path: Path, receiver: Receiver
) -> None:
    reporting = Reporting(store, tmp_path / "data", receiver.port)
    reporting.look(3)
    reporting.restart()
    reporting.look()
    (message,) = receiver.messages
    assert [str(field) for field in message.segment("MSH")[9:12:2]] == ["ORU^R01^ORU_R01", "P"]
    assert message["MSH.F5"] == "RIS"
    assert message["MSH.F12"] == "2.5.1"
    assert message.unescape(message["PID.F3.R1.C1"]) == "47^11"
    assert (message["PID.F3.R1.C4"], message["PID.F7"], message["PID.F8"]) == ("HOSPITAL", "19440502", "F")
    assert message["PID.F5.R1.C7"] == "U"
    assert message.unescape(message["OBR.F18"]) == "ACC|7"
    study, words, volume, probability = message.segments("OBX")
    with store.read() as session:
        assert str(study[5]) == session.query(Job).one().study_uid
    assert str(words[5]) == "hemorrhage positive, 12.5 mL, 1 lesion"
    assert (str(volume[2]), str(volume[5]), str(volume[8]), str(volume[11])) == ("NM", "12.5", "AA", "P")
    assert str(probability[5]) == "0.910"
    assert "not for diagnosis" in str(message.segment("NTE"))


def test_a_score_over_its_limit_is_told_and_reported_and_one_below_is_not(
    store: Store, tmp_path: Path, receiver: Receiver
) -> None:
    reporting = Reporting(store, tmp_path / "data", receiver.port, urgent_scores={"deterioration": 0.5, "edema": 0.5})
    with store.write() as session:
        session.query(Run).one().outcomes = []
        session.query(Run).one().scores = [
            {"finding": "deterioration", "value": 0.62, "unit": "1", "threshold": 0.28},
            {"finding": "edema", "value": 0.31, "unit": "1", "threshold": None},
            {"finding": "prognosis", "value": 0.99, "unit": "1", "threshold": None},
        ]
    reporting.look(2)
    (message,) = receiver.messages
    _, words, score = message.segments("OBX")
    assert str(words[5]) == "deterioration 0.62, at or above 0.28"
    assert [str(score[field]) for field in (2, 3, 5, 6)] == ["NM", "SCORE^Score of a model^L", "0.62", "1^^UCUM"]
    told = [name for name in reporting.alarms() if "finding of job" in name]
    assert told == ["finding of job 1: hemorrhage, deterioration"]


def test_without_an_answer_and_after_ar_the_same_message_is_sent_again_and_after_aa_no_more(
    store: Store, tmp_path: Path, receiver: Receiver
) -> None:
    reporting = Reporting(store, tmp_path / "data", receiver.port)
    receiver.answers = ["", "AR"]
    reporting.look()
    reporting.restart()
    reporting.look(3)
    assert len(receiver.messages) == 3
    assert len({str(message) for message in receiver.messages}) == 1
    assert len(str(receiver.messages[0]["MSH.F10"])) == 20


def test_a_report_that_is_refused_is_not_repeated_and_is_a_fault_until_somebody_has_seen_the_finding(
    store: Store, tmp_path: Path, receiver: Receiver
) -> None:
    reporting = Reporting(store, tmp_path / "data", receiver.port)
    receiver.answers = ["AE"]
    reporting.look(3)
    assert len(receiver.messages) == 1
    fault = reporting.alarms()["findings not reported by HL7"]
    assert "refused 1" in fault.says
    finding = next(one for one in reporting.alarms().values() if one.kind == alarms.FINDING)
    assert finding.detail["refused"] == "the receiver answers AE"
    with store.write() as session:
        alarms.acknowledge(session, finding.id, by="anna")
    reporting.look()
    assert "findings not reported by HL7" not in reporting.alarms()


def test_a_receiver_that_is_away_is_a_fault_and_gets_the_report_when_it_is_back(
    store: Store, tmp_path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    reporting = Reporting(store, tmp_path / "data", receiver.port, timeout_s=1.0)
    receiver.answers = ["", ""]
    reporting.look(2)
    with store.write() as session:
        session.execute(update(Alarm).values(since_at=Alarm.since_at - 100.0))
    receiver.answers = [""]
    reporting.look()
    assert "1 wait" in reporting.alarms()["findings not reported by HL7"].says
    reporting.look(2)
    assert "findings not reported by HL7" not in reporting.alarms()
    assert "47^11" not in caplog.text + str([vars(record) for record in caplog.records])


def test_a_finding_that_somebody_has_acknowledged_is_still_reported_to_the_system(
    store: Store, tmp_path: Path, receiver: Receiver
) -> None:
    reporting = Reporting(store, tmp_path / "data", receiver.port)
    receiver.answers = [""]
    reporting.look()
    with store.write() as session:
        (finding,) = alarms.all_alarms(session)
        alarms.acknowledge(session, finding.alarm_id, by="anna")
    reporting.look()
    assert len(receiver.messages) == 2
    assert "hl7" in next(iter(reporting.alarms().values())).told


def test_a_report_goes_over_tls_to_a_receiver_that_the_authority_knows_and_to_no_other(
    store: Store, tmp_path: Path
) -> None:
    authority, other = Authority(tmp_path / "ca"), Authority(tmp_path / "other", "other")
    made = authority.sign("ris")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.cert, made.key)
    running = serving(context)
    receiver = next(running)
    wrong = Reporting(store, tmp_path / "data", receiver.port, tls={"enabled": True, "ca": str(other.ca)})
    wrong.look()
    assert receiver.messages == []
    tls = {"enabled": True, "ca": str(authority.ca)}
    hl7_to = wrong.config.operations.notify.hl7
    notify = {"after_s": 0, "urgent_ml": 10.0, "patient_data": True, "hl7": {**hl7_to.model_dump(), "tls": tls}}
    right = Config.model_validate({**wrong.config.model_dump(), "operations": {"notify": notify}})
    Notifier(right, store, "node-1", lambda: UP).look()
    assert len(receiver.messages) == 1
    next(running, None)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"urgent_ml": 1}, "needs patient_data = true"),
        ({"patient_data": True}, "needs urgent_ml, urgent_probability or urgent_scores"),
    ],
)
def test_a_receiver_without_patients_or_without_a_limit_is_a_wrong_configuration(wrong: Any, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Notify.model_validate({"hl7": {"host": "ris"}, **wrong})
