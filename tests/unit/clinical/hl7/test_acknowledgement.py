"""The answer: its code by outcome and mode, what it says of faults, in the sender's own separators."""

from __future__ import annotations

import pytest

from dicomnode.clinical.sources.hl7.acknowledgement import Outcome, answer, outcome_of, problem_of, problems_of
from dicomnode.clinical.sources.hl7.header import header_of
from dicomnode.clinical.sources.hl7.telling import Fault
from dicomnode.errors import ContextRefusal, MessageRefusal, MessageRefused
from tests.tools.hl7_messages import Ack, message, pid

A, E, R = Outcome.ACCEPTED, Outcome.ERROR, Outcome.REJECTED


def answered(text: str, outcome: Outcome, *faults: Fault) -> Ack | None:
    content = answer(header_of(text.encode(), "ASCII"), outcome, problems_of(faults))
    return None if content is None else Ack(content)


@pytest.mark.parametrize(
    ("accept", "application", "codes"),
    [
        ("", "", ("AA", "AE", "AR")),
        ("AL", "", ("CA", "CE", "CR")),
        ("AL", "AL", ("CA", "CE", "CR")),
        ("NE", "AL", ("AA", "AE", "AR")),
        ("", "ER", ("", "AE", "AR")),
        ("ER", "NE", ("", "CE", "CR")),
        ("ER", "AL", ("AA", "CE", "CR")),
        ("SU", "NE", ("CA", "", "")),
        ("NE", "NE", ("", "", "")),
        ("?", "x", ("AA", "AE", "AR")),
    ],
)
def test_the_mode_of_the_message_says_which_answer_is_given(
    accept: str, application: str, codes: tuple[str, str, str]
) -> None:
    sent = message(pid(), acks=(accept, application))
    found = [answered(sent, outcome) for outcome in (A, E, R)]
    assert tuple(ack.code if ack else "" for ack in found) == codes


def test_the_answer_goes_back_where_the_message_came_from() -> None:
    ack = answered(message(pid(), control_id="77", version="2.3"), A)
    assert ack is not None
    (msh,) = ack.named("MSH")
    assert msh[2:6] == ["DICOMNODE", "RADIOLOGY", "LAB", "HOSPITAL"]
    assert (msh[8], msh[10], msh[11], msh[17]) == ("ACK^R01^ACK", "P", "2.3", "UNICODE UTF-8")
    assert (ack.code, ack.control_id, ack.named("ERR")) == ("AA", "77", [])


def test_each_fault_is_an_err_segment_with_place_code_and_reason() -> None:
    faults = [Fault("OBX", 3, 5, ContextRefusal.NO_UNIT), Fault("OBX", 4, 5, ContextRefusal.IMPLAUSIBLE)]
    ack = answered(message(pid()), E, *faults)
    assert ack is not None
    first, second = ack.named("ERR")
    assert first[2:5] == ["OBX^3^5", "101^Required field missing^HL70357", "E"]
    assert first[5] == "no_unit^no_unit^L"
    assert first[8] == ContextRefusal.NO_UNIT.sentence()
    assert second[3].startswith("207^")
    assert ack.named("MSA")[0][3] == "2 refused: implausible, no_unit"


def test_the_answer_has_the_separators_of_the_message() -> None:
    odd = message(pid()).translate(str.maketrans("|^~\\&", "#*@!%"))
    content = answer(header_of(odd.encode(), "ASCII"), E, problems_of([Fault("OBX", 1, 5, ContextRefusal.NO_UNIT)]))
    assert content is not None
    assert content.startswith(b"MSH#*@!%#DICOMNODE#")
    assert b"ERR##OBX*1*5#101*" in content


@pytest.mark.parametrize("why", list(MessageRefusal))
def test_every_refusal_has_a_sentence_an_outcome_and_a_place(why: MessageRefusal) -> None:
    refused = MessageRefused(why, "MSH-9")
    assert outcome_of(refused) in (E, R)
    assert problem_of(refused).location == ("MSH", "1", "9")
    assert why.value in str(refused)


def test_bytes_that_are_no_message_are_answered_without_a_control_id() -> None:
    content = answer(None, R, [problem_of(MessageRefused(MessageRefusal.NOT_HL7))])
    assert content is not None
    ack = Ack(content)
    assert (ack.code, ack.control_id, ack.reasons) == ("AR", "", ["not_hl7"])
