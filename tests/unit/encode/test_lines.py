"""Sentences of a report in lines that a window shows whole."""

from __future__ import annotations

from dicomnode.encode.content import LINE_CHARACTERS, broken


def test_a_sentence_is_broken_after_a_clause() -> None:
    first, second = "a" * 50 + ",", "b" * 50 + "."
    assert broken(f"{first} {second}") == f"{first}\r\n{second}"


def test_a_clause_that_is_longer_than_a_line_is_broken_between_words() -> None:
    words = "within 7 days of admission the NIHSS rises by 2 points or more"
    lines = broken(f"Early neurological deterioration within 7 days: Early neurological deterioration: {words}, or so")
    assert " ".join(lines.split("\r\n")).endswith(f"{words}, or so")
    assert all(len(line) <= LINE_CHARACTERS for line in lines.split("\r\n"))


def test_a_word_is_never_broken() -> None:
    word = "x" * (LINE_CHARACTERS + 10)
    assert broken(f"so {word} it is") == f"so\r\n{word}\r\nit is"


def test_nothing_stays_nothing() -> None:
    assert broken("") == ""
