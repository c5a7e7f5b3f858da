"""The message and the answer that the documentation shows are real."""

from __future__ import annotations

import re

from dicomnode.clinical.sources.hl7.acknowledgement import Outcome, answer
from dicomnode.clinical.sources.hl7.diagnoses import ICD_10
from dicomnode.clinical.sources.hl7.header import header_of
from tests.conftest import REPOSITORY
from tests.tools.hl7_messages import Ack
from tests.unit.clinical.hl7.reading import read, values

TEXT = (REPOSITORY / "docs/context.md").read_text(encoding="utf-8")
SENT, ANSWERED = re.findall(r"```\n(MSH.*?)```", TEXT, re.DOTALL)


def test_the_message_shown_tells_what_it_seems_to() -> None:
    reading = read(SENT.replace("\n", "\r"))
    assert values(reading) == {"glucose": 6.993938587, "inr": 2.8, "d_dimer": 0.85}
    assert reading.faults == ()


def test_the_answer_shown_is_that_of_the_message_but_for_time_and_number() -> None:
    content = answer(header_of(SENT.encode(), "ASCII"), Outcome.ACCEPTED)
    assert content is not None
    made, shown = Ack(content), Ack(ANSWERED.replace("\n", "\r").encode())
    assert made.named("MSA") == shown.named("MSA")
    for ack in (made, shown):
        ack.named("MSH")[0][6] = ack.named("MSH")[0][9] = ""
    assert made.named("MSH") == shown.named("MSH")


def test_every_variable_that_a_diagnosis_tells_is_named_with_a_code() -> None:
    row = next(line for line in TEXT.splitlines() if line.startswith("| diagnoses"))
    for pattern in ICD_10.values():
        assert re.search(pattern, row), pattern
