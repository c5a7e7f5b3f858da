"""What can be trained: the network of the zoo, what it reads, and how its output becomes a probability."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import dicomnode.zoo
from dicomnode.errors import ConfigError
from dicomnode.train.slices.exams import UNKNOWN, Planes
from dicomnode.train.slices.noisy_student import IGNORE, masked_bce
from dicomnode.zoo.calibration import CalibrateBraind
from dicomnode.zoo.hemorrhage.committee import Committee
from dicomnode.zoo.hemorrhage.patchfcn import PatchFCN, PatchOutput
from dicomnode.zoo.parts import load_parts

BUNDLES = Path(dicomnode.zoo.__file__).parent
PAPER_LOW_HU, PAPER_HIGH_HU = -40.0, 160.0
RARE_LOGIT = -4.0
"""Bias of the last layer before training: blood fills less than 1 % of the pixels."""
HEMORRHAGE_FINDINGS = ("hemorrhage", "intraparenchymal", "intraventricular", "extra_axial")
"""Outputs of the fast network; the node's bundle gives out those of its manifest, the first ones."""
DICE_WEIGHT = 0.5
SLICE_WEIGHT = 0.5
ACROSS = (0, 2, 3)
"""Batch, rows and columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One model that finds something on slices.

    Attributes
    ----------
    window : rows and columns of a training window.
    build : new network.
    bundled : the network as the node runs it; more than one training may have made it.
    prepare : (3, ..., rows, columns) HU of a slice and its neighbours -> (channels, ..., rows, columns).
    finish : logits (findings, slices, size, size) and HU (3, slices, size, size) -> probabilities.
    """

    name: str
    planes: Planes
    window: int
    build: Callable[[], torch.nn.Module]
    bundled: Callable[[], torch.nn.Module]
    prepare: Callable[[torch.Tensor], torch.Tensor]
    finish: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

    @property
    def finding(self) -> str:
        """The main finding: its mask is judged, its label is the exam's."""
        return self.planes.findings[0]


def _hemorrhage() -> Recipe:
    bundle = BUNDLES / "hemorrhage" / "bundle"
    parts = load_parts(bundle)
    return Recipe(
        name="hemorrhage",
        planes=Planes(
            parts.plane_size,
            parts.plane_pixel_mm,
            HEMORRHAGE_FINDINGS,
            parts.calibration.reference_hu if isinstance(parts.calibration, CalibrateBraind) else None,
        ),
        window=128,
        build=lambda: _rare(member_of(load_parts(bundle).network)),
        bundled=lambda: load_parts(bundle).network,
        prepare=lambda hu: torch.as_tensor(parts.preprocessing({"image": hu})["image"]),
        finish=lambda logits, hu: torch.as_tensor(parts.postprocessing({"pred": logits, "hu": hu})["pred"]),
    )


def _hemorrhage_paper() -> Recipe:
    return Recipe(
        name="hemorrhage-paper",
        planes=Planes(512, 0.45, ("hemorrhage",)),
        window=240,
        build=lambda: _rare(PatchFCN()),
        bundled=PatchFCN,
        prepare=lambda hu: ((hu - PAPER_LOW_HU) / (PAPER_HIGH_HU - PAPER_LOW_HU)).clamp(0.0, 1.0),
        finish=lambda logits, hu: logits.sigmoid(),
    )


RECIPES: dict[str, Callable[[], Recipe]] = {"hemorrhage": _hemorrhage, "hemorrhage-paper": _hemorrhage_paper}


def recipe_named(name: str) -> Recipe:
    """The recipe of a model.

    Raises
    ------
    ConfigError : there is none of this name.
    BundleError : the bundle that holds the network cannot be built.
    """
    if name not in RECIPES:
        raise ConfigError([f"there is no model {name!r} to train; there are: {', '.join(RECIPES)}"])
    return RECIPES[name]()


def member_of(network: torch.nn.Module) -> torch.nn.Module:
    """The network that a training goes on with: the first of a committee, else the network itself."""
    return network.members[0] if isinstance(network, Committee) else network


def _rare(network: torch.nn.Module) -> torch.nn.Module:
    last = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)][-1]
    if last.bias is not None:
        torch.nn.init.constant_(last.bias, RARE_LOGIT)
    return network


def branches(output: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(batch, findings, rows, columns) pixel logits; (batch, 1) slice logits where the network has such a branch."""
    if isinstance(output, PatchOutput):
        return output.pixels, output.slices
    return torch.as_tensor(output), None


def segmentation_loss(output: Any, truth: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy and soft Dice over the known pixels, and cross-entropy of the slice branch.

    Parameters
    ----------
    truth : (batch, findings, rows, columns): 1, 0 or ``UNKNOWN``.
    """
    pixels, slices = branches(output)
    pixels, target = pixels.float(), torch.where(truth == UNKNOWN, IGNORE, truth.float())
    loss = masked_bce(pixels, target) + DICE_WEIGHT * masked_dice_loss(pixels, target)
    if slices is not None:
        loss = loss + SLICE_WEIGHT * masked_bce(slices.float(), slice_truth(target[:, :1]))
    return loss


def slice_truth(target: torch.Tensor) -> torch.Tensor:
    """(batch, 1): 1 where a pixel is positive, 0 where all are known to be negative, else ``IGNORE``."""
    flat = target.flatten(1)
    positive, unknown = (flat == 1).any(dim=1), (flat == IGNORE).any(dim=1)
    return torch.where(positive, 1.0, torch.where(unknown, IGNORE, 0.0))[:, None]


def masked_dice_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """1 - soft Dice over the known pixels of the whole batch, averaged over the findings that it shows; 0 without any.

    Over all findings at once a rare one, such as blood in the ventricles, would hardly count and never be learned.

    Parameters
    ----------
    logits, target : (batch, findings, rows, columns).
    """
    used = target != IGNORE
    probability, truth = logits.sigmoid() * used, torch.where(used, target, 0.0)
    shown = truth.sum(ACROSS) > 0
    if not bool(shown.any()):
        return probability.sum() * 0.0
    both = (probability * truth).sum(ACROSS)[shown]
    either = (probability.sum(ACROSS) + truth.sum(ACROSS))[shown]
    return (1.0 - 2.0 * both / either).mean()
