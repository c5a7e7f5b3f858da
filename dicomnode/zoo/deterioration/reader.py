"""Reads what a request says of each symptom: present, uncertain, denied, or nothing.

Every statement is read for itself, by a small transformer over its words; one query a symptom looks for the words that
tell of it. What the statements say is put together for each symptom.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import torch
from torch import nn

from dicomnode.zoo.deterioration.words import BUCKETS, MOST_WORDS, encoded, statements_of, words_of


class Said(StrEnum):
    """How a symptom stands in a statement, in the order of the reader's outputs."""

    NOTHING = "not mentioned"
    PRESENT = "present"
    UNCERTAIN = "uncertain"
    DENIED = "denied"


SYMPTOMS: dict[str, str] = {
    "unsteadiness": "unsteadiness",
    "walking_difficulty": "difficulty walking",
    "vision": "visual symptoms",
    "fluctuating": "fluctuating symptoms",
    "vomiting": "vomiting",
    "headache": "headache",
}
"""Symptoms that are looked for, in the order of the reader's outputs: machine name -> what the radiologist reads."""
FEATURES = len(SYMPTOMS) * (len(Said) - 1)
"""Numbers that a request comes to."""


class Reader(nn.Module):
    """Statements in pieces of words -> log odds of what each says of each symptom.

    Parameters
    ----------
    width : of a word's vector. layers, heads : of the transformer.
    """

    def __init__(self, width: int = 48, layers: int = 2, heads: int = 4) -> None:
        super().__init__()
        self.pieces = nn.Embedding(BUCKETS, width, padding_idx=0)
        self.places = nn.Parameter(torch.randn(MOST_WORDS, width) * 0.02)
        self.near = nn.Conv1d(width, width, 3, padding=1)
        layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout=0.1, batch_first=True, norm_first=True, activation="gelu"
        )
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.asks = nn.Parameter(torch.randn(len(SYMPTOMS), width) * 0.1)
        self.says = nn.Parameter(torch.randn(len(SYMPTOMS), width, len(Said)) * width**-0.5)
        self.bias = nn.Parameter(torch.zeros(len(SYMPTOMS), len(Said)))

    def forward(self, pieces: torch.Tensor) -> torch.Tensor:
        """(statements, symptoms, states) log odds, from (statements, words, pieces) buckets."""
        there = pieces > 0
        empty = ~there[:, :, 0]
        count = there.sum(dim=-1, keepdim=True).clamp(min=1)
        words = self.pieces(pieces).sum(dim=2) / count.sqrt()
        words = words + nn.functional.gelu(self.near(words.transpose(1, 2)).transpose(1, 2))
        # an empty statement must not be all padding: attention over nothing is not defined
        empty = empty & (torch.arange(empty.shape[1], device=empty.device) > 0)
        read = self.layers(words + self.places[: words.shape[1]], src_key_padding_mask=empty)
        found = torch.einsum("nwd,kd->nkw", read, self.asks).masked_fill(empty[:, None], -1e4).softmax(dim=-1)
        return torch.einsum("nkw,nwd,kds->nks", found, read, self.says) + self.bias


def put_together(said: torch.Tensor) -> torch.Tensor:
    """(symptoms, states) probabilities of a request, from those of its statements (statements, symptoms, states).

    Nothing is said where no statement says anything; else the states share the rest as the statements tell them.
    """
    if not len(said):
        nothing = torch.zeros(len(SYMPTOMS), len(Said))
        nothing[:, 0] = 1.0
        return nothing
    silent = said[:, :, 0].prod(dim=0)
    told = said[:, :, 1:].sum(dim=0)
    shares = told / told.sum(dim=-1, keepdim=True).clamp(min=1e-12)
    return torch.cat([silent[:, None], (1.0 - silent)[:, None] * shares], dim=1)


def features_of(reader: Reader, texts: Sequence[str], *, chunk: int = 512) -> torch.Tensor:
    """(requests, FEATURES) float32: of each symptom the probability that it is present, uncertain, denied.

    Parameters
    ----------
    chunk : statements that are read at once.
    """
    parts = [[words_of(part) for part in statements_of(text)] for text in texts]
    owner = [index for index, of_text in enumerate(parts) for _ in of_text]
    every = [statement for of_text in parts for statement in of_text]
    # statements of a like length share a chunk, so that little of it is padding
    order = sorted(range(len(every)), key=lambda index: len(every[index]))
    said: list[torch.Tensor] = [torch.empty(0)] * len(every)
    for start in range(0, len(order), chunk):
        chosen = order[start : start + chunk]
        logits = reader(encoded([every[index] for index in chosen]))
        for index, row in zip(chosen, logits.softmax(dim=-1), strict=True):
            said[index] = row
    result = torch.zeros(len(texts), FEATURES)
    groups: list[list[torch.Tensor]] = [[] for _ in texts]
    for index, row in zip(owner, said, strict=True):
        groups[index].append(row)
    for index, rows in enumerate(groups):
        result[index] = put_together(torch.stack(rows) if rows else torch.empty(0))[:, 1:].reshape(-1)
    return result
