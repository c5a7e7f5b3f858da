"""Messages to a real port, rows in a real database, and the answers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicomnode.records import ContextSource, Patient
from dicomnode.store.clinical.patients import all_keys
from dicomnode.store.engine import Store
from tests.integration.clinical.hl7_world import Hl7World, listening
from tests.integration.store.fixture import both_databases
from tests.tools.hl7_messages import D_DIMER, GCS, GLUCOSE, INR, Hl7Peer, message, obr, obx, pid
from tests.tools.leaks import told_in


@pytest.fixture
def world(store: Store, tmp_path: Path) -> Iterator[Hl7World]:
    with listening(store, tmp_path, codes={"DD": "d_dimer"}, idle_timeout_s=30) as running:
        yield running


@both_databases
def test_what_is_acknowledged_is_in_the_database_with_source_and_provenance(world: Hl7World) -> None:
    with Hl7Peer(world.port) as peer:
        ack = peer.send(message(pid(), obr(), obx(GLUCOSE, "7", "mmol/L"), obx(GCS, "10"), control_id="42"))
        assert (ack.code, ack.control_id, ack.reasons) == ("AA", "42", [])
        (gcs, glucose) = sorted(world.known().observations, key=lambda one: one.name)
        assert (gcs.name, gcs.value, gcs.source, gcs.provenance) == ("gcs", 10.0, ContextSource.HL7, "LAB 42 OBX 1")
        assert glucose.value == 7.0
        again = peer.send(message(pid(), obr(), obx(GLUCOSE, "7", "mmol/L"), obx(GCS, "10"), control_id="42"))
        assert again.code == "AA"
    assert len(world.known().observations) == 2


def test_a_value_that_cannot_be_used_is_named_and_the_others_are_stored(world: Hl7World) -> None:
    with Hl7Peer(world.port) as peer:
        sent = message(pid(), obr(), obx(GCS, "10"), obx("DD^x^L", "850", "ng/mL"), obx(D_DIMER, "850", "ng/mL"))
        ack = peer.send(sent)
    assert (ack.code, ack.reasons) == ("AE", ["unknown_unit"])
    assert ack.named("ERR")[0][2] == "OBX^2^5"
    assert world.values() == {"gcs": 10.0, "d_dimer": 0.85}


@both_databases
def test_a_laboratory_corrects_and_takes_back(world: Hl7World) -> None:
    with Hl7Peer(world.port) as peer:

        def say(value: str, status: str, at: str) -> dict[str, object]:
            sent = message(pid(), obr(), obx(INR, value, status=status), at=at)
            assert peer.send(sent).code == "AA"
            return world.values()

        assert say("2.0", "P", "20260101100100") == {"inr": 2.0}
        assert say("2.1", "F", "20260101100200") == {"inr": 2.1}
        assert say("3.1", "C", "20260101100300") == {"inr": 3.1}
        assert say("2.1", "F", "20260101100200") == {"inr": 3.1}
        assert say("", "W", "20260101100400") == {}
        assert say("3.1", "C", "20260101100300") == {}


def test_a_correction_that_cannot_be_used_still_takes_back_what_it_corrects(world: Hl7World) -> None:
    with Hl7Peer(world.port) as peer:
        assert peer.send(message(pid(), obr(), obx(INR, "2.1"), at="202601011001")).code == "AA"
        ack = peer.send(message(pid(), obr(), obx(INR, "<1.0", kind="ST", status="C"), at="202601011002"))
        assert (ack.code, ack.reasons) == ("AE", ["only_a_limit"])
        assert world.values() == {}
        assert peer.send(message(pid(), obr(), obx(INR, "0.9", status="C"), at="202601011002")).code == "AA"
    assert world.values() == {"inr": 0.9}


def test_a_message_that_is_refused_stores_nothing_and_says_why(world: Hl7World) -> None:
    good = message(pid(), obr(), obx(GCS, "10"))
    with Hl7Peer(world.port) as peer:
        for change, code, reason in [
            (("|ORU^R01^ORU_R01|", "|ORM^O01|"), "AR", "wrong_type"),
            (("|2.5.1|", "|4|"), "AR", "wrong_version"),
            (("UNICODE UTF-8", "EBCDIC"), "AR", "unknown_charset"),
            (("|P|", "|D|"), "AR", "wrong_processing_id"),
            (("4711^^^HOSPITAL^MR", ""), "AE", "no_patient"),
            (("|19440502|", "|soon|"), "AE", "odd_patient"),
        ]:
            ack = peer.send(good.replace(*change, 1))
            assert (ack.code, ack.control_id, ack.reasons) == (code, "M1", [reason])
    assert world.values() == {}


@both_databases
def test_a_merge_makes_what_was_known_before_the_survivors(world: Hl7World) -> None:
    with Hl7Peer(world.port) as peer:
        peer.send(message(pid("E17"), obr(), obx(GCS, "4")))
        ack = peer.send(message(pid("DORA"), "MRG|E17^^^HOSPITAL^MR", kind="ADT^A40^ADT_A39"))
    assert ack.code == "AA"
    assert world.values("DORA") == {"gcs": 4.0}
    with world.store.read() as session:
        assert ("E17", "HOSPITAL") in all_keys(session, Patient(patient_id="DORA", issuer="HOSPITAL"))


def test_an_admission_with_diagnoses_is_known_and_replaced_by_the_next(world: Hl7World) -> None:
    with Hl7Peer(world.port) as peer:
        admission = message(pid(), "DG1|1||I48.0^AF^I10", "DG1|2||I63.5^stroke^I10", kind="ADT^A01^ADT_A01")
        assert peer.send(admission).code == "AA"
        assert world.values() == {"age": 81.0, "sex": "female", "atrial_fibrillation": True}
        peer.send(message(pid(born="19340502"), kind="ADT^A08^ADT_A01", at="20260102"))
        peer.send(message(pid(born="19340502"), kind="ADT^A08^ADT_A01", at="202601021000"))
    ages = [one for one in world.known().observations if one.name == "age"]
    assert [(one.value, one.patient.birth_date) for one in ages] == [(91.0, "19340502")]


def test_a_message_without_anything_of_the_nodes_is_acknowledged(world: Hl7World) -> None:
    with Hl7Peer(world.port) as peer:
        assert peer.send(message(pid(), obr(), obx("1-8^other^LN", "5", "mg"))).code == "AA"
        assert peer.send(message(pid(), obr(), acks=("AL", "NE"))).code == "CA"
        peer.socket.sendall(b"\x0b" + message(pid(), obr(), acks=("NE", "NE")).encode() + b"\x1c\r")
        assert peer.send(message(pid(), obr(), control_id="after")).control_id == "after"


@both_databases
@pytest.mark.parametrize(
    ("charset", "codec", "text"),
    [
        ("8859/1", "latin-1", "Größe"),
        ("GB18030-2000", "gb18030", "脑出血"),
        ("ISO IR6~ISO IR87", "iso2022_jp", "脳出血"),
    ],
)
def test_a_text_arrives_in_the_character_set_of_its_message(
    world: Hl7World, charset: str, codec: str, text: str
) -> None:
    sent = message(pid(), obr(), obx("59776-5^F^LN", text, kind="TX"), charset=charset)
    with Hl7Peer(world.port) as peer:
        assert peer.send(sent, codec).code == "AA"
    assert [one.text for one in world.known().texts] == [text]


def test_no_log_line_holds_a_value_a_name_or_an_id(world: Hl7World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    odd = obx("59776-5^F^LN", "secret \\XZZ\\ \\.spsecret\\ \\Csecret\\", kind="TX")
    with Hl7Peer(world.port) as peer:
        peer.send(message(pid("4712"), obr(), obx(GLUCOSE, "733.125"), obx(INR, "2.4719"), odd, control_id="C\x07 7"))
        peer.send(message(pid("4712"), obr(), obx(INR, "2.47"), kind="ORM^O01"))
        peer.send(b"MSX|secret 4712")
    lines = [f"{record.getMessage()} {vars(record)}" for record in caplog.records if "HL7" in record.getMessage()]
    assert len(lines) >= 3
    assert "C? 7" in lines[0] + lines[1]
    told = " ".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    assert told_in(told, ("4712", "733.125", "2.4719", "DOE", "JANE", "19440502", "secret")) == []


def test_a_database_that_is_away_leaves_the_message_unanswered_for_its_sender_to_send_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    away = Store("postgresql+psycopg://nobody@127.0.0.1:1/none")
    with listening(away, tmp_path) as world, Hl7Peer(world.port) as peer:
        with pytest.raises(ConnectionError):
            peer.send(message(pid(), obr(), obx(GCS, "10")))
        with Hl7Peer(world.port) as other:  # what tells nothing needs no database
            assert other.send(message(pid(), obr())).code == "AA"
    (record,) = [one for one in caplog.records if one.getMessage() == "HL7 message not stored"]
    assert vars(record)["passes"] is True
    away.close()


def test_an_error_of_the_nodes_own_is_answered_as_one_and_its_place_logged(
    tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Store):
        def write(self):  # type: ignore[no-untyped-def]
            raise ValueError("secret")

    broken = Broken(store.url)
    with listening(broken, tmp_path) as world, Hl7Peer(world.port) as peer:
        ack = peer.send(message(pid(), obr(), obx(GCS, "10")))
    broken.close()
    assert (ack.code, ack.reasons) == ("AE", ["internal_error"])
    assert "secret" not in caplog.text
    assert "test_hl7_messages.py" in "".join(str(vars(record).get("place")) for record in caplog.records)


def test_a_sender_that_is_not_listed_is_told_so(tmp_path: Path, store: Store) -> None:
    senders = [{"host": "127.0.0.1", "application": "LAB", "facility": "HOSPITAL"}]
    with listening(store, tmp_path, senders=senders) as world, Hl7Peer(world.port) as peer:
        assert peer.send(message(pid(), obr(), obx(GCS, "10"))).code == "AA"
        other = peer.send(message(pid(), obr(), obx(GCS, "3"), application="ELSE"))
        assert (other.code, other.reasons) == ("AR", ["unknown_sender"])
        assert world.values() == {"gcs": 10.0}


def test_a_message_that_is_too_large_is_refused_by_its_control_id(tmp_path: Path, store: Store) -> None:
    with listening(store, tmp_path, max_message_bytes=10_000) as world, Hl7Peer(world.port) as peer:
        long = message(pid(), obr(section="RAD"), obx("R^x^L", "x" * 50_000, kind="TX"), control_id="LONG")
        ack = peer.send(long)
        assert (ack.code, ack.control_id, ack.reasons) == ("AR", "LONG", ["too_large"])
        assert peer.send(message(pid(), obr(), obx(GCS, "10"))).code == "AA"
