"""Statements to learn from say what they are labelled with."""

from __future__ import annotations

from dicomnode.train.deterioration.phrases import Writer
from dicomnode.train.deterioration.reading import as_tensors
from dicomnode.zoo.deterioration.reader import SYMPTOMS, Said


def test_the_same_seed_writes_the_same_statements_and_another_one_others() -> None:
    assert list(Writer(1).lines(50)) == list(Writer(1).lines(50)) != list(Writer(2).lines(50))


def test_every_symptom_is_written_in_every_state_and_no_place_stays_open() -> None:
    lines = list(Writer(1).lines(2000))
    assert {(name, state) for _, said in lines for name, state in said.items()} == {
        (name, state) for name in SYMPTOMS for state in Said if state is not Said.NOTHING
    }
    assert not any("{" in text for text, _ in lines)
    assert sum(not said for _, said in lines) > 300  # some tell of none of them


def test_labels_stand_in_the_order_of_the_reader() -> None:
    tensors = as_tensors([("no vomiting", {"vomiting": Said.DENIED}), ("lives alone", {})])
    place = list(SYMPTOMS).index("vomiting")
    assert tensors["said"][0].tolist() == [0] * place + [3] + [0] * (len(SYMPTOMS) - place - 1)
    assert tensors["said"][1].tolist() == [0] * len(SYMPTOMS)
