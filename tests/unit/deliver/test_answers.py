"""What answers to queries say, and what they leave open."""

from __future__ import annotations

import pytest

from dicomnode.deliver.answers import Match, shown_of, studies_of

SERIES = ("1.2", "1.3")


@pytest.mark.parametrize("study", ["", "1.2"])
@pytest.mark.parametrize("series", ["", "1.3"])
def test_an_empty_uid_belongs_to_what_was_asked(study: str, series: str) -> None:
    shown = shown_of([Match(study, series, "1.4")], SERIES)
    assert (shown, shown.is_whole) == ({"1.4"}, True)


@pytest.mark.parametrize("match", [Match("1.9", "1.3", "1.4"), Match("", "1.9", "1.4"), Match("1.9", None, None)])
def test_an_answer_about_another_place_says_nothing_of_this_one(match: Match) -> None:
    shown = shown_of([match], SERIES)
    assert (shown, shown.is_whole) == (set(), True)


@pytest.mark.parametrize("match", [Match("1.2", "1.3", ""), Match("1.2", "1.3", None), Match(None, "1.3", "1.4")])
def test_an_answer_that_cannot_be_attributed_leaves_open_what_else_is_there(match: Match) -> None:
    shown = shown_of([match, Match("1.2", "1.3", "1.5")], SERIES)
    assert (shown, shown.is_whole) == ({"1.5"}, False)


@pytest.mark.parametrize(
    ("matches", "studies"),
    [
        ([], frozenset()),
        ([Match("1.9", "", "1.7")], frozenset()),
        ([Match("1.9", "1.3", "1.4"), Match("1.8", "1.3", "1.7")], frozenset({"1.9"})),
        ([Match("1.9", "1.3", "1.4"), Match("1.2", "1.3", "1.4")], frozenset({"1.9", "1.2"})),
        ([Match("1.9", "1.3", "")], frozenset({"1.9"})),
        ([Match("", "", "")], frozenset({""})),
        ([Match("1.9", "1.3", ""), Match("1.2", "1.3", "")], None),
        ([Match("1.9", "1.3", ""), Match("1.2", "1.3", "1.7")], None),
        ([Match(None, None, None)], None),
    ],
)
def test_where_an_instance_is_shown(matches: list[Match], studies: frozenset[str] | None) -> None:
    assert studies_of(matches, "1.4") == studies
