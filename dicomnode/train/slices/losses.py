"""Losses over the known pixels of slices, and over whole slices where a network has a branch for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from dicomnode.train.slices.exams import UNKNOWN
from dicomnode.train.slices.noisy_student import IGNORE, masked_bce
from dicomnode.zoo.networks.branches import PixelsAndSlices

DICE_WEIGHT = 0.5
SLICE_WEIGHT = 0.5
ACROSS = (0, 2, 3)
"""Batch, rows and columns."""


def branches(output: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(batch, findings, rows, columns) pixel logits; (batch, 1) slice logits where the network has such a branch."""
    if isinstance(output, PixelsAndSlices):
        return output.pixels, output.slices
    return torch.as_tensor(output), None


def segmentation_loss(output: Any, truth: torch.Tensor, missed: Sequence[float] = ()) -> torch.Tensor:
    """Binary cross-entropy and soft overlap over the known pixels, and cross-entropy of the slice branch.

    Parameters
    ----------
    truth : (batch, findings, rows, columns): 1, 0 or ``UNKNOWN``.
    missed : see :func:`masked_overlap_loss`.
    """
    pixels, slices = branches(output)
    pixels, target = pixels.float(), torch.where(truth == UNKNOWN, IGNORE, truth.float())
    loss = masked_bce(pixels, target) + DICE_WEIGHT * masked_overlap_loss(pixels, target, missed)
    if slices is not None:
        loss = loss + SLICE_WEIGHT * masked_bce(slices.float(), slice_truth(target[:, :1]))
    return loss


def slice_truth(target: torch.Tensor) -> torch.Tensor:
    """(batch, 1): 1 where a pixel is positive, 0 where all are known to be negative, else ``IGNORE``."""
    flat = target.flatten(1)
    positive, unknown = (flat == 1).any(dim=1), (flat == IGNORE).any(dim=1)
    return torch.where(positive, 1.0, torch.where(unknown, IGNORE, 0.0))[:, None]


def masked_overlap_loss(logits: torch.Tensor, target: torch.Tensor, missed: Sequence[float] = ()) -> torch.Tensor:
    """1 - soft overlap over the known pixels of the whole batch, averaged over the findings it shows; 0 without any.

    Over all findings at once a rare one, such as blood in the ventricles, would hardly count and never be learned.
    With equal weights the overlap is Dice's, else Tversky's (Salehi et al., MLMI 2017).

    Parameters
    ----------
    logits, target : (batch, findings, rows, columns).
    missed : (findings,) weight of a missed pixel; that of a false one is what it lacks to 1. Empty: 0.5 for all.
    """
    used = target != IGNORE
    probability, truth = logits.sigmoid() * used, torch.where(used, target, 0.0)
    shown = truth.sum(ACROSS) > 0
    if not bool(shown.any()):
        return probability.sum() * 0.0
    weight = logits.new_tensor(missed or [0.5] * logits.shape[1])
    both = (probability * truth).sum(ACROSS)
    lost = weight * (truth.sum(ACROSS) - both) + (1.0 - weight) * (probability.sum(ACROSS) - both)
    return (1.0 - both / (both + lost))[shown].mean()
