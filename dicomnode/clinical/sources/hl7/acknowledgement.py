"""The answer to a message: ACK with MSA and ERR (HL7 v2.5 chapter 2, 2.9, 2.15.5 and 2.15.8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import count

from dicomnode.clinical.sources.hl7.header import Header, Separators
from dicomnode.clinical.sources.hl7.telling import Fault
from dicomnode.errors import ContextRefusal, MessageRefusal, MessageRefused

MAX_ERRORS = 100
"""ERR segments of one answer at most; further faults are in their number."""


class Outcome(StrEnum):
    """What the answer says, as the second letter of MSA-1 (table 0008)."""

    ACCEPTED = "A"
    ERROR = "E"
    REJECTED = "R"


_OF_CONTENT = frozenset(
    {
        MessageRefusal.MISSING_SEGMENT,
        MessageRefusal.NO_PATIENT,
        MessageRefusal.ODD_PATIENT,
        MessageRefusal.SAME_PATIENT,
        MessageRefusal.INTERNAL,
    }
)
"""Refused for what the message says: AE. All others are messages that the node does not read at all: AR."""
_MESSAGE_CODES = {
    MessageRefusal.MISSING_SEGMENT: ("100", "Segment sequence error"),
    MessageRefusal.NOT_HL7: ("100", "Segment sequence error"),
    MessageRefusal.SEVERAL_MESSAGES: ("100", "Segment sequence error"),
    MessageRefusal.NO_CONTROL_ID: ("101", "Required field missing"),
    MessageRefusal.ODD_SEPARATORS: ("102", "Data type error"),
    MessageRefusal.ODD_PATIENT: ("102", "Data type error"),
    MessageRefusal.NOT_IN_CHARSET: ("102", "Data type error"),
    MessageRefusal.UNKNOWN_CHARSET: ("103", "Table value not found"),
    MessageRefusal.WRONG_TYPE: ("200", "Unsupported message type"),
    MessageRefusal.WRONG_EVENT: ("201", "Unsupported event code"),
    MessageRefusal.WRONG_PROCESSING_ID: ("202", "Unsupported processing id"),
    MessageRefusal.WRONG_VERSION: ("203", "Unsupported version id"),
    MessageRefusal.NO_PATIENT: ("204", "Unknown key identifier"),
    MessageRefusal.SAME_PATIENT: ("204", "Unknown key identifier"),
}
_VALUE_CODES = {
    ContextRefusal.MISSING_FIELD: ("101", "Required field missing"),
    ContextRefusal.NO_UNIT: ("101", "Required field missing"),
    ContextRefusal.NO_TIME: ("101", "Required field missing"),
    ContextRefusal.UNKNOWN_UNIT: ("103", "Table value not found"),
    ContextRefusal.UNKNOWN_WORD: ("103", "Table value not found"),
    ContextRefusal.NOT_A_NUMBER: ("102", "Data type error"),
    ContextRefusal.NOT_A_TIME: ("102", "Data type error"),
    ContextRefusal.NOT_YES_OR_NO: ("102", "Data type error"),
}
_OTHER = ("207", "Application internal error")
"""Of HL7 table 0357; what it has no code for is an error of the application, whose own code says more."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One ERR segment. ``location``: segment, its place, field."""

    location: tuple[str, ...]
    code: tuple[str, str]
    reason: str
    sentence: str


def outcome_of(refused: MessageRefused) -> Outcome:
    """AE where the content is at fault, AR where the node reads no such message."""
    return Outcome.ERROR if refused.why in _OF_CONTENT else Outcome.REJECTED


def problem_of(refused: MessageRefused) -> Problem:
    """What is said of a message that is not taken."""
    segment, _, field = refused.where.partition("-")
    location = tuple(filter(None, (segment, "1", field)))
    return Problem(location, _MESSAGE_CODES.get(refused.why, _OTHER), refused.why.value, refused.why.sentence())


def problems_of(faults: Sequence[Fault]) -> list[Problem]:
    """What is said of parts that cannot be used."""
    return [
        Problem(
            (fault.segment, str(fault.place), str(fault.field)),
            _VALUE_CODES.get(fault.why, _OTHER),
            fault.why.value,
            fault.why.sentence(),
        )
        for fault in faults
    ]


_CONDITIONS = frozenset({"AL", "NE", "ER", "SU"})
"""Of MSH-15 and MSH-16 (table 0155); another word in them is none."""
_numbers = count(1)
_BARE = Separators(field="|", component="^")


def answer(header: Header | None, outcome: Outcome, problems: Sequence[Problem] = ()) -> bytes | None:
    """The acknowledgement; None where the sender wants none.

    Parameters
    ----------
    header : of the message; None where it has none that can be read.
    """
    first = _first_letter(header, outcome)
    if not first:
        return None
    marks = header.separators if header else _BARE
    said = f"{len(problems)} refused: {', '.join(sorted({one.reason for one in problems}))}" if problems else ""
    control_id = header.control_id if header else ""
    lines = [
        _msh(header, marks),
        ["MSA", f"{first}{outcome}", control_id, _plain(said, marks)],
        *(_err(problem, marks) for problem in problems[:MAX_ERRORS]),
    ]
    text = "".join(marks.field.join(line) + "\r" for line in lines)
    return text.encode(header.codec if header else "ascii", "replace")


def _first_letter(header: Header | None, outcome: Outcome) -> str:
    """A in original mode. In enhanced mode one answer too: the commit (C) where MSH-15 asks for it, else MSH-16's."""
    if header is None or not {header.accept_ack, header.application_ack} & _CONDITIONS:
        return "A"
    wanted = ("AL", "SU") if outcome is Outcome.ACCEPTED else ("AL", "ER")
    if header.accept_ack in wanted:
        return "C"
    return "A" if header.application_ack in wanted else ""


def _msh(header: Header | None, marks: Separators) -> list[str]:
    now = datetime.now(UTC).strftime("%Y%m%d%H%M%S+0000")
    number = f"DN{datetime.now(UTC):%y%m%d%H%M%S}{next(_numbers) % 100_000:05d}"
    if header is None:
        return ["MSH", "^~\\&", "", "", "", "", now, "", "ACK", number, "P", "2.5"]
    kind = marks.component.join(filter(None, ("ACK", header.event, "ACK")))
    fields = ["MSH", header.encoding_characters, *header.receiver, *header.sender, now, "", kind, number]
    fields += [header.processing_id, header.version]
    charsets = marks.repetition.join(header.charsets)
    return [*fields, "", "", "", "", "", charsets] if charsets else fields


def _err(problem: Problem, marks: Separators) -> list[str]:
    """ERR-2 where, ERR-3 code of HL7, ERR-4 severity, ERR-5 code of the node, ERR-8 sentence (v2.5 on)."""

    def coded(code: str, text: str, system: str) -> str:
        return marks.component.join((code, text, system))

    location, reason = marks.component.join(problem.location), _plain(problem.reason, marks)
    own, sentence = coded(reason, reason, "L"), _plain(problem.sentence, marks)
    return ["ERR", "", location, coded(*problem.code, "HL70357"), "E", own, "", "", sentence]


def _plain(text: str, marks: Separators) -> str:
    """A sentence without the marks of the message: where a sender has odd ones, it loses them."""
    for mark in (marks.field, marks.component, marks.repetition, marks.escape, marks.subcomponent):
        text = text.replace(mark, " ")
    return text
