"""A FHIR server is asked over a real socket: what it tells is stored, what it does wrong has a coded outcome."""

from __future__ import annotations

import json
import logging
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dicomnode.clinical.sources.fhir.asker import Asker
from dicomnode.config.load import parse_config
from dicomnode.config.whole import Config
from dicomnode.errors import ConfigError, FhirOutcome
from dicomnode.logs import JsonFormatter
from dicomnode.records import Patient
from dicomnode.store.clinical.late import studies_to_check
from dicomnode.store.clinical.observations import KnownOfPatient, known_of
from dicomnode.store.clinical.patients import merge_patients, record_study
from dicomnode.store.clinical.questions import QuestionLine, make_question, questions_of, renew_questions
from dicomnode.store.engine import Store
from dicomnode.store.tables import Event, FhirQuestion
from tests.integration.store.fixture import sqlite_only
from tests.tools.certificates import Authority
from tests.tools.fhir_server import (
    SYSTEM,
    FhirTestServer,
    Reply,
    condition,
    observation,
    outcome,
    patient,
    report,
)
from tests.tools.leaks import told_in

pytestmark = sqlite_only

STUDY = "1.2.3"
AT = "2026-01-01T09:00:00Z"
SCANNED_AT = datetime(2026, 1, 1, 10, tzinfo=UTC).timestamp()
ANNA = Patient(patient_id="ANNA", issuer="HOSPITAL", birth_date="19430601", sex="F")
GCS = observation("gcs", "a", "9269-2", 10, "{score}", AT)


@pytest.fixture
def server() -> Iterator[FhirTestServer]:
    with FhirTestServer(patient("a", "ANNA"), GCS) as running:
        yield running


class Asking:
    """A store with one question, and a server to ask."""

    def __init__(self, store: Store, server: FhirTestServer, **fhir: Any) -> None:
        told = {"base_url": server.url, "identifier_system": SYSTEM, "timeout_s": 2.0, **fhir}
        self.config: Config = parse_config({"clinical": {"issuer": "HOSPITAL", "fhir": told}}, serving=False)
        self.store = store
        self.asker = Asker(self.config, store)
        with store.write() as session:
            make_question(session, STUDY, ANNA, SCANNED_AT)

    def ask(self, *, again: bool = False) -> str:
        """Ask what is due; the outcome. ``again``: it is due now, whatever was said before."""
        if again:
            with self.store.write() as session:
                session.query(FhirQuestion).update({"next_try_at": time.time()})
        assert self.asker.look()
        return self.line().outcome

    def line(self) -> QuestionLine:
        with self.store.read() as session:
            (line,) = questions_of(session, [STUDY])
        return line

    def known(self) -> KnownOfPatient:
        with self.store.read() as session:
            return known_of(session, ANNA)

    def values(self) -> dict[str, Any]:
        return {one.name: one.value for one in self.known().observations}

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        with self.store.read() as session:
            return [(row.name, row.detail) for row in session.query(Event).order_by(Event.id)]

    def settled(self) -> bool:
        with self.store.read() as session:
            return session.query(FhirQuestion).one().settled_at is not None


def test_all_that_is_known_of_the_patient_is_stored_with_its_resource(store: Store, server: FhirTestServer) -> None:
    server.resources += [
        observation("old", "a", "9269-2", 15, "{score}", "2025-01-01T09:00:00Z"),
        observation("a1c", "a", "4548-4", 6.1, "%", "2024-05-01T09:00:00Z"),
        condition("af", "a", "I48.0"),
        report("ct", "a", AT, conclusion="No bleed."),
        observation("other", "b", "9269-2", 3, "{score}", AT),
    ]
    asking = Asking(store, server)
    assert asking.ask() == FhirOutcome.ANSWERED
    known = asking.known()
    assert {(one.name, one.value, one.provenance) for one in known.observations} == {
        ("gcs", 10.0, "Observation/gcs"),
        ("gcs", 15.0, "Observation/old"),
        ("hba1c", 6.1, "Observation/a1c"),
        ("atrial_fibrillation", True, "Condition/af"),
    }
    assert {one.patient for one in known.observations} == {ANNA}
    assert [(one.section, one.text, one.source) for one in known.texts] == [("impression", "No bleed.", "FHIR")]
    assert server.asked[0][1]["identifier"] == [f"{SYSTEM}|ANNA"]
    assert server.asked[1][1]["date"] == ["ge2025-12-31T10:00:00+00:00", "le2026-01-01T16:00:00+00:00"]
    assert "date" not in server.asked[2][1]
    assert asking.events() == [("answered", {"values": 4, "texts": 1, "new": 5})]
    assert asking.settled()
    assert asking.ask(again=True) == FhirOutcome.ANSWERED
    assert len(asking.events()) == 1  # nothing was news


