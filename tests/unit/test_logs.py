"""What stands in a log line: the words of configurations and databases, never the names of classes."""

from __future__ import annotations

import doctest
import json
import logging
from enum import Enum

import pytest

from dicomnode import logs
from dicomnode.decision import Decision
from dicomnode.kinds import Kind
from dicomnode.logs import JsonFormatter, TextFormatter


class Bare(Enum):
    """An enum whose members are no texts."""

    OPEN = "open"


FORMATTERS = (TextFormatter(), JsonFormatter())


def line(formatter: logging.Formatter, **facts: object) -> str:
    """One record as it is written."""
    record = logging.makeLogRecord({"msg": "results encoded", "levelname": "INFO", **facts})
    return formatter.format(record)


@pytest.mark.parametrize("formatter", FORMATTERS, ids=["text", "json"])
@pytest.mark.parametrize("several", [list, tuple, set, frozenset])
def test_members_of_enums_stand_in_both_formats_as_their_values(formatter: logging.Formatter, several: type) -> None:
    written = line(formatter, kinds=several([Kind.SEG, Kind.SR]), decision=Decision.NEGATIVE, state=Bare.OPEN)
    assert "Kind" not in written
    assert "Bare" not in written
    assert "Decision" not in written
    assert all(word in written for word in ("seg", "sr", "negative", "open"))


def test_several_values_are_read_as_they_would_be_typed() -> None:
    assert line(TextFormatter(), kinds=[Kind.SEG, Kind.SR]).endswith("results encoded kinds=seg,sr")
    assert line(TextFormatter(), counts={Kind.SEG: 2, Decision.NEGATIVE: 1}).endswith("counts=seg:2,negative:1")
    assert json.loads(line(JsonFormatter(), counts={Kind.SEG: [Bare.OPEN]}))["counts"] == {"seg": ["open"]}


def test_what_a_peer_sent_makes_no_line_of_its_own() -> None:
    sent = "CT1\n12:00:00.000 ERROR   the disk is full\x1b[2J"
    for formatter in FORMATTERS:
        written = line(formatter, sent=sent, several=[sent])
        assert "\n" not in written
        assert "\x1b" not in written
    assert json.loads(line(JsonFormatter(), sent=sent))["sent"] == sent


def test_the_examples_hold() -> None:
    assert doctest.testmod(logs).failed == 0
