"""Scores exams with a network: probabilities on the planes, and what they say against the truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from rich.progress import track

from dicomnode.measure.exam import exam_score, slice_scores
from dicomnode.train.engine import channels_last
from dicomnode.train.outputs.mask import LARGE_ML, mask_measures
from dicomnode.train.results import NAN, Results, results_of
from dicomnode.train.slices.exams import UNKNOWN, Exam
from dicomnode.train.slices.losses import branches
from dicomnode.train.slices.recipes import Recipe

THRESHOLD = 0.5
CHUNK = 8
FALSE_PRICE = 0.1


def predict(
    recipe: Recipe, network: torch.nn.Module, exam: Exam, *, bfloat16: bool = False
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Probabilities of one exam, on the CPU.

    Parameters
    ----------
    bfloat16 : compute in it, for validation and pseudo-labels; final figures come from float32, as the node computes.

    Returns
    -------
    (findings, slices, size, size) of every pixel, and (slices,) of every slice where the network has a branch for them.
    """
    device = next(network.parameters()).device
    around = torch.stack([exam.around(k) for k in range(len(exam.hu))], dim=1)
    image = recipe.prepare(around).transpose(0, 1)
    pixels, slices = [], []
    with torch.inference_mode():
        for part in torch.split(image, CHUNK):
            with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                pixel, slice_ = branches(network(channels_last(part.to(device))))
            pixels.append(pixel.float().cpu())
            slices += [slice_.float().cpu().sigmoid()[:, 0]] if slice_ is not None else []
    probability = recipe.finish(torch.cat(pixels).transpose(0, 1), around)
    if exam.inside is not None:
        probability = probability * torch.from_numpy(np.array(exam.inside))
    return probability, torch.cat(slices) if slices else None


def ranking_scores(recipe: Recipe, probability: torch.Tensor, slices: torch.Tensor | None) -> torch.Tensor:
    """(slices,) by which unlabelled slices are ranked: of the slice branch, else of the most probable pixels.

    Parameters
    ----------
    probability, slices : of :func:`predict`.
    """
    if slices is not None:
        return slices
    return torch.from_numpy(slice_scores(probability[0].numpy(), recipe.planes.pixel_mm**2))


def judge(exam: Exam, probability: torch.Tensor, score: float, finding: str, index: int = 0) -> dict[str, float]:
    """Compare one exam with its truth.

    Parameters
    ----------
    probability : (slices, size, size) of the finding.
    index : of the finding in the exam's truth; the precision over voxels, which is slow, is computed of the first.

    Returns
    -------
    ``label`` (0, 1, NaN where not known), ``score``, and the columns of a mask; all begin with the finding's name, but
    those of the first one.
    """
    truth, known = exam.truth[:, index], exam.known(index)
    label = exam.case.labels.get(finding)
    positive = label >= 0.5 if label is not None else bool((truth == 1).any())
    measures = mask_measures(
        truth == 1 if known else None, probability.numpy(), THRESHOLD, exam.pixel_ml, precise=index == 0
    )
    row = {"label": float(positive) if known or label is not None else NAN, "score": score, **measures}
    return {prefix_of(finding, index) + name: value for name, value in row.items()}


def prefix_of(finding: str, index: int) -> str:
    """How the columns of a finding begin."""
    return f"{finding}_" if index else ""


def score_exams(recipe: Recipe, network: torch.nn.Module, exams: Sequence[Exam], *, progress: bool = True) -> Results:
    """Judge every exam by every finding of the recipe.

    Volumes and Dice are of the planes, confined to the interior of the skull as the node confines them. Where the
    network has a slice branch, its highest slice is the score of the first finding (PatchFCN's rule).
    """
    network.eval()
    rows = []
    for exam in track(exams, description="scoring exams", disable=not progress):
        probability, slices = predict(recipe, network, exam)
        row: dict[str, float] = {}
        for index, name in enumerate(recipe.planes.findings):
            branch = slices if index == 0 else None
            score = exam_score(probability[index].numpy(), exam.pixel_ml) if branch is None else float(branch.max())
            row |= judge(exam, probability[index], score, name, index)
        rows.append(row)
    return results_of([exam.case for exam in exams], rows)


def pooled_dice(recipe: Recipe, network: torch.nn.Module, exams: Sequence[Exam], *, bfloat16: bool = False) -> float:
    """Dice over the known voxels of all exams together; marks in exams without the finding count against it."""
    both = total = 0
    for exam in exams:
        probability, _ = predict(recipe, network, exam, bfloat16=bfloat16)
        known = exam.truth[:, 0] != UNKNOWN
        truth, marked = exam.truth[:, 0] == 1, (probability[0].numpy() > THRESHOLD) & known
        both += int(np.count_nonzero(truth & marked))
        total += int(np.count_nonzero(truth)) + int(np.count_nonzero(marked))
    return 2.0 * both / total if total else 1.0


def balanced_score(recipe: Recipe, network: torch.nn.Module, exams: Sequence[Exam], *, bfloat16: bool = False) -> float:
    """Mean Dice of the exams with at least ``LARGE_ML``, less ``FALSE_PRICE`` for each falsely marked mL of the others.

    Voxels pooled over exams are dominated by large bleeds, and hardly tell a network that marks clean heads.

    Returns
    -------
    At most 1; NaN where no exam shows as much.
    """
    dice, false_ml = [], []
    for exam in exams:
        probability, _ = predict(recipe, network, exam, bfloat16=bfloat16)
        seen = probability[0].numpy() * (exam.truth[:, 0] != UNKNOWN)
        row = mask_measures(exam.truth[:, 0] == 1, seen, THRESHOLD, exam.pixel_ml, precise=False)
        if row["truth_ml"] >= LARGE_ML:
            dice.append(row["dice"])
        elif row["truth_ml"] == 0:
            false_ml.append(row["marked_ml"])
    price = FALSE_PRICE * float(np.mean(false_ml)) if false_ml else 0.0
    return float(np.mean(dice)) - price if dice else NAN