def test_an_empty_answer_says_nothing_and_is_no_no(store: Store, server: FhirTestServer) -> None:
    server.resources = [patient("a", "ANNA")]
    asking = Asking(store, server)
    assert asking.ask() == FhirOutcome.ANSWERED
    assert asking.values() == {}


def test_pages_are_followed_to_the_last(store: Store, server: FhirTestServer) -> None:
    server.page = 1
    server.resources += [observation(f"s{n}", "a", "2951-2", 130 + n, "mmol/L", AT) for n in range(4)]
    asking = Asking(store, server)
    assert asking.ask() == FhirOutcome.ANSWERED
    assert len(asking.known().observations) == 5


def test_endless_pages_end_and_are_told(store: Store, server: FhirTestServer) -> None:
    server.endless = True
    asking = Asking(store, server, max_pages=7)
    assert asking.ask() == FhirOutcome.IN_PART
    assert len(server.asked) <= 7
    assert asking.line().detail["more_than_read"] is True


@pytest.mark.parametrize("where", ["http://127.0.0.1:1/fhir", "https://elsewhere.example/fhir", "//evil.example/fhir"])
def test_a_next_page_at_another_origin_is_not_followed(store: Store, server: FhirTestServer, where: str) -> None:
    server.page, server.next_base = 1, where
    server.resources.append(observation("s", "a", "2951-2", 140, "mmol/L", AT))
    asking = Asking(store, server)
    assert asking.ask() == FhirOutcome.IN_PART
    assert asking.line().detail["not_given"] == {"Observation": "other_origin"}
    assert asking.values() == {"gcs": 10.0}


def test_a_relative_next_page_is_followed(store: Store, server: FhirTestServer) -> None:
    server.page, server.next_base = 1, "/fhir"
    server.resources.append(observation("s", "a", "2951-2", 140, "mmol/L", AT))
    asking = Asking(store, server)
    assert asking.ask() == FhirOutcome.ANSWERED
    assert asking.values() == {"gcs": 10.0, "sodium": 140.0}


