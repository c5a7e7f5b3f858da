"""The haemorrhage models: the one that the node runs, that of the paper's experiment, and PatchFCN as published."""

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

CHANNELS = 6
"""Three slices in two windows."""
SEATS = 2
"""Networks of a committee."""
BUNDLE = Path(dicomnode.zoo.__file__).parent / "hemorrhage" / "bundle"
PAPER_LOW_HU, PAPER_HIGH_HU = -40.0, 160.0
FINDINGS = ("hemorrhage", "intraparenchymal", "intraventricular", "extra_axial")
"""Outputs of the student."""
DETECTED = (*FINDINGS, DENSE_MASK)
"""Outputs of the node's network; its bundle gives out those of its manifest, the first ones."""
MISSED = (0.5, 0.5, 0.5, 0.7, 0.5)
"""Thin blood outside the brain is missed rather than marked falsely."""
FULL_VIEW = 12
"""Channels of the core's answer at full resolution."""
WITHOUT = "no blood"


def student_network() -> torch.nn.Module:
    """The network of :func:`student_recipe`, new: computes and decides on pixels of half the resolution."""
    core = ResidualUNet(CHANNELS * FACTOR**2, len(FINDINGS) * FACTOR**2)
    return torch.nn.Sequential(torch.nn.PixelUnshuffle(FACTOR), core, torch.nn.PixelShuffle(FACTOR))


def student_recipe() -> Recipe:
    """Planes and windows of the bundle, and the network that the node ran up to version 0.7."""
    parts = load_parts(BUNDLE)
    return Recipe(
        name="hemorrhage-student",
        planes=Planes(
            parts.plane_size,
            parts.plane_pixel_mm,
            FINDINGS,
            parts.calibration.reference_hu if isinstance(parts.calibration, CalibrateBraind) else None,
        ),
        window=128,
        build=lambda: rare(student_network()),
        bundled=lambda: Committee([student_network() for _ in range(SEATS)]),
        prepare=lambda hu: torch.as_tensor(parts.preprocessing({"image": hu})["image"]),
        finish=lambda logits, hu: torch.as_tensor(parts.postprocessing({"pred": logits, "hu": hu})["pred"]),
    )


def detector_network() -> torch.nn.Module:
    """The network of :func:`detector_recipe`, new: computes on half the resolution, decides on whole pixels."""
    core = ResidualUNet(CHANNELS * FACTOR**2, FULL_VIEW * FACTOR**2)
    return FullView(core, seen=(1, 4), coarse=FULL_VIEW, hidden=24, outputs=len(DETECTED))


def detector_recipe() -> Recipe:
    """What the node runs: one finding more than the student, faint blood and streaks in training."""
    student = student_recipe()
    return replace(
        student,
        name="hemorrhage",
        planes=replace(student.planes, findings=DETECTED),
        build=lambda: rare(detector_network()),
        bundled=lambda: load_parts(BUNDLE).network,
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


def student_learner(ranked_share: float = RANKED_SHARE) -> SliceLearner:
    """The learner of the paper's experiment.

    Parameters
    ----------
    ranked_share : see :class:`dicomnode.train.slices.learner.SliceLearner`.
    """
    return SliceLearner(student_recipe(), WITHOUT, member_of, ranked_share)


def detector_learner() -> SliceLearner:
    """The learner of the network that the node runs; it learns from labels alone."""
    return SliceLearner(detector_recipe(), WITHOUT, member_of, select=balanced_score)


def paper_learner() -> SliceLearner:
    """The learner of PatchFCN."""
    return SliceLearner(paper_recipe(), WITHOUT, member_of)
