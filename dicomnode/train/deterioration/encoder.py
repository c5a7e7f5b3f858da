"""Requests by a published language model from a local folder, as in the paper: frozen, mean over its tokens.

Such as ``emilyalsentzer/Bio_ClinicalBERT`` or ``hfl/chinese-macbert-base``, each with its own licence. Nothing is
downloaded. Needs the extra ``paper``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from dicomnode.errors import TrainingError

MOST_TOKENS = 128
CHUNK = 32


class AsEncoded:
    """By an encoder that is not trained any more; each request is read once.

    Parameters
    ----------
    folder : with configuration, weights and tokenizer as ``transformers`` saves them.

    Raises
    ------
    TrainingError : ``transformers`` is not installed, or the folder holds no such model.
    """

    name = "published encoder"

    def __init__(self, folder: Path) -> None:
        try:
            from transformers import AutoModel, AutoTokenizer
        except ImportError as error:
            raise TrainingError("a published encoder needs transformers: pip install 'dicomnode[paper]'") from error
        try:
            self.encoder: Any = AutoModel.from_pretrained(folder, local_files_only=True).eval()
            self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise TrainingError(f"{folder} holds no encoder: {error}") from error
        self.width = int(self.encoder.config.hidden_size)
        self._read: dict[str, torch.Tensor] = {"": torch.full((self.width,), torch.nan)}

    def of(self, texts: Sequence[str]) -> torch.Tensor:
        """(requests, width) mean of the last layer over the tokens of each request, of the first ``MOST_TOKENS``."""
        new = list(dict.fromkeys(text for text in texts if text not in self._read))
        for start in range(0, len(new), CHUNK):
            part = new[start : start + CHUNK]
            self._read |= dict(zip(part, self._encoded(part), strict=True))
        return torch.stack([self._read[text] for text in texts])

    def _encoded(self, texts: Sequence[str]) -> torch.Tensor:
        tokens = self.tokenizer(list(texts), padding=True, truncation=True, max_length=MOST_TOKENS, return_tensors="pt")
        with torch.no_grad():
            layer = self.encoder(**tokens).last_hidden_state
        there = tokens["attention_mask"][..., None].to(layer.dtype)
        mean: torch.Tensor = (layer * there).sum(dim=1) / there.sum(dim=1).clamp(min=1.0)
        return mean
