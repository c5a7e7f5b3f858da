"""Back-off and circuit breaker."""

from __future__ import annotations

import random
import time

from hypothesis import given
from hypothesis import strategies as st

from dicomnode.config.destinations import Destination
from dicomnode.deliver.backoff import JITTER, Backoff
from dicomnode.deliver.breaker import Breaker

BACKOFF = Backoff(min_s=5.0, max_s=14400.0, give_up_after_s=604800.0)


def test_the_configuration_speaks_in_hours_and_the_back_off_in_seconds() -> None:
    destination = Destination(name="pacs", ae_title="PACS", host="pacs", port=104)
    assert Backoff.of(destination) == BACKOFF


def test_pauses_double_from_seconds_to_hours() -> None:
    pauses = [BACKOFF.nominal_s(attempts) for attempts in range(1, 15)]
    assert pauses[:5] == [5.0, 10.0, 20.0, 40.0, 80.0]
    assert pauses[-2:] == [14400.0, 14400.0]


@given(attempts=st.integers(0, 10**9), seed=st.integers(0, 2**32))
def test_jitter_stays_around_the_nominal_pause_and_below_the_largest(attempts: int, seed: int) -> None:
    delay_s = BACKOFF.delay_s(attempts, random.Random(seed))
    nominal_s = BACKOFF.nominal_s(attempts)
    assert (1 - JITTER) * nominal_s <= delay_s <= min(14400.0, (1 + JITTER) * nominal_s)


def test_two_nodes_do_not_come_back_at_one_moment() -> None:
    assert len({BACKOFF.delay_s(3, random.Random(seed)) for seed in range(20)}) == 20


def test_a_delivery_is_given_up_at_its_age_not_at_a_count() -> None:
    assert not BACKOFF.gives_up(created_at=1000.0, now=1000.0 + 604799.0)
    assert BACKOFF.gives_up(created_at=1000.0, now=1000.0 + 604800.0)


def test_a_new_breaker_lets_everything_pass() -> None:
    breaker = Breaker(BACKOFF, random.Random(1))
    assert not breaker.is_open
    assert not breaker.wants_echo()


def test_each_failure_without_an_answer_between_opens_it_for_longer() -> None:
    breaker = Breaker(BACKOFF, random.Random(1))
    delays_s = [breaker.trip() for _ in range(4)]
    assert breaker.is_open
    assert breaker.failures == 4
    for delay_s, nominal_s in zip(delays_s, (5.0, 10.0, 20.0, 40.0), strict=True):
        assert (1 - JITTER) * nominal_s <= delay_s <= (1 + JITTER) * nominal_s


def test_an_answer_starts_the_count_anew() -> None:
    breaker = Breaker(BACKOFF, random.Random(1))
    for _ in range(6):
        breaker.trip()
    breaker.answered()
    assert breaker.failures == 0
    assert breaker.trip() <= (1 + JITTER) * 5.0


def test_it_closes_by_itself_when_the_pause_is_over() -> None:
    breaker = Breaker(Backoff(0.02, 0.02, 1.0), random.Random(1))
    delay_s = breaker.trip()
    assert breaker.is_open
    time.sleep(delay_s + 0.01)
    assert not breaker.is_open


def test_an_echo_is_wanted_once_per_interval_while_it_is_open() -> None:
    breaker = Breaker(BACKOFF, random.Random(1), echo_interval_s=0.05)
    breaker.trip()
    assert not breaker.wants_echo()
    time.sleep(0.06)
    assert breaker.wants_echo()
    assert not breaker.wants_echo()
    time.sleep(0.06)
    assert breaker.wants_echo()


def test_a_peer_that_answers_echoes_but_takes_nothing_gets_the_full_pause() -> None:
    breaker = Breaker(BACKOFF, random.Random(1), echo_interval_s=0.01)
    breaker.trip()
    time.sleep(0.02)
    assert breaker.wants_echo()
    breaker.resume()
    assert not breaker.is_open
    breaker.trip()
    time.sleep(0.02)
    assert breaker.is_open
    assert not breaker.wants_echo()
    breaker.answered()
    breaker.trip()
    time.sleep(0.02)
    assert breaker.wants_echo()


def test_a_peer_that_asks_for_a_pause_gets_it_without_an_echo_but_never_longer_than_the_largest() -> None:
    breaker = Breaker(BACKOFF, random.Random(1), echo_interval_s=0.01)
    assert breaker.trip(at_least_s=600.0) == 600.0
    time.sleep(0.02)
    assert not breaker.wants_echo()
    assert breaker.trip(at_least_s=1e9) == 14400.0
    assert breaker.trip(at_least_s=0.001) > 10.0
