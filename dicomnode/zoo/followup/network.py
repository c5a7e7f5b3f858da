"""The network of the predicted follow-up scan: one encoder, two twin decoders that look where it looks.

Re-implementation after Jiang et al., arXiv 2408.00940 (dual-task mutual learning), from its figure and the defaults of
its code: what neither tells (heads, losses, hours as an input) is this project's own, and there is no adversarial term.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from dicomnode.zoo.followup.conditions import HALVINGS_H, Conditions, left_of
from dicomnode.zoo.followup.decoder import Maps, TaskDecoder
from dicomnode.zoo.followup.encoder import FollowUpEncoder
from dicomnode.zoo.followup.exam import ExamHead, evidence_of
from dicomnode.zoo.followup.heads import CUT_HU, DENSE_HU, KINDS, ScanHead
from dicomnode.zoo.followup.sizes import SIZES, FollowUpParts

CHANNELS = len(CUT_HU) + 2
"""Two windows about the brain (the narrow one tells dead brain, the wide one contrast medium), the densest of each
slab, and the skull."""


class Prediction(NamedTuple):
    """What the network says; a part that it has not gives zeros.

    Attributes
    ----------
    change_hu : (heads, slabs, rows, columns) to be added to the first scan.
    blood_logit : (heads, slabs, rows, columns) log odds that a voxel holds blood on the second scan.
    exam_logit : (heads,) log odds that the second scan shows blood at all.
    token_logit : (heads,) the same by the tokens of the exam's decoder alone.
    kind_logit : (heads, 2, slabs, rows, columns) log odds that a voxel of the first scan is stained, and dead brain.
    """

    change_hu: torch.Tensor
    blood_logit: torch.Tensor
    exam_logit: torch.Tensor
    token_logit: torch.Tensor
    kind_logit: torch.Tensor


class FollowUpNetwork(nn.Module):
    """A head after thrombectomy, and hours -> the head that many hours later.

    Parameters
    ----------
    size : name of it, ``fast`` or ``paper``.
    parts : which it has; None is all of them, without variables.
    """

    def __init__(self, size: str = "fast", parts: FollowUpParts | None = None) -> None:
        super().__init__()
        self.size, self.parts = SIZES[size], parts or FollowUpParts()
        self.conditions = Conditions(self.parts.variables, self.size.widths)
        self.encoder = FollowUpEncoder(self.size, CHANNELS)
        self.maps = Maps(self.size)
        self.generates = TaskDecoder(self.size) if self.parts.generates else None
        self.classifies = TaskDecoder(self.size) if self.parts.classifies else None
        self.own_maps = Maps(self.size) if self.parts.classifies and not self.parts.shares else None
        self.scan = ScanHead(self.size, CHANNELS, len(HALVINGS_H)) if self.parts.generates else None
        self.exam = ExamHead(self.size.width, self.parts.generates) if self.parts.classifies else None

    def forward(self, head: torch.Tensor, given: torch.Tensor) -> Prediction:
        """What comes.

        Parameters
        ----------
        head : (heads, 3, slabs, rows, columns), see :class:`dicomnode.zoo.followup.grid.FollowUpHead`.
        given : (heads, 1 + variables): hours, then variables, NaN where not known.
        """
        said = self.by_tokens(head, given)
        # parts of heads teach the tokens; the maps of a part tell nothing of the exam
        if self.exam is None or self.scan is None or self.training:
            return said
        evidence, crops = evidence_of(said.blood_logit, said.kind_logit, head)
        return said._replace(exam_logit=self.exam.with_maps(said.token_logit, evidence, crops))

    def by_tokens(self, head: torch.Tensor, given: torch.Tensor) -> Prediction:
        """The same, its exam by the tokens alone, whatever the maps tell of it."""
        voxels = channels_of(head)
        told = self.conditions(given)
        levels = self.encoder(voxels, self.conditions, told)
        maps = self.maps(levels)
        own = maps if self.own_maps is None else self.own_maps(levels)
        nothing = torch.zeros_like(head[:, 0])
        change, blood = nothing, nothing
        exam = nothing[:, 0, 0, 0]
        kinds = nothing[:, None].expand(-1, KINDS, -1, -1, -1)
        if self.generates is not None and self.scan is not None:
            change, blood, kinds = self.scan(
                self.generates(levels[-1], maps), voxels, head[:, 0].float(), left_of(given)
            )
        if self.classifies is not None and self.exam is not None:
            exam = self.exam(self.classifies(levels[-1], own))
        return Prediction(change_hu=change, blood_logit=blood, exam_logit=exam, token_logit=exam, kind_logit=kinds)

    @property
    def last_shared(self) -> nn.Parameter:
        """Weights of the last layer that both tasks go through: the bottleneck's."""
        return next(p for name, p in reversed(list(self.encoder.levels[-1].named_parameters())) if p.ndim > 1)


def channels_of(head: torch.Tensor) -> torch.Tensor:
    """(heads, 4, ...) of about -1 to 1: the windows, the densest, and the space within the skull."""
    hu, within, densest = head.float().unbind(dim=1)
    cuts = [(hu, cut) for cut in CUT_HU] + [(densest, DENSE_HU)]
    seen = [((values - low) / (high - low)).clamp(0.0, 1.0) for values, (low, high) in cuts]
    return 2.0 * torch.stack([*seen, within], dim=1) - 1.0
