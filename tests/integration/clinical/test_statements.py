"""What a laboratory says again about the same observation, in whatever order it arrives."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from sqlalchemy import func, select

from dicomnode.records import ContextSource, Observation, Patient, ReportSection
from dicomnode.store.clinical.late import studies_to_check
from dicomnode.store.clinical.observations import Stored, forget_context, known_of
from dicomnode.store.clinical.patients import record_study
from dicomnode.store.clinical.statements import Told, store_statements
from dicomnode.store.engine import Store
from dicomnode.store.tables import ClinicalText, ClinicalValue, Statement
from tests.integration.store.fixture import both_databases

pytestmark = both_databases

ANNA = Patient(patient_id="1", issuer="H")
INR = Observation(patient=ANNA, name="inr", value=2.0, unit="1", source=ContextSource.HL7, observed_at=1000.0)
PRELIMINARY, FINAL, CORRECTED, GONE = 1, 2, 3, 4


def told(value: float | None, at: float, rank: int = FINAL, key: str = "k") -> Told:
    known = None if value is None else replace(INR, value=value, provenance=f"M{at}")
    return Told(key=key, patient=ANNA, told_at=at, rank=rank, known=known)


def say(store: Store, *statements: Told) -> Stored:
    with store.write() as session:
        return store_statements(session, statements)


def known(store: Store) -> list[object]:
    with store.read() as session:
        return [one.value for one in known_of(session, ANNA).observations]


def test_a_correction_takes_the_place_of_what_was_said_and_a_repeat_changes_nothing(store: Store) -> None:
    assert say(store, told(2.0, 10, PRELIMINARY)) == Stored(1, 0)
    assert say(store, told(2.0, 10, PRELIMINARY)) == Stored(0, 1)
    assert say(store, told(2.5, 11)) == Stored(1, 0)
    assert say(store, told(2.6, 11, CORRECTED)) == Stored(1, 0)
    assert known(store) == [2.6]


def test_what_is_older_than_what_is_known_never_comes_back(store: Store) -> None:
    say(store, told(2.6, 11, CORRECTED))
    assert say(store, told(2.5, 11)) == say(store, told(2.0, 10)) == Stored(0, 1)
    assert known(store) == [2.6]
    say(store, told(None, 12, GONE))
    assert say(store, told(2.6, 11, CORRECTED)) == Stored(0, 1)
    assert known(store) == []


def test_what_is_taken_back_before_it_came_does_not_come(store: Store) -> None:
    say(store, told(None, 12, GONE))
    say(store, told(2.0, 11))
    assert known(store) == []
    say(store, told(2.0, 13))
    assert known(store) == [2.0]


def test_other_observations_are_left_as_they_are(store: Store) -> None:
    say(store, told(2.0, 10, key="a"), told(2.0, 10, key="b"))
    say(store, told(None, 11, GONE, key="a"))
    assert known(store) == [2.0]


def test_a_section_of_a_report_is_replaced_too(store: Store) -> None:
    text = ReportSection(patient=ANNA, section="findings", text="bleed", source=ContextSource.HL7, written_at=5.0)
    first = Told(key="t", patient=ANNA, told_at=1, rank=FINAL, known=text)
    say(store, first)
    say(store, replace(first, told_at=2, known=replace(text, text="no bleed", written_at=6.0)))
    with store.read() as session:
        assert [one.text for one in known_of(session, ANNA).texts] == ["no bleed"]


def test_two_that_store_the_same_observation_at_once_leave_the_newest(store: Store) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda at: say(store, told(float(at), at, key="a"), told(float(at), at, key="b")), range(1, 25)))
    assert known(store) == [24.0, 24.0]


def test_what_is_taken_back_makes_its_patients_studies_be_looked_at(store: Store) -> None:
    say(store, told(2.0, 10))
    with store.write() as session:
        record_study(session, "1.2.3", ANNA, 1000.0)
    time.sleep(0.01)

    def to_check() -> list[str]:
        with store.read() as session:
            return [one.study_uid for one in studies_to_check(session, since=0.0, seen_since=0.0, slack_s=0.0)]

    assert to_check() == []
    say(store, told(2.0, 10))  # a repeat is no news
    assert to_check() == []
    say(store, told(None, 11, GONE))
    assert to_check() == ["1.2.3"]


def test_statements_go_with_the_retention_of_what_they_are_about(store: Store) -> None:
    say(store, told(2.0, 10))
    assert forget_context(store, before=time.time() + 1) == 1
    with store.read() as session:
        counts = [session.scalar(select(func.count(table.id))) for table in (ClinicalValue, ClinicalText, Statement)]
    assert counts == [0, 0, 0]
