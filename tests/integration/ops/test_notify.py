"""Messages to people, received by a real mail server and a real HTTP server: one when it starts, one when it ends."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from aiosmtpd.controller import Controller
from pydantic import ValidationError
from sqlalchemy import update
from typer.testing import CliRunner

from dicomnode.cli.main import app
from dicomnode.config.notify import Notify
from dicomnode.config.whole import Config
from dicomnode.ops.notify.faults import silent_s
from dicomnode.ops.notify.notifier import Notifier
from dicomnode.ops.state import BreakerState, NodeState
from dicomnode.store.engine import Store
from dicomnode.store.ops.alarms import acknowledge, alarms_of, all_alarms
from dicomnode.store.queue.jobs import claim_job
from dicomnode.store.states import JobEvent, RunEvent
from dicomnode.store.storage import MARKER, Storage
from dicomnode.store.tables import Instance, Job, Run, Series
from dicomnode.store.transitions import move
from tests.acceptance.orthanc import free_port
from tests.integration.deliver.world import claimed_job, new_job
from tests.integration.ops.site import UP
from tests.integration.ops.test_audit import receive
from tests.integration.ops.test_figures import POSITIVE
from tests.integration.store.fixture import both_databases
from tests.tools.certificates import Authority


class Inbox:
    """Mails and posts as they came. ``fails``: servers then refuse what comes."""

    def __init__(self) -> None:
        self.mails: list[Message] = []
        self.posts: list[dict[str, Any]] = []
        self.fails = False

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        """As aiosmtpd calls it."""
        if self.fails:
            return "451 try again later"
        self.mails.append(message_from_bytes(envelope.content))
        return "250 OK"

    @property
    def subjects(self) -> list[str]:
        """Of all mails."""
        return [str(mail["Subject"]) for mail in self.mails]

    @property
    def everything(self) -> str:
        """All that was told, as text."""
        return "".join(mail.as_string() for mail in self.mails) + json.dumps(self.posts)


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Inbox, int, int]]:
    """A mail server and an HTTP server; the ports."""
    inbox, mail_port = Inbox(), free_port()

    class Posted(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not inbox.fails:
                inbox.posts.append(body)
            self.send_response(503 if inbox.fails else 204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Posted)
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    mail = Controller(inbox, hostname="127.0.0.1", port=mail_port)
    mail.start()
    yield inbox, mail_port, http.server_port
    mail.stop()
    http.shutdown()
    http.server_close()
    thread.join()


class Told:
    """A node that is looked at by hand; ``state`` is what it says of itself."""

    def __init__(self, store: Store, folder: Path, servers: tuple[Inbox, int, int], **notify: Any) -> None:
        self.inbox, mail_port, http_port = servers
        self.inbox.mails.clear()
        self.inbox.posts.clear()
        self.inbox.fails = False
        mail = {"host": "127.0.0.1", "port": mail_port, "security": "none", "sender": "node@example.org"}
        ways = {
            "webhook": {"url": f"http://127.0.0.1:{http_port}/hook"},
            "mail": mail | {"recipients": ["a@example.org"]},
        }
        self.config = Config.model_validate(
            {
                "node": {"data_dir": folder, "ae_title": "AINODE"},
                "reception": {"min_free_gb": 0},
                "operations": {"notify": {"after_s": 0, **ways, **notify}},
            }
        )
        Storage(store, self.config.spool_dir).bind()
        self.store, self.state = store, UP
        self.notifier = self.started()

    def started(self, owner: str = "node-1") -> Notifier:
        """The node starts (again)."""
        return Notifier(self.config, self.store, owner, lambda: self.state)

    def look(self, **state: Any) -> None:
        """The node looks at itself."""
        if state:
            self.state = NodeState(**{**{name: getattr(UP, name) for name in UP.__slots__}, **state})
        self.notifier.look()


@pytest.fixture
def told(store: Store, tmp_path: Path, servers: tuple[Inbox, int, int]) -> Told:
    """A node that tells both ways at once."""
    return Told(store, tmp_path / "data", servers)


AWAY = (BreakerState("pacs", True, 3),)


@both_databases
def test_a_destination_that_goes_away_is_one_message_and_its_return_another(told: Told) -> None:
    told.look()
    assert told.inbox.mails == []
    for _ in range(3):
        told.look(breakers=AWAY)
    assert told.inbox.subjects == ["AINODE: FAULT: destination pacs"]
    for _ in range(3):
        told.look(breakers=UP.breakers)
    assert told.inbox.subjects == ["AINODE: FAULT: destination pacs", "AINODE: over: destination pacs"]
    assert [(post["event"], post["what"]) for post in told.inbox.posts] == [
        ("start", "destination pacs"),
        ("end", "destination pacs"),
    ]
    with told.store.read() as session:
        assert alarms_of(session, "node-1") == []


def test_a_restart_repeats_no_message(told: Told) -> None:
    told.look(breakers=AWAY)
    told.notifier = told.started()
    told.look(breakers=AWAY)
    assert len(told.inbox.mails) == len(told.inbox.posts) == 1


def test_what_cannot_be_sent_is_sent_later_and_by_each_way_once(told: Told) -> None:
    told.inbox.fails = True
    told.look(breakers=AWAY)
    told.look(breakers=AWAY)
    assert told.inbox.mails == []
    told.inbox.fails = False
    told.look(breakers=AWAY)
    told.look(breakers=AWAY)
    assert len(told.inbox.mails) == len(told.inbox.posts) == 1


def acknowledged(told: Told, by: str = "anna") -> str | None:
    """The only alarm of the node."""
    with told.store.write() as session:
        (alarm,) = all_alarms(session)
        return acknowledge(session, alarm.alarm_id, by=by)


@both_databases
def test_an_acknowledged_alarm_is_quiet_until_it_ends_and_its_end_is_told_to_those_who_heard_of_it(told: Told) -> None:
    told.look(breakers=AWAY)
    assert acknowledged(told) == "destination pacs"
    assert acknowledged(told, by="bert") == "destination pacs"
    told.notifier = told.started()
    told.look(breakers=AWAY)
    with told.store.read() as session:
        assert [one.acknowledged_by for one in all_alarms(session)] == ["anna"]
    told.look(breakers=UP.breakers)
    told.look(breakers=AWAY)
    said = ["FAULT", "over", "FAULT"]
    assert told.inbox.subjects == [f"AINODE: {word}: destination pacs" for word in said]
    with told.store.read() as session:
        assert [one.acknowledged_at for one in all_alarms(session)] == [None]


def test_an_alarm_that_is_acknowledged_before_anybody_was_told_is_no_message(told: Told) -> None:
    told.inbox.fails = True
    told.look(breakers=AWAY)
    acknowledged(told)
    told.inbox.fails = False
    told.look(breakers=AWAY)
    told.look(breakers=UP.breakers)
    assert (told.inbox.mails, told.inbox.posts) == ([], [])
    with told.store.read() as session:
        assert alarms_of(session, "node-1") == []


def test_an_alarm_that_is_over_cannot_be_acknowledged(told: Told) -> None:
    with told.store.write() as session:
        assert acknowledge(session, 4711, by="anna") is None


def test_what_does_not_last_is_not_told(store: Store, tmp_path: Path, servers: tuple[Inbox, int, int]) -> None:
    told = Told(store, tmp_path / "data", servers, after_s=3600)
    told.look(breakers=AWAY)
    told.look(breakers=UP.breakers)
    told.look()
    assert told.inbox.mails == []


def test_a_worker_a_spool_and_a_part_that_fail_are_told(told: Told) -> None:
    told.look(works=False, worker_fault="no such device", has_failed=True)
    assert {post["what"]: post["says"] for post in told.inbox.posts} == {
        "not ready: parts": "a part of the node died",
        "not ready: works": "no such device",
    }
    (told.config.spool_dir / MARKER).unlink()
    told.look()
    assert "not ready: spool" in [post["what"] for post in told.inbox.posts]


@both_databases
def test_jobs_without_a_result_and_stat_jobs_that_wait_are_told(told: Told) -> None:
    new_job(told.store, priority="stat")
    with told.store.write() as session:
        session.execute(update(Job).values(ready_at=time.time() - 1000))
    claim = claimed_job(told.store)
    del claim
    with told.store.write() as session:
        job = session.query(Job).filter_by(status="running").one()
        move(session, job, JobEvent.FAIL, finished_at=time.time())
        session.execute(update(Job).where(Job.status == "queued").values(priority="stat", ready_at=time.time() - 1000))
    told.look()
    assert {post["what"] for post in told.inbox.posts} == {"jobs without a result", "stat jobs wait"}


@both_databases
def test_silence_in_its_hours_is_told_and_none_at_night(
    told: Told, store: Store, tmp_path: Path, servers: tuple[Inbox, int, int]
) -> None:
    by_day = Told(store, tmp_path / "data", servers, silence_h=0.000001, silence_from=0, silence_to=24)
    by_day.look()
    assert [post["what"] for post in by_day.inbox.posts] == ["silence"]
    never = Told(store, tmp_path / "data", servers, silence_h=0.000001, silence_from=24, silence_to=24)
    never.look()
    assert [post["event"] for post in never.inbox.posts] == ["end"]


def find(store: Store) -> None:
    """One more job, whose haemorrhage is urgent."""
    new_job(store)
    with store.write() as session:
        run = session.query(Run).filter_by(status="pending").one()
        move(session, run, RunEvent.START, started_at=time.time(), device="cpu")
        move(session, run, RunEvent.SUCCEED, finished_at=time.time(), outcomes=[POSITIVE])


@both_databases
def test_of_two_nodes_on_one_database_one_tells_of_it_and_the_other_when_that_is_gone(
    store: Store, tmp_path: Path, servers: tuple[Inbox, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told(store, tmp_path / "data", servers, urgent_ml=10.0, silence_h=0.000001, silence_from=0, silence_to=24)
    other = told.started("node-2")
    told.look()
    assert [post["what"] for post in told.inbox.posts] == ["silence"]
    find(store)
    other.look()  # it is not its turn
    assert len(told.inbox.posts) == 1
    told.look()
    other.look()
    assert [post["event"] for post in told.inbox.posts] == ["start", "finding"]
    monkeypatch.setattr(time, "time", lambda now=time.time: now() + 120.0)
    find(store)
    other.look()  # the first one has not looked for two minutes
    assert [post["event"] for post in told.inbox.posts] == ["start", "finding", "finding"]
    find(store)
    told.look()
    assert len(told.inbox.posts) == len(told.inbox.mails) == 3


def test_disk_worker_and_spool_are_each_one_message_when_they_start_and_one_when_they_end(
    store: Store, tmp_path: Path, servers: tuple[Inbox, int, int]
) -> None:
    told = Told(store, tmp_path / "data", servers)
    full = told.config.model_copy(update={"reception": told.config.reception.model_copy(update={"min_free_gb": 1e6})})
    fine, marker = told.config, (told.config.spool_dir / MARKER).read_bytes()
    for _ in range(2):
        (told.config.spool_dir / MARKER).unlink(missing_ok=True)
        told.config = full
        told.notifier = told.started()
        told.look(works=False, worker_fault="no such device")
    (told.config.spool_dir / MARKER).write_bytes(marker)
    told.config = fine
    told.notifier = told.started()
    for _ in range(2):
        told.look(works=True, worker_fault="")
    faults = {"not ready: stores", "not ready: works", "not ready: spool"}
    assert {post["what"] for post in told.inbox.posts} == faults
    for what in faults:
        events = [post["event"] for post in told.inbox.posts if post["what"] == what]
        assert events == ["start", "end"], what
    mails = [f"AINODE: {word}: {what}" for word in ("FAULT", "over") for what in faults]
    assert sorted(told.inbox.subjects) == sorted(mails)


@both_databases
def test_only_the_hours_in_which_images_are_expected_count_as_silent(store: Store) -> None:
    notify = {"silence_h": 3, "silence_from": 7, "silence_to": 19}
    config = Config.model_validate({"node": {"timezone": "Europe/Berlin"}, "operations": {"notify": notify}})
    receive(store)

    def silent_h(day: int, hour: int, minute: int = 0) -> float:
        now = datetime(2026, 3, day, hour, minute, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()
        return silent_s(session, config, now) / 3600

    with store.write() as session:
        last_at = datetime(2026, 3, 2, 16, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()
        session.execute(update(Instance).values(received_at=last_at))
        evening, night, early, next_day = silent_h(2, 18, 30), silent_h(2, 23), silent_h(3, 6), silent_h(3, 9, 15)
    assert (evening, night, early, next_day) == pytest.approx((2.5, 0, 0, 2.25))


def test_silence_ends_with_the_next_image(store: Store, tmp_path: Path, servers: tuple[Inbox, int, int]) -> None:
    waiting = Told(store, tmp_path / "data", servers, silence_h=1 / 3600, silence_from=0, silence_to=24)
    waiting.look()
    assert waiting.inbox.subjects == ["AINODE: FAULT: silence"]
    receive(store)
    with store.write() as session:
        session.execute(update(Instance).values(received_at=time.time() + 30))
    waiting.look()
    waiting.look()
    assert waiting.inbox.subjects == ["AINODE: FAULT: silence", "AINODE: over: silence"]


@pytest.mark.parametrize("patient_data", [False, True])
def test_an_urgent_finding_is_told_once_and_names_nobody(
    store: Store, tmp_path: Path, servers: tuple[Inbox, int, int], patient_data: bool
) -> None:
    told = Told(store, tmp_path / "data", servers, urgent_ml=10.0, patient_data=patient_data)
    new_job(store)
    with store.write() as session:
        session.execute(update(Series).values(accession_number="ACC-SECRET"))
        session.execute(update(Job).values(accession_number="ACC-SECRET"))
        assert claim_job(session, owner="worker", lease_s=60) is not None
        run = session.query(Run).one()
        move(session, run, RunEvent.START, started_at=time.time(), device="cpu")
        move(session, run, RunEvent.SUCCEED, finished_at=time.time(), outcomes=[POSITIVE])
    for _ in range(3):
        told.look()
    assert told.inbox.subjects == ["AINODE: URGENT FINDING: finding of job 1: hemorrhage, hemorrhage"]
    (post,) = told.inbox.posts
    assert "hemorrhage positive, 12.5 mL, 1 lesion" in post["says"]
    assert ("ACC-SECRET" in told.inbox.everything) is patient_data


def test_a_finding_below_the_limit_is_not_told(store: Store, tmp_path: Path, servers: tuple[Inbox, int, int]) -> None:
    told = Told(store, tmp_path / "data", servers, urgent_ml=12.6, urgent_probability=0.9)
    new_job(store)
    with store.write() as session:
        run = session.query(Run).one()
        move(session, run, RunEvent.START, started_at=time.time(), device="cpu")
        move(session, run, RunEvent.SUCCEED, finished_at=time.time(), outcomes=[POSITIVE])
    told.look()
    assert told.inbox.mails == []


def test_mail_goes_over_starttls_and_never_to_a_server_that_cannot_prove_who_it_is(
    store: Store, tmp_path: Path, servers: tuple[Inbox, int, int]
) -> None:
    authority = Authority(tmp_path / "tls")
    made = authority.sign("mail")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.cert, made.key)
    inbox, port = Inbox(), free_port()
    server = Controller(inbox, hostname="127.0.0.1", port=port, tls_context=context, require_starttls=True)
    server.start()
    mail = {"host": "127.0.0.1", "port": port, "sender": "node@example.org", "recipients": ["a@example.org"]}
    try:
        doubted = Told(store, tmp_path / "data", servers, mail=mail, webhook={})
        doubted.look(breakers=AWAY)
        assert inbox.mails == []
        trusted = Told(store, tmp_path / "data", servers, mail=mail | {"ca": str(authority.ca)}, webhook={})
        trusted.look(breakers=AWAY)
        assert inbox.subjects == ["AINODE: FAULT: destination pacs"]
    finally:
        server.stop()


def test_a_trial_message_goes_every_way(tmp_path: Path, servers: tuple[Inbox, int, int]) -> None:
    inbox, mail_port, http_port = servers
    inbox.mails.clear()
    inbox.posts.clear()
    inbox.fails = False
    path = tmp_path / "config.toml"
    mail = f'host = "127.0.0.1", port = {mail_port}, security = "none", sender = "n@example.org"'
    path.write_text(
        f'[operations.notify]\nwebhook = {{ url = "http://127.0.0.1:{http_port}/x" }}\n'
        f'mail = {{ {mail}, recipients = ["a@example.org"] }}\n'
    )
    ended = CliRunner().invoke(app, ["operations", "message", "--config", str(path)])
    assert (ended.exit_code, ended.output) == (0, "webhook: sent\nmail: sent\n")
    assert inbox.subjects == ["DICOMNODE: FAULT: trial"]
    inbox.fails = True
    assert CliRunner().invoke(app, ["operations", "message", "--config", str(path)]).exit_code == 1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"host": "mail"}, "sender and recipients are missing"),
        ({"host": "m", "sender": "a", "recipients": ["b"], "user": "u"}, "belong together"),
        (
            {"host": "m", "sender": "a", "recipients": ["b"], "user": "u", "password_file": "p", "security": "none"},
            "in the clear",
        ),
    ],
)
def test_a_mail_server_is_configured_whole_or_not_at_all(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Notify.model_validate({"mail": wrong})
