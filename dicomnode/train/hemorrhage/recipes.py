"""The haemorrhage models: the fast one that the node runs, the one that is to follow it, and PatchFCN as published."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

import dicomnode.zoo
from dicomnode.train.masks import DENSE_MASK
from dicomnode.train.slices.evaluation import balanced_score
from dicomnode.train.slices.exams import Planes
from dicomnode.train.slices.learner import SliceLearner
from dicomnode.train.slices.noisy_student import RANKED_SHARE
from dicomnode.train.slices.recipes import Recipe, rare
from dicomnode.zoo.calibration import CalibrateBraind
from dicomnode.zoo.hemorrhage.committee import Committee
from dicomnode.zoo.hemorrhage.full_view import FACTOR, FullView
from dicomnode.zoo.hemorrhage.patchfcn import PatchFCN
from dicomnode.zoo.hemorrhage.residual_unet import ResidualUNet
from dicomnode.zoo.parts import load_parts

SEATS = 2
"""Networks of a committee."""
BUNDLE = Path(dicomnode.zoo.__file__).parent / "hemorrhage" / "bundle"
PAPER_LOW_HU, PAPER_HIGH_HU = -40.0, 160.0
FINDINGS = ("hemorrhage", "intraparenchymal", "intraventricular", "extra_axial")
"""Outputs of the fast network; the node's bundle gives out those of its manifest, the first ones."""
DETECTED = (*FINDINGS, DENSE_MASK)
MISSED = (0.5, 0.5, 0.5, 0.7, 0.5)
"""Thin blood outside the brain is missed rather than marked falsely."""
FULL_VIEW = 12
"""Channels of the core's answer at full resolution."""
WITHOUT = "no blood"


def fast_recipe() -> Recipe:
    parts = load_parts(BUNDLE)
    return Recipe(
        name="hemorrhage",
        planes=Planes(
            parts.plane_size,
            parts.plane_pixel_mm,
            FINDINGS,
            parts.calibration.reference_hu if isinstance(parts.calibration, CalibrateBraind) else None,
        ),
        window=128,
        build=lambda: rare(member_of(load_parts(BUNDLE).network)),
        bundled=lambda: load_parts(BUNDLE).network,
        prepare=lambda hu: torch.as_tensor(parts.preprocessing({"image": hu})["image"]),
        finish=lambda logits, hu: torch.as_tensor(parts.postprocessing({"pred": logits, "hu": hu})["pred"]),
    )


def detector_network() -> torch.nn.Module:
    """The network of :func:`detector_recipe`, new: reads what the bundle's does, decides on whole pixels."""
    core = ResidualUNet(6 * FACTOR**2, FULL_VIEW * FACTOR**2)
    return FullView(core, seen=(1, 4), coarse=FULL_VIEW, hidden=24, outputs=len(DETECTED))


def detector_recipe() -> Recipe:
    """Planes and windows of the bundle; one finding more, faint blood and streaks in training."""
    fast = fast_recipe()
    return replace(
        fast,
        name="hemorrhage-detector",
        planes=replace(fast.planes, findings=DETECTED),
        build=lambda: rare(detector_network()),
        bundled=lambda: Committee([detector_network() for _ in range(SEATS)]),
        faint=True,
        streaks=True,
        missed=MISSED,
    )


def paper_recipe() -> Recipe:
    return Recipe(
        name="hemorrhage-paper",
        planes=Planes(512, 0.45, ("hemorrhage",)),
        window=240,
        build=lambda: rare(PatchFCN()),
        bundled=PatchFCN,
        prepare=lambda hu: ((hu - PAPER_LOW_HU) / (PAPER_HIGH_HU - PAPER_LOW_HU)).clamp(0.0, 1.0),
        finish=lambda logits, hu: logits.sigmoid(),
    )


def member_of(network: torch.nn.Module) -> torch.nn.Module:
    """The network that a training goes on with: the first of a committee, else the network itself."""
    return network.members[0] if isinstance(network, Committee) else network


def fast_learner(ranked_share: float = RANKED_SHARE) -> SliceLearner:
    """The learner of the network that the node runs.

    Parameters
    ----------
    ranked_share : see :class:`dicomnode.train.slices.learner.SliceLearner`.
    """
    return SliceLearner(fast_recipe(), WITHOUT, member_of, ranked_share)


def detector_learner() -> SliceLearner:
    """The learner of the network that is to follow the node's; it learns from labels alone."""
    return SliceLearner(detector_recipe(), WITHOUT, member_of, select=balanced_score)


def paper_learner() -> SliceLearner:
    """The learner of PatchFCN."""
    return SliceLearner(paper_recipe(), WITHOUT, member_of)
