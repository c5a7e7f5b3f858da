"""A few of the spoiled sessions, data sets and HL7 messages, as ``make fuzz`` sends by the thousand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.attack import fuzz
from tests.integration.attack.hl7_messages import Expected
from tests.integration.attack.target import Target

SEED = "suite"


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with Target(tmp_path_factory.mktemp("target")) as running:
        yield running


@pytest.mark.parametrize(("play", "count"), [(fuzz.session(SEED), 100), (fuzz.data_set(SEED), 60)])
def test_a_node_that_is_sent_rubbish_answers_leaks_nothing_and_keeps_what_it_acknowledged(
    target: Target, play: fuzz.Play, count: int
) -> None:
    endings = fuzz.attack(target, play, count, lambda _: None)
    assert target.verdict.faults == []
    assert endings["images acknowledged"] > 0


def test_of_spoiled_hl7_messages_none_is_acknowledged_and_lost(target: Target) -> None:
    endings = fuzz.attack(target, fuzz.hl7_message(SEED), 300, lambda _: None)
    assert target.verdict.faults == []
    assert {"AA", "AE", "AR", "hung up on"} <= set(endings)
    assert sum(len(one.values) for one in target.told) > 100


def test_a_value_that_was_acknowledged_and_is_not_there_is_found(target: Target) -> None:
    faults, told = [*target.verdict.faults], [*target.told]
    target.told = [Expected(1, "NOBODY", (("inr", 2.4),), "ANYBODY")]
    target.judge([])
    assert target.verdict.faults == [*faults, "message 1 was acknowledged, and inr, merge lost"]
    target.verdict.faults, target.told = faults, told


def test_an_image_that_was_acknowledged_and_is_gone_is_found(target: Target) -> None:
    faults = [*target.verdict.faults]
    target.judge(["1.2.3.4.5"])
    assert target.verdict.faults == [*faults, "acknowledged and lost: 1.2.3.4.5"]
    target.verdict.faults = faults
