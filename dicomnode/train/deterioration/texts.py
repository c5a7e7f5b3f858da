"""What a request becomes on its way into a fusion: what a reader reads of it, or counts of its words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

import torch

from dicomnode.train.features import weights_digest
from dicomnode.zoo.deterioration.reader import FEATURES, Reader, features_of
from dicomnode.zoo.deterioration.words import BUCKETS, encoded, pieces_of, statements_of, words_of


class TextFeatures(Protocol):
    """Makes numbers of requests.

    Attributes
    ----------
    width : how many.
    name : of the way.
    """

    width: int
    name: str

    def of(self, texts: Sequence[str]) -> torch.Tensor:
        """(requests, width) numbers; NaN for a request that is empty."""


class AsRead:
    """By a reader that is not trained any more; each request is read once.

    Parameters
    ----------
    reader : with its weights.
    """

    width, name = FEATURES, "reader"

    def __init__(self, reader: Reader) -> None:
        self.reader, self.known_by = reader, weights_digest(reader)
        self._read: dict[str, torch.Tensor] = {"": torch.full((FEATURES,), torch.nan)}

    def of(self, texts: Sequence[str]) -> torch.Tensor:
        """(requests, FEATURES), see :func:`~dicomnode.zoo.deterioration.reader.features_of`."""
        new = list(dict.fromkeys(text for text in texts if text not in self._read))
        with torch.inference_mode():
            self._read |= dict(zip(new, features_of(self.reader, new).clone(), strict=True))
        return torch.stack([self._read[text] for text in texts])


class Counted:
    """By how often words, their n-grams and pairs of words occur, hashed: what TF-IDF weighs.

    The inverse document frequencies are learned from the training exams alone, by the network that takes these.
    """

    width, name = BUCKETS, "tf-idf"

    def of(self, texts: Sequence[str]) -> torch.Tensor:
        """(requests, BUCKETS) float16, 1 + log of each count, 0 where it does not occur."""
        rows = torch.zeros(len(texts), BUCKETS, dtype=torch.float16)
        for row, text in zip(rows, texts, strict=True):
            words = [words_of(statement) for statement in statements_of(text)]
            pairs = [f"{a} {b}" for statement in words for a, b in pairwise(statement)]
            pieces = torch.cat([encoded(words).flatten(), *(torch.from_numpy(pieces_of(pair)[:1]) for pair in pairs)])
            count = torch.bincount(pieces, minlength=BUCKETS).float()
            count[0] = 0.0
            row[:] = torch.where(count > 0, 1.0 + count.clamp(min=1.0).log(), 0.0)
            if not text:
                row[:] = torch.nan
        return rows
