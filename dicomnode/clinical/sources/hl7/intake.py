"""From the bytes of a message to its answer: read, stored and committed, only then acknowledged."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from dicomnode.clinical.sources.hl7.acknowledgement import Outcome, answer, outcome_of, problem_of, problems_of
from dicomnode.clinical.sources.hl7.header import Header, header_of
from dicomnode.clinical.sources.hl7.reading import Reading, read_message
from dicomnode.clinical.sources.hl7.rules import Rules
from dicomnode.environment import Fault, fault_of
from dicomnode.errors import MessageRefusal, MessageRefused
from dicomnode.store.clinical.observations import Stored
from dicomnode.store.clinical.patients import merge_patients
from dicomnode.store.clinical.statements import store_statements
from dicomnode.store.engine import Store

log = logging.getLogger(__name__)

IsListed = Callable[[str, str], bool]
"""Whether a message of this application and facility may come from where it came from."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back; None: nothing. ``hangs_up``: the connection is then closed."""

    content: bytes | None
    hangs_up: bool = False


@dataclass(slots=True)
class Intake:
    """Takes messages, one at a time.

    What is read of one may be large; and SQLite, which has one writer, gives whoever waits no turn: on a slow disk a
    message could wait for longer than its sender does.
    """

    store: Store
    rules: Rules
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def take(self, content: bytes, peer: str, is_listed: IsListed, *, is_whole: bool = True) -> Answer:
        """Read and store a message. The boundary: no message may cost its sender the connection, or others theirs.

        Parameters
        ----------
        content : of one frame; only its beginning where ``is_whole`` is False.
        peer : address, for the log.
        """
        header: Header | None = None
        try:
            header = header_of(content, self.rules.charset)
            self._require_taken(header, is_listed, is_whole=is_whole)
            with self._turn:
                reading = read_message(content, header, self.rules)
                stored = self._stored(reading)
        except MessageRefused as refused:
            log.warning("HL7 message refused", extra={**_facts(header, peer), "reason": refused.why.value})
            # who sends what is no HL7 at all would go on for ever
            return Answer(answer(header, outcome_of(refused), [problem_of(refused)]), hangs_up=header is None)
        except Exception as fault:  # noqa: BLE001 (the boundary, as for a C-STORE; no message and no value: they may quote a patient)
            return _broken(header, peer, fault)
        reasons = sorted({one.why.value for one in reading.faults})
        facts = {**_facts(header, peer), "new": stored.new, "known": stored.known, "merged": len(reading.merges)}
        if reading.faults:
            log.warning("HL7 values refused", extra={**facts, "refused": len(reading.faults), "reasons": reasons})
            return Answer(answer(header, Outcome.ERROR, problems_of(reading.faults)))
        log.log(logging.INFO if stored.new or reading.merges else logging.DEBUG, "HL7 message taken", extra=facts)
        return Answer(answer(header, Outcome.ACCEPTED))

    @staticmethod
    def _require_taken(header: Header, is_listed: IsListed, *, is_whole: bool) -> None:
        if not is_listed(header.application, header.facility):
            raise MessageRefused(MessageRefusal.UNKNOWN_SENDER, "MSH-3")
        if not is_whole:
            raise MessageRefused(MessageRefusal.TOO_LARGE)

    def _stored(self, reading: Reading) -> Stored:
        if not reading.told and not reading.merges:
            return Stored(0, 0)
        with self.store.write() as session:
            stored = store_statements(session, reading.told)
            for prior, survivor in reading.merges:
                merge_patients(session, prior, survivor)
        return stored


def _broken(header: Header | None, peer: str, fault: Exception) -> Answer:
    """A fault that passes has no answer: whoever sent it sends it again, which an error might keep him from."""
    passes = fault_of(fault) is not Fault.STAYS
    place = traceback.extract_tb(fault.__traceback__)[-1]
    facts = {"error": type(fault).__name__, "place": f"{place.filename}:{place.lineno}", "passes": passes}
    log.error("HL7 message not stored", extra={**_facts(header, peer), **facts})
    if passes:
        return Answer(None, hangs_up=True)
    return Answer(answer(header, Outcome.ERROR, [problem_of(MessageRefused(MessageRefusal.INTERNAL))]))


def _facts(header: Header | None, peer: str) -> dict[str, object]:
    """For the log: what it is and who sent it; nothing of a patient."""
    if header is None:
        return {"peer": peer}
    kind = f"{header.message_type}^{header.event}"
    return {"peer": peer, "message_type": _printable(kind, 16), "control_id": _printable(header.control_id, 64)}


def _printable(text: str, length: int) -> str:
    """A field that the sender chose, as a log line may hold it."""
    return "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in text[:length])
