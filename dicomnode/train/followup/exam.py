"""Teaches the exam's head from whole heads, once maps and tokens stand: what the maps tell, and how it is weighed.

An exam has one label, a head thousands of voxels: whatever can be learned from voxels is learned from them, and the
label decides a handful of weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from rich.progress import track
from sklearn.linear_model import LogisticRegression
from torch import nn

from dicomnode.clinical.scores.rules import METALLIC_HU
from dicomnode.train.followup.pairs import DEAD, STAINED
from dicomnode.train.followup.piece import crossed
from dicomnode.train.tabular import ExamTensors
from dicomnode.train.tellers import deviation_of, out_of_fold
from dicomnode.train.tellers import taught as taught_teller
from dicomnode.zoo.followup.exam import ExamHead, MapFacts, evidence_of
from dicomnode.zoo.followup.grid import VOXEL_ML, inner
from dicomnode.zoo.followup.network import FollowUpNetwork
from dicomnode.zoo.networks.head_grid import USUAL_BRAIN_HU

AS_METAL_HU, STEP_HU = METALLIC_HU - USUAL_BRAIN_HU, 4.0
"""Above the brain: as dense as metal, and how sharp that line is."""
UNSTAINED_HU = 20.0
"""What counts as the density of staining where there is none."""
STAINING_ML, DEAD_ML = 0.5, 1.0
"""Added before the logarithm."""
LEAST_EXAMS, LEAST_SPREAD = 20, 0.1
"""``LEAST_SPREAD``: what differs by less between exams is not blown up to tell them apart."""
INVERSE_PENALTY = 0.3


@dataclass(frozen=True, slots=True)
class Looks:
    """What heads show to a network that is not trained any more.

    Attributes
    ----------
    evidence : (heads, EVIDENCE). crops : (heads, LAYERS, *CROP) about the piece. by_tokens : (heads,) log odds.
    facts : (heads, FACTS) that are true. label : (heads,) NaN where not known.
    """

    evidence: torch.Tensor
    crops: torch.Tensor
    by_tokens: torch.Tensor
    facts: torch.Tensor
    label: torch.Tensor


def taught(network: FollowUpNetwork, samples: Sequence[ExamTensors], seed: int, *, progress: bool) -> bool:
    """Teach the head of the exam in place; False where there is nothing to teach it with.

    Parameters
    ----------
    samples : whole heads that the network has learned from.
    """
    head = network.exam
    if head is None or head.facts is None or head.weigh is None:
        return False
    return learned(head, looks_at(network, samples, progress=progress), seed, progress=progress)


def learned(head: ExamHead, looks: Looks, seed: int, *, progress: bool = False) -> bool:
    """Teach a head that is told of maps by what heads show; False, and nothing changed, where that is too little."""
    assert head.facts is not None
    assert head.readers is not None
    known = torch.isfinite(looks.label)
    positive = int((looks.label[known] > 0).sum())
    if min(positive, int(known.sum()) - positive) < LEAST_EXAMS or not bool((looks.facts[:, 0] > UNSTAINED_HU).any()):
        return False
    mean, deviation = looks.facts.mean(dim=0), deviation_of(looks.facts)
    facts = (looks.facts - mean) / deviation
    readers, of_piece = crossed(looks.crops, facts, seed, progress=progress)
    shown = torch.cat([looks.evidence, of_piece], dim=1)
    _, told = out_of_fold(lambda numbers, wanted, _: _teller(numbers, wanted, seed), shown, facts)
    _weigh(head, torch.cat([looks.by_tokens[:, None], told], dim=1)[known], looks.label[known])
    head.readers.load_state_dict(nn.ModuleList(readers).state_dict())
    head.facts.load_state_dict(_teller(shown, facts, seed).state_dict())
    return True


def looks_at(network: FollowUpNetwork, samples: Sequence[ExamTensors], *, progress: bool) -> Looks:
    """Every head as a whole."""
    network.eval()
    rows = []
    with torch.inference_mode():
        for sample in track(samples, "looking at whole heads", disable=not progress):
            tensors = sample.tensors
            said = network.by_tokens(tensors["head"][None], tensors["given"][None])
            evidence, crops = evidence_of(said.blood_logit, said.kind_logit, tensors["head"][None])
            facts = facts_of(tensors["kind"], tensors["head"], float(tensors["painted"][0]))
            rows.append((evidence[0], crops[0], said.token_logit[0], facts, tensors["label"][0]))
    return Looks(*(torch.stack(column) for column in zip(*rows, strict=True)))


def facts_of(kind: torch.Tensor, head: torch.Tensor, painted_hu: float = float("nan")) -> torch.Tensor:
    """(FACTS,) of a first scan whose voxels are known.

    Parameters
    ----------
    kind : (slabs, rows, columns) what its voxels are. head : (3, slabs, rows, columns) as the network reads it.
    painted_hu : how dense its staining was painted; NaN where nobody knows, then its densest voxel counts.
    """
    stained, densest = (kind == STAINED) & inner(head[1][None].float())[0], head[2].float()
    density_hu = painted_hu - USUAL_BRAIN_HU
    if not np.isfinite(density_hu):
        density_hu = float(densest[stained].max()) if bool(stained.any()) else UNSTAINED_HU
    density = torch.tensor(max(UNSTAINED_HU, density_hu))
    volumes_ml = [float((kind == one).sum()) * VOXEL_ML for one in (STAINED, DEAD)]
    logs = [float(np.log(ml + least)) for ml, least in zip(volumes_ml, (STAINING_ML, DEAD_ML), strict=True)]
    return torch.tensor([float(density), float(torch.sigmoid((density - AS_METAL_HU) / STEP_HU)), *logs])


def _teller(numbers: torch.Tensor, facts: torch.Tensor, seed: int) -> MapFacts:
    """Taught facts in deviations from their mean."""
    torch.manual_seed(seed)
    return taught_teller(MapFacts(), numbers, facts, torch.ones(facts.shape[1]), seed)


def _weigh(head: ExamHead, told: torch.Tensor, label: torch.Tensor) -> None:
    """Set the last weights by logistic regression on numbers of about one deviation."""
    assert head.weigh is not None
    mean, deviation = told.mean(dim=0), told.std(dim=0).clamp(min=LEAST_SPREAD)
    fit = LogisticRegression(C=INVERSE_PENALTY, max_iter=2000).fit(((told - mean) / deviation).numpy(), label.numpy())
    weights = torch.as_tensor(fit.coef_[0], dtype=torch.float32) / deviation
    with torch.no_grad():
        head.weigh.weight.copy_(weights[None])
        head.weigh.bias.fill_(float(fit.intercept_[0]) - float(weights @ mean))
