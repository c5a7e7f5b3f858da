"""The two haemorrhage models: the fast one that the node runs, and PatchFCN as published."""

from __future__ import annotations

from pathlib import Path

import torch

import dicomnode.zoo
from dicomnode.train.slices.evaluation import balanced_score
from dicomnode.train.slices.exams import Planes
from dicomnode.train.slices.learner import SliceLearner
from dicomnode.train.slices.noisy_student import RANKED_SHARE
from dicomnode.train.slices.recipes import Recipe, rare
from dicomnode.zoo.calibration import CalibrateBraind
from dicomnode.zoo.hemorrhage.committee import Committee
from dicomnode.zoo.hemorrhage.patchfcn import PatchFCN
from dicomnode.zoo.parts import load_parts

BUNDLE = Path(dicomnode.zoo.__file__).parent / "hemorrhage" / "bundle"
PAPER_LOW_HU, PAPER_HIGH_HU = -40.0, 160.0
FINDINGS = ("hemorrhage", "intraparenchymal", "intraventricular", "extra_axial", "dense_not_blood")
"""Outputs of the fast network; the node's bundle gives out those of its manifest, the first ones."""
MISSED = (0.5, 0.5, 0.5, 0.7, 0.5)
"""Thin blood outside the brain is missed rather than marked falsely."""
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
    return SliceLearner(fast_recipe(), WITHOUT, member_of, ranked_share, balanced_score)


def paper_learner() -> SliceLearner:
    """The learner of PatchFCN."""
    return SliceLearner(paper_recipe(), WITHOUT, member_of)
