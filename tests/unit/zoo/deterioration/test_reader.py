"""What statements say is put together for the whole request."""

from __future__ import annotations

import pytest
import torch

from dicomnode.zoo.deterioration.reader import FEATURES, SYMPTOMS, Reader, Said, features_of, put_together

STATES = list(Said)


def statement(**said: Said) -> torch.Tensor:
    """(symptoms, states) of a statement that is sure of what it says."""
    rows = torch.zeros(len(SYMPTOMS), len(STATES))
    for row, name in zip(rows, SYMPTOMS, strict=True):
        row[STATES.index(said.get(name, Said.NOTHING))] = 1.0
    return rows


def test_each_symptom_is_as_the_statement_about_it_says() -> None:
    said = torch.stack([statement(vision=Said.DENIED), statement(), statement(unsteadiness=Said.PRESENT)])
    whole = put_together(said)
    told = {name: STATES[int(row.argmax())] for name, row in zip(SYMPTOMS, whole, strict=True)}
    expected = {name: Said.NOTHING for name in SYMPTOMS} | {"vision": Said.DENIED, "unsteadiness": Said.PRESENT}
    assert told == expected
    assert whole.sum(dim=1).tolist() == pytest.approx([1.0] * len(SYMPTOMS))


def test_two_statements_that_contradict_each_other_share_what_is_said() -> None:
    whole = put_together(torch.stack([statement(vision=Said.DENIED), statement(vision=Said.PRESENT)]))
    row = whole[list(SYMPTOMS).index("vision")].tolist()
    assert row == pytest.approx([0.0, 0.5, 0.0, 0.5])


def test_a_request_reads_the_same_alone_and_among_others() -> None:
    torch.manual_seed(1)
    reader = Reader(width=16, layers=1).eval()
    texts = ["Unsteady. No headache", "", "HPI: blurred vision and vomiting // denies ataxia // fell twice"]
    with torch.inference_mode():
        together = features_of(reader, texts)
        alone = torch.cat([features_of(reader, [text]) for text in texts])
    assert together.shape == (3, FEATURES)
    assert torch.allclose(together, alone, atol=1e-5)
    assert (together[1] == 0).all()
