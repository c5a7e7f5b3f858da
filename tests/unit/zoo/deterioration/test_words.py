"""How a request is taken apart."""

from __future__ import annotations

import pytest

from dicomnode.zoo.deterioration.words import MOST_WORDS, encoded, pieces_of, statements_of, words_of


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Denies headache. Unsteady", ["Denies headache", "Unsteady"]),
        ("no HA // ataxic; fell", ["no HA", "ataxic", "fell"]),
        ("- unsteady\n- no vomiting", ["unsteady", "no vomiting"]),
        ("- unsteady", ["- unsteady"]),
        ("walks well - no diplopia", ["walks well", "no diplopia"]),
        ("off-balance, h/a", ["off-balance, h/a"]),
        (" . ; ", []),
    ],
)
def test_no_negation_reaches_from_one_statement_into_the_next(text: str, parts: list[str]) -> None:
    assert statements_of(text) == parts


def test_a_statement_without_end_is_cut_and_loses_no_word() -> None:
    text = " ".join(f"word{letter}" for letter in "abcdefghij" * 10)
    parts = statements_of(text)
    assert [len(words_of(part)) for part in parts] == [MOST_WORDS, MOST_WORDS, 100 - 2 * MOST_WORDS]
    assert " ".join(parts) == text


def test_a_word_typed_wrongly_shares_most_pieces_with_itself_and_few_with_another() -> None:
    right, slip, other = ({*pieces_of(word).tolist()} - {0} for word in ("unsteady", "unstead", "vomiting"))
    assert len(right & slip) > 4
    assert len(right & other) <= 1


def test_statements_are_padded_to_the_longest_and_a_number_has_no_value() -> None:
    table = encoded([words_of("aged 72"), words_of("aged 95, unsteady")])
    assert table.shape[:2] == (2, 4)
    assert (table[0, 2:] == 0).all()
    assert (table[0, :2] == table[1, :2]).all()
