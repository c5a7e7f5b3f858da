"""Score-CAM in three dimensions: where of a volume a score comes from, without gradients.

Each channel of an activation is a mask: how much of the score is left where only what lies under it is shown decides
its weight. Reference: Wang et al., CVPR workshops 2020 (arXiv 1910.01279); there in the plane.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

CHANNELS, BATCH = 4, 4
"""So many channels, those with the largest mean activation, are asked; all of them would be as many forward passes."""
FAINT = 0.1
"""A mask shows nothing where it is below this: its far tail is no place that a channel stands for."""


def score_cam(
    image: torch.Tensor,
    activation: torch.Tensor,
    blank: float,
    score: Callable[[torch.Tensor], torch.Tensor],
    channels: int = CHANNELS,
) -> torch.Tensor:
    """Where a score comes from.

    Parameters
    ----------
    image : (slabs, rows, columns) float. activation : (channels, a, b, c) of a layer.
    blank : what stands where a channel shows nothing.
    score : (volumes, 1, slabs, rows, columns) -> (volumes,) log odds.
    channels : how many are asked.

    Returns
    -------
    (slabs, rows, columns) from 0 to 1; all 0 where the score comes from nowhere.
    """
    top = activation.flatten(1).mean(dim=1).topk(min(channels, len(activation))).indices
    masks = unit(functional.interpolate(activation[top][None], image.shape, mode="trilinear")[0])
    masks = functional.threshold(masks, FAINT, 0.0)
    shown = blank + masks * (image - blank)
    scores = torch.cat([score(part[:, None]) for part in torch.split(shown, BATCH)])
    return unit(torch.einsum("k,kzyx->zyx", scores.softmax(dim=0), masks).relu()[None])[0]


def unit(maps: torch.Tensor) -> torch.Tensor:
    """(maps, ...) each from 0 to 1; one that is the same everywhere becomes 0."""
    flat = maps.flatten(1)
    low, high = (edge.reshape(-1, *[1] * (maps.ndim - 1)) for edge in (flat.min(dim=1).values, flat.max(dim=1).values))
    return (maps - low) / (high - low).clamp(min=1e-9)