@pytest.mark.parametrize(
    ("kind", "reply", "why"),
    [
        ("Patient", Reply(503), FhirOutcome.NOT_REACHED),
        ("Patient", Reply(429, headers={"Retry-After": "120"}), FhirOutcome.BUSY),
        ("Patient", Reply(400, outcome("throttled")), FhirOutcome.NOT_REACHED),
        ("Patient", Reply(wait_s=3.0), FhirOutcome.NOT_REACHED),
        ("Patient", Reply(body=b"{" * 200, drip_s=0.1), FhirOutcome.NOT_REACHED),
        ("Observation", Reply(500), FhirOutcome.NOT_REACHED),
        ("Patient", Reply(403, outcome("forbidden")), FhirOutcome.NOT_ALLOWED),
        ("Patient", Reply(401), FhirOutcome.NOT_ALLOWED),
        ("Patient", Reply(404, b"<html>"), FhirOutcome.REFUSED),
        ("Patient", Reply(302, headers={"Location": "http://elsewhere.example/"}), FhirOutcome.REDIRECTED),
        ("Patient", Reply(200, outcome("processing")), FhirOutcome.BAD_ANSWER),
        ("Patient", Reply(200, b"not json"), FhirOutcome.BAD_ANSWER),
        ("Patient", Reply(200, b"[" * 100_000), FhirOutcome.BAD_ANSWER),
        ("Patient", Reply(200, []), FhirOutcome.BAD_ANSWER),
        ("Patient", Reply(200, b'{"a":"' + b"x" * 3_000_000 + b'"}'), FhirOutcome.TOO_LONG),
    ],
    ids=lambda value: str(getattr(value, "status", value)),
)
def test_what_a_server_does_wrong_has_an_outcome_that_passes_or_stays(
    store: Store, server: FhirTestServer, kind: str, reply: Reply, why: FhirOutcome
) -> None:
    server.always[kind] = reply
    asking = Asking(store, server, max_mb=2.0)
    before = time.time()
    assert asking.ask() == why
    line = asking.line()
    assert line.next_try_at is not None
    pause_s = line.next_try_at - before
    if why is FhirOutcome.BUSY:
        assert 119 < pause_s < 140
    elif why.passes:
        assert 1.0 < pause_s < 15.0
    else:
        assert pause_s > 890  # with the next look for later values
    assert asking.settled() is not why.passes
    assert asking.events()[0][0] == why
    assert "MUSTERMANN" not in json.dumps(asking.events())
    del server.always[kind]
    assert asking.ask(again=True) == FhirOutcome.ANSWERED
    assert asking.values() == {"gcs": 10.0}


def test_pauses_grow_and_failures_are_one_event(store: Store, server: FhirTestServer) -> None:
    server.always["Patient"] = Reply(503)
    asking = Asking(store, server)
    pauses = []
    for _ in range(4):
        asking.ask(again=True)
        pauses.append((asking.line().next_try_at or 0.0) - time.time())
    assert pauses == sorted(pauses)
    assert pauses[-1] > 10
    assert asking.line().failures == 4
    assert [name for name, _ in asking.events()] == ["not_reached"]


def test_a_server_that_is_away_is_asked_again(store: Store, server: FhirTestServer) -> None:
    asking = Asking(store, server, base_url="http://127.0.0.1:1/fhir")
    assert asking.ask() == FhirOutcome.NOT_REACHED
    assert not asking.settled()


def test_the_whole_question_has_one_budget_of_time(store: Store, server: FhirTestServer) -> None:
    server.always["Condition"] = Reply(wait_s=5.0)
    server.replies["Observation"] = [Reply(wait_s=0.7, body=server._bundle("Observation", "patient=a"))]
    asking = Asking(store, server, budget_s=1.0, timeout_s=10.0)
    began = time.monotonic()
    assert asking.ask() in (FhirOutcome.TOO_SLOW, FhirOutcome.NOT_REACHED)
    assert time.monotonic() - began < 4.0
    assert asking.values() == {"gcs": 10.0}  # what was told before it stands


def test_a_kind_that_is_not_allowed_leaves_the_others(store: Store, server: FhirTestServer) -> None:
    server.always["Condition"] = Reply(403)
    server.resources.append(report("ct", "a", AT, conclusion="No bleed."))
    asking = Asking(store, server)
    assert asking.ask() == FhirOutcome.IN_PART
    assert asking.line().detail["not_given"] == {"Condition": "not_allowed"}
    assert (asking.values(), len(asking.known().texts)) == ({"gcs": 10.0}, 1)


def test_a_server_that_passes_over_parameters_gives_nobody_elses_values(store: Store, server: FhirTestServer) -> None:
    server.ignores_parameters = True
    server.resources += [patient("b", "BERT"), observation("b1", "b", "72089-6", 40, "{score}", AT)]
    asking = Asking(store, server)
    assert asking.ask() == FhirOutcome.ANSWERED
    assert asking.values() == {"gcs": 10.0}
    assert asking.line().detail["refused"] == {"Observation wrong_patient": 2}  # it was asked twice
    server.resources = [patient("b", "BERT"), observation("b1", "b", "72089-6", 40, "{score}", AT)]
    assert asking.ask(again=True) == FhirOutcome.WRONG_PATIENT
    assert asking.values() == {"gcs": 10.0}


