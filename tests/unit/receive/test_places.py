"""Places that the receivers of a node share."""

from __future__ import annotations

from collections import Counter

from dicomnode.receive.places import MOST, Places


def test_each_receiver_sees_who_is_associated_with_the_others() -> None:
    first = Places(3)
    second, third = first.seen_by(1), first.seen_by(2)
    first.publish(["CT1", "CT1", ""])
    second.publish(["CT1", "SIXTEEN_LETTERS_"])
    assert third.elsewhere() == {"CT1": 3, "": 1, "SIXTEEN_LETTERS_": 1}
    assert first.elsewhere() == {"CT1": 1, "SIXTEEN_LETTERS_": 1}
    first.publish([])
    assert third.elsewhere() == {"CT1": 1, "SIXTEEN_LETTERS_": 1}


def test_the_only_receiver_sees_nobody_else() -> None:
    alone = Places()
    alone.publish(["CT1"])
    assert alone.elsewhere() == Counter()


def test_more_than_the_table_holds_are_counted_up_to_its_end_and_spare_the_others() -> None:
    first = Places(2)
    second = first.seen_by(1)
    second.publish(["PACS"])
    first.publish(["CT1"] * (MOST + 5))
    assert second.elsewhere() == {"CT1": MOST}
    assert first.elsewhere() == {"PACS": 1}
