"""Features of heads from an encoder that is not trained any more, computed once for all trainings."""

from __future__ import annotations

from pathlib import Path

import torch

from dicomnode.train.features import FrozenFeatures
from dicomnode.train.head_reader.painted import VERSION, painted
from dicomnode.train.manifest import Case
from dicomnode.zoo.networks.head_features import HeadFeatures
from dicomnode.zoo.networks.head_grid import SHAPE, VOXEL_MM, WINDOW_HU, head_image
from dicomnode.zoo.networks.head_reader import HeadReader

PREPROCESSING = [VERSION, SHAPE, VOXEL_MM, WINDOW_HU]


class OfHeads:
    """The features of exams by one encoder; an exam without an image has none.

    Parameters
    ----------
    encoder : with its weights. name : of the encoder, for reports.
    heads : cache of heads with what is painted in them, which a pretraining has filled; None reads the images.
    """

    def __init__(self, encoder: HeadFeatures | HeadReader, name: str, heads: Path | None = None) -> None:
        self.encoder, self.name, self.heads = encoder.eval(), name, heads
        self.width = encoder.width
        self._found: dict[str, torch.Tensor] = {}
        self._by_cache: dict[Path, _Frozen] = {}

    def of(self, case: Case, cache: Path) -> torch.Tensor:
        """(width,) NaN without an image.

        Raises
        ------
        ReadError, SeriesError : the image cannot be used.
        """
        if case.image is None:
            return torch.full((self.width,), torch.nan)
        if case.id not in self._found:
            self._found[case.id] = self._frozen(cache).of(case)["features"]
        return self._found[case.id]

    def _frozen(self, cache: Path) -> _Frozen:
        """Made once for a cache: the digest of all weights is part of it."""
        if cache not in self._by_cache:
            self._by_cache[cache] = _Frozen(self.encoder, cache, self.heads)
        return self._by_cache[cache]


class _Frozen(FrozenFeatures):
    """Takes heads that are on their grid already."""

    def __init__(self, encoder: HeadFeatures | HeadReader, cache: Path, heads: Path | None) -> None:
        super().__init__(encoder, head_image, PREPROCESSING, cache)
        self.heads = heads

    def prepared(self, case: Case) -> torch.Tensor:
        """(1, 1, 32, 96, 96)"""
        return super().prepared(case) if self.heads is None else painted(case, self.heads)["image"][None]
