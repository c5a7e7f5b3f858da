"""What events tell, in words."""

from __future__ import annotations

import doctest

from dicomnode.store.history import facts


def test_the_examples_of_facts_hold() -> None:
    result = doctest.testmod(facts)
    assert result.attempted > 0
    assert result.failed == 0
