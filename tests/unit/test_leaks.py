"""The test of the tests' look for patients in logs."""

from __future__ import annotations

from tests.tools.leaks import told_in


def test_a_word_is_found_and_one_of_digits_where_it_stands_alone() -> None:
    assert told_in('{"id": "4711", "name": "ANNA^B"}', ("4711", "ANNA", "DOE")) == ["4711", "ANNA"]
    assert told_in("id=4711, born 19430601; p1/x, INR 2.47", ("4711", "19430601", "p1", "2.47")) == [
        "4711",
        "19430601",
        "p1",
        "2.47",
    ]
    assert told_in("2.25.881047116296 port 47113, /tmp/p12/x 12.47", ("4711", "p1", "2.47")) == []
