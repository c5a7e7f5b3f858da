"""A small BERT: the layers of the published one with fewer and narrower of them, and nothing but layers of torch.

Reference: Devlin et al., NAACL 2019.
"""

from __future__ import annotations

import torch
from torch import nn

from dicomnode.zoo.prognosis.words import LENGTH, PAD

WIDTH, LAYERS, HEADS = 32, 2, 4


class SmallBert(nn.Module):
    """Pieces of words -> a vector for each.

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
        self.norm, self.dropout = nn.LayerNorm(width, eps=1e-12), nn.Dropout(0.1)
        layer = nn.TransformerEncoderLayer(width, heads, 2 * width, 0.1, "gelu", batch_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(self, pieces: torch.Tensor) -> torch.Tensor:
        """(texts, length, width) of (texts, length) pieces; zeros where a text has ended."""
        there = pieces != PAD
        embedded = self.pieces(pieces) + self.places.weight[: pieces.shape[1]]
        read = self.layers(self.dropout(self.norm(embedded)), src_key_padding_mask=~there)
        return torch.where(there[..., None], read, torch.zeros_like(read))
