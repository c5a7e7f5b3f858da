"""Questions to a FHIR server are rows: due, claimed by one, settled, asked anew."""

from __future__ import annotations

import time

from dicomnode.errors import FhirOutcome
from dicomnode.records import Patient
from dicomnode.store.clinical.patients import record_study
from dicomnode.store.clinical.questions import (
    claim_question,
    make_question,
    questions_of,
    record_answer,
    release_question,
    renew_questions,
    unasked_studies,
)
from dicomnode.store.engine import Store
from tests.integration.store.fixture import both_databases

pytestmark = both_databases

ANNA, BERT = Patient(patient_id="ANNA"), Patient(patient_id="BERT")


def test_a_question_is_claimed_by_one_and_recorded_for_its_patient_alone(store: Store) -> None:
    with store.write() as session:
        make_question(session, "1.2", ANNA, None)
        make_question(session, "1.2", BERT, None)  # it stands already
        make_question(session, "1.3", BERT, None, outcome=FhirOutcome.NO_SYSTEM)
        assert unasked_studies(session, after=0, since=0.0, limit=5) == []
    with store.write() as first:
        question = claim_question(first, lease_s=60.0)
        assert question is not None
        assert question.patient == ANNA
    with store.write() as session:
        assert claim_question(session, lease_s=60.0) is None
        release_question(session, question)
        again = claim_question(session, lease_s=60.0)
        assert again is not None
        record_answer(session, again, FhirOutcome.ANSWERED, detail={"values": 1}, next_try_at=None)
    with store.read() as session:
        (line,) = questions_of(session, ["1.2"])
    assert (line.outcome, line.next_try_at, line.detail) == ("answered", None, {"values": 1})
    with store.write() as session:
        record_study(session, "1.2", BERT, time.time())
        assert renew_questions(session, since=0.0) == 1
        # an answer about the patient of before comes too late
        record_answer(session, again, FhirOutcome.ANSWERED, detail={}, next_try_at=None)
    with store.read() as session:
        (line,) = questions_of(session, ["1.2"])
    assert line.outcome == ""
    assert line.next_try_at is not None
