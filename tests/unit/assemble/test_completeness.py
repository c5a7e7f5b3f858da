from __future__ import annotations

from dataclasses import replace

import pytest

from dicomnode.assemble.completeness import OPEN_RECHECK_S, Evidence, decide
from dicomnode.config.sections import Reception

RULES = Reception(settle_s=1.0, quiet_period_s=60.0)
WHOLE_HEAD = Evidence(
    now=101.0,
    last_instance_at=99.0,
    open_associations=0,
    released_at=100.0,
    images_in_association=28,
    contiguous=True,
    coverage_mm=135.0,
    sender_adds_late=False,
)


def test_a_whole_head_is_complete_when_its_release_has_settled() -> None:
    decision = decide(WHOLE_HEAD, RULES)
    assert decision.complete
    assert decision.why == "released with a whole head"


def test_a_whole_head_waits_for_the_settle_time_and_no_longer() -> None:
    assert decide(replace(WHOLE_HEAD, now=100.2), RULES).wait_until == 101.0
    assert not decide(replace(WHOLE_HEAD, now=100.999), RULES).complete


@pytest.mark.parametrize(
    "doubt",
    [
        {"released_at": None},  # aborted: the sender will come again
        {"images_in_association": 9},  # an association per image
        {"contiguous": False},
        {"coverage_mm": 99.9},
        {"sender_adds_late": True},
    ],
    ids=lambda doubt: next(iter(doubt)),
)
def test_any_doubt_makes_it_wait_for_the_quiet_period(doubt: dict[str, object]) -> None:
    doubtful = replace(WHOLE_HEAD, **doubt)
    assert decide(doubtful, RULES).wait_until == 99.0 + 60.0
    late = decide(replace(doubtful, now=159.0), RULES)
    assert late.complete
    assert late.why == "quiet"


def test_nothing_is_complete_while_an_association_feeds_it() -> None:
    feeding = replace(WHOLE_HEAD, open_associations=1)
    assert decide(feeding, RULES).wait_until == 159.0
    long_after = decide(replace(feeding, now=1000.0), RULES)
    assert long_after.wait_until == 1000.0 + OPEN_RECHECK_S
    assert decide(replace(feeding, now=1000.0, open_associations=0), RULES).complete


def test_an_image_after_the_release_starts_the_settle_time_again() -> None:
    assert decide(replace(WHOLE_HEAD, last_instance_at=100.5), RULES).wait_until == 101.5


def test_a_settle_time_above_the_quiet_period_does_not_delay() -> None:
    patient = Reception(settle_s=300.0, quiet_period_s=60.0)
    assert decide(WHOLE_HEAD, patient).wait_until == 159.0


def test_waiting_always_ends_in_the_future() -> None:
    for now in (99.0, 100.0, 120.0, 158.9, 5000.0):
        for open_associations in (0, 1):
            for released_at in (None, 100.0):
                evidence = replace(WHOLE_HEAD, now=now, open_associations=open_associations, released_at=released_at)
                decision = decide(evidence, RULES)
                assert decision.wait_until is None or decision.wait_until > now
