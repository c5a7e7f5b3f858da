"""A small BERT: the layers of the published one with fewer and narrower of them, and nothing but layers of torch.

Own: each piece is shown its two neighbours before the first layer ("no vomiting", "dementia -ve"), which a few thousand
texts do not teach an attention; and some questions are put to the text, each of which finds the pieces that answer it.
Reference: Devlin et al., NAACL 2019.
"""

from __future__ import annotations

import torch
from torch import nn

from dicomnode.zoo.prognosis.words import LENGTH, PAD

WIDTH, LAYERS, HEADS = 32, 2, 4
QUESTIONS = 6
"""Put to each text; the reader learns to answer them with what is said of as many symptoms."""


class SmallBert(nn.Module):
    """Pieces of words -> an answer to each question, and a vector for each piece.

    Parameters
    ----------
    vocabulary : how many pieces there are. width, layers, heads : of the transformer. length : most pieces of a text.
    """

    def __init__(
        self, vocabulary: int, width: int = WIDTH, layers: int = LAYERS, heads: int = HEADS, length: int = LENGTH
    ) -> None:
        super().__init__()
        self.width = width
        self.pieces = nn.Embedding(vocabulary, width, padding_idx=PAD)
        self.places = nn.Embedding(length, width)
        self.near = nn.Conv1d(width, width, 3, padding=1)
        self.questions = nn.Parameter(torch.randn(QUESTIONS, width) * 0.1)
        self.norm, self.dropout = nn.LayerNorm(width, eps=1e-12), nn.Dropout(0.1)
        layer = nn.TransformerEncoderLayer(width, heads, 2 * width, 0.1, "gelu", batch_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(self, pieces: torch.Tensor) -> torch.Tensor:
        """(texts, QUESTIONS + length, width) of (texts, length) pieces: answers first; zeros where a text has ended."""
        there = pieces != PAD
        alone = self.pieces(pieces)
        beside = nn.functional.gelu(self.near(alone.transpose(1, 2)).transpose(1, 2))
        embedded = self.norm(alone + beside + self.places.weight[: pieces.shape[1]])
        read = self.layers(self.dropout(embedded), src_key_padding_mask=~there)
        found = torch.einsum("nlw,qw->nql", read, self.questions).masked_fill(~there[:, None], -1e4).softmax(dim=-1)
        shown = torch.where(there[..., None], read, torch.zeros_like(read))
        return torch.cat([found @ read, shown], dim=1)