@pytest.mark.parametrize(
    ("others", "why"),
    [
        ([patient("b", "BERT")], FhirOutcome.NO_PATIENT),
        ([patient("a", "ANNA"), patient("b", "ANNA")], FhirOutcome.TWO_PATIENTS),
        ([patient("a", "ANNA", birthDate="1950-01-01")], FhirOutcome.CONTRADICTS),
    ],
)
def test_nothing_is_stored_of_a_patient_who_is_not_the_one(
    store: Store, server: FhirTestServer, others: list[dict[str, Any]], why: FhirOutcome
) -> None:
    server.resources = [*others, GCS]
    asking = Asking(store, server)
    assert asking.ask() == why
    assert asking.values() == {}
    assert server.kinds_asked() == ["Patient"]


def test_what_is_corrected_or_entered_in_error_is_taken_back(store: Store, server: FhirTestServer) -> None:
    asking = Asking(store, server)
    with store.write() as session:
        record_study(session, STUDY, ANNA, SCANNED_AT)
    asking.ask()
    server.resources[1] = {**GCS, "status": "corrected", "valueQuantity": {"value": 4, "code": "{score}"}}
    assert asking.ask(again=True) == FhirOutcome.ANSWERED
    assert asking.values() == {"gcs": 4.0}
    server.resources[1] = {**GCS, "status": "entered-in-error"}
    asking.ask(again=True)
    assert asking.values() == {}
    assert asking.events()[-1] == ("answered", {"taken_back": 1})
    with store.read() as session:
        (study,) = studies_to_check(session, since=time.time() - 60, seen_since=0, slack_s=60)
    assert study.newest_at > time.time() - 60  # what was taken back may amend results, as what came may


def test_a_token_is_fetched_renewed_when_refused_and_never_told(
    store: Store, server: FhirTestServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("open sesame\n")
    secret.chmod(0o600)
    server.tokens = ["first"]
    auth = {"scheme": "oauth", "token_url": f"{server.url}/token", "client_id": "node", "secret_file": str(secret)}
    with caplog.at_level(logging.DEBUG, "dicomnode"):
        asking = Asking(store, server, auth={**auth, "scope": "system/*.read"})
        assert asking.ask() == FhirOutcome.ANSWERED
        assert len(server.token_requests) == 1
        assert server.token_requests[0][1] == {"grant_type": ["client_credentials"], "scope": ["system/*.read"]}
        server.tokens = ["second"]  # the first one has expired before its time
        assert asking.ask(again=True) == FhirOutcome.ANSWERED
        assert server.authorizations[-1] == "Bearer second"
        server.always["Patient"] = Reply(401)
        assert asking.ask(again=True) == FhirOutcome.NOT_ALLOWED
        server.replies["token"] = [Reply(500), Reply(500)]
        assert asking.ask(again=True) == FhirOutcome.NO_CREDENTIALS
    lines = [JsonFormatter().format(one) for one in caplog.records if one.name.startswith("dicomnode")]
    assert len(lines) == 4
    told = json.dumps([lines, asking.events(), asking.line().detail])
    assert told_in(told, ("open sesame", "second", "Bearer", "ANNA", "1943", "1943-06-01")) == []


def test_a_token_is_renewed_before_it_ends(store: Store, server: FhirTestServer, monkeypatch: Any) -> None:
    monkeypatch.setenv("FHIR_SECRET", "open sesame")
    server.tokens, server.expires_in = ["first"], 0.2
    auth = {"scheme": "oauth", "token_url": f"{server.url}/token", "client_id": "node", "secret_env": "FHIR_SECRET"}
    asking = Asking(store, server, auth=auth)
    asking.ask()
    time.sleep(0.2)
    before = len(server.token_requests)
    asking.ask(again=True)
    assert len(server.token_requests) > before
    assert 401 not in [reply for reply in server.authorizations]


def test_a_bearer_token_goes_to_the_server_over_tls_of_a_private_authority(store: Store, tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path / "other", "stranger")
    made = authority.sign("fhir")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.cert, made.key)
    token = tmp_path / "token"
    token.write_text("abc\n")
    token.chmod(0o600)
    auth = {"scheme": "bearer", "secret_file": str(token)}
    with FhirTestServer(patient("a", "ANNA"), GCS, tls=context) as server:
        server.tokens = ["abc"]
        asking = Asking(store, server, auth=auth, tls={"ca": str(stranger.ca)})
        assert asking.ask() == FhirOutcome.NOT_REACHED
        assert server.authorizations == []
        told = {**asking.config.clinical.fhir.model_dump(), "tls": {"ca": str(authority.ca)}}
        clinical = {"issuer": "HOSPITAL", "fhir": told}
        asking.asker = Asker(parse_config({"clinical": clinical}, serving=False), store)
        assert asking.ask(again=True) == FhirOutcome.ANSWERED
        assert set(server.authorizations) == {"Bearer abc"}


