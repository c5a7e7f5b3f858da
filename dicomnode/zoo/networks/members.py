"""Several networks of one form that judge together."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from dicomnode.zoo.networks.deepmedic import DeepMedic
from dicomnode.zoo.networks.published import as_it_runs


class Members(torch.nn.ModuleList):
    """Networks whose class probabilities are averaged, as a bundle's configuration builds them, without weights.

    Parameters
    ----------
    count : of networks.
    scales, path_maps, hidden_maps : of each, see :class:`~dicomnode.zoo.networks.deepmedic.DeepMedic`.
    """

    def __init__(self, count: int, scales: Sequence[int], path_maps: Sequence[int], hidden_maps: Sequence[int]) -> None:
        networks = (DeepMedic(scales=scales, path_maps=path_maps, hidden_maps=hidden_maps) for _ in range(count))
        super().__init__(map(as_it_runs, networks))

    @property
    def networks(self) -> list[DeepMedic]:
        """The networks."""
        return [one for one in self if isinstance(one, DeepMedic)]