def test_a_certificate_that_is_not_there_is_said_at_the_start_and_one_that_goes_is_waited_for(
    store: Store, server: FhirTestServer, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"clinical\.fhir: tls: .* is no file"):
        Asking(store, server, base_url="https://127.0.0.1:1/f", tls={"ca": str(tmp_path / "none.pem")})
    ca = Authority(tmp_path).ca
    asking = Asking(store, server, base_url="https://127.0.0.1:1/f", tls={"ca": str(ca)})
    ca.unlink()
    assert asking.ask() == FhirOutcome.NO_CREDENTIALS


def test_an_id_of_another_issuer_is_asked_for_under_its_own_system_or_not_at_all(
    store: Store, server: FhirTestServer
) -> None:
    asking = Asking(store, server, identifier_systems={"ELSEWHERE": "urn:oid:1.2"})
    with store.write() as session:
        merge_patients(session, ("ANNA", "HOSPITAL"), ("E17", "ELSEWHERE"))
    server.resources = [patient("x", "E17") | {"identifier": [{"system": "urn:oid:1.2", "value": "E17"}]}]
    assert asking.ask() == FhirOutcome.ANSWERED
    assert [asked["identifier"] for path, asked in server.asked if path.endswith("Patient")] == [["urn:oid:1.2|E17"]]


def test_images_that_name_another_patient_now_are_asked_about_anew(store: Store, server: FhirTestServer) -> None:
    asking = Asking(store, server)
    asking.ask()
    with store.write() as session:
        record_study(session, STUDY, Patient(patient_id="BERT", issuer="HOSPITAL"), SCANNED_AT)
        assert renew_questions(session, since=0) == 1
        assert renew_questions(session, since=0) == 0
    assert not asking.settled()
    assert asking.ask() == FhirOutcome.NO_PATIENT
    assert server.asked[-1][1]["identifier"] == [f"{SYSTEM}|BERT"]


def test_a_question_that_nobody_finished_is_due_again_and_one_answer_is_enough(
    store: Store, server: FhirTestServer
) -> None:
    asking = Asking(store, server, poll_s=0)
    assert asking.ask() == FhirOutcome.ANSWERED
    assert asking.line().next_try_at is None
    assert not asking.asker.look()


def test_a_node_that_stops_asks_no_further_and_the_question_is_due_at_once(
    store: Store, server: FhirTestServer
) -> None:
    asking = Asking(store, server)
    asking.asker = Asker(asking.config, store, lambda: bool(server.asked))
    assert asking.asker.look()
    assert server.kinds_asked() == ["Patient"]
    assert (asking.line().outcome, asking.events()) == ("", [])
    assert (asking.line().next_try_at or 0.0) <= time.time()
    asking.asker = Asker(asking.config, store)
    assert asking.ask() == FhirOutcome.ANSWERED
