"""The exam's head is taught from whole heads: facts that masks give, and how they are weighed against the tokens."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from dicomnode.train import tellers
from dicomnode.train.followup import piece
from dicomnode.train.followup.exam import Looks, facts_of, learned
from dicomnode.zoo.followup import piece as zoo_piece
from dicomnode.zoo.followup.exam import EVIDENCE, FACTS, ExamHead
from dicomnode.zoo.followup.piece import CROP, LAYERS
from dicomnode.zoo.networks.head_grid import USUAL_BRAIN_HU

HEADS = 400


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tested here lies in the evidence; the readers of the piece have tests of their own."""
    monkeypatch.setattr(piece, "EPOCHS", 1)
    monkeypatch.setattr(zoo_piece, "WIDTH", 2)
    monkeypatch.setattr(tellers, "STEPS", 200)


def head_of(densest_hu: float) -> tuple[torch.Tensor, torch.Tensor]:
    """A first scan with ten stained and twenty dead voxels, and bone at its rim that is stained, too."""
    kind, head = torch.zeros(6, 20, 20, dtype=torch.uint8), torch.zeros(3, 6, 20, 20)
    head[1] = 1.0
    head[1, :, 0] = 0.0
    kind[3, 10, 5:15], kind[2, 12:14, 5:15], kind[3, 1, 5] = 1, 2, 1
    head[2, 3, 10, 8], head[2, 3, 1, 5] = densest_hu - USUAL_BRAIN_HU, 400.0
    return kind, head


def test_facts_of_a_first_scan_are_told_by_its_masks_within_the_brain() -> None:
    told = dict(zip(FACTS, facts_of(*head_of(100.0)).tolist(), strict=True))
    assert told["density"] == pytest.approx(70.0)
    assert told["metallic"] == pytest.approx(1.0 / (1.0 + math.exp(-10.0 / 4.0)))
    assert told["staining"] == pytest.approx(math.log(11 * 0.054 + 0.5))
    assert told["dead"] == pytest.approx(math.log(20 * 0.054 + 1.0))


def test_where_it_is_known_how_dense_the_staining_was_painted_that_counts() -> None:
    told = dict(zip(FACTS, facts_of(*head_of(100.0), painted_hu=90.0).tolist(), strict=True))
    assert (told["density"], told["metallic"]) == (pytest.approx(60.0), pytest.approx(0.5))


def test_a_scan_without_staining_has_the_density_of_none() -> None:
    kind, head = head_of(100.0)
    told = dict(zip(FACTS, facts_of(torch.where(kind == 1, 0, kind), head).tolist(), strict=True))
    assert (told["density"], told["metallic"] < 0.01) == (20.0, True)


def looks(labelled: int = HEADS) -> Looks:
    """Heads whose density decides; a column of the evidence tells it all but exactly, the tokens tell nothing."""
    rng = np.random.default_rng(5)
    density = rng.uniform(20.0, 90.0, HEADS)
    facts = np.stack([density, density > 56.0, *rng.normal(size=(2, HEADS))], axis=1)
    evidence = rng.normal(size=(HEADS, EVIDENCE))
    evidence[:, 3], evidence[:, 4:6] = density + rng.normal(0.0, 2.0, HEADS), facts[:, 2:]
    label = (rng.random(HEADS) < np.where(density > 56.0, 0.9, 0.1)).astype(np.float64)
    label[labelled:] = np.nan
    columns = (evidence, np.zeros((HEADS, LAYERS, *CROP)), rng.normal(size=HEADS), facts, label)
    return Looks(*(torch.as_tensor(column, dtype=torch.float32) for column in columns))


def test_a_taught_head_goes_by_what_the_maps_tell() -> None:
    seen, head = looks(), ExamHead(8, told=True)
    assert learned(head, seen, seed=1)
    with torch.inference_mode():
        said = head.eval().with_maps(seen.by_tokens, seen.evidence, seen.crops)
    best = roc_auc_score(seen.label, seen.facts[:, 1])
    assert roc_auc_score(seen.label, said) > best - 0.03
    assert roc_auc_score(seen.label, seen.by_tokens) < 0.6
    chance = torch.sigmoid(said)
    assert float(chance.mean()) == pytest.approx(float(seen.label.mean()), abs=0.03)


def test_exams_whose_outcome_is_not_known_are_left_out() -> None:
    head = ExamHead(8, told=True)
    assert learned(head, looks(labelled=200), seed=1)
    assert all(bool(torch.isfinite(value).all()) for value in head.state_dict().values())


def test_too_few_exams_teach_nothing() -> None:
    head = ExamHead(8, told=True)
    before = {name: value.clone() for name, value in head.state_dict().items()}
    assert not learned(head, looks(labelled=30), seed=1)
    assert all(torch.equal(value, before[name]) for name, value in head.state_dict().items())


def test_the_same_seed_teaches_the_same() -> None:
    first, second = ExamHead(8, told=True), ExamHead(8, told=True)
    assert learned(first, looks(), seed=3)
    assert learned(second, looks(), seed=3)
    assert first.facts is not None
    assert second.facts is not None
    assert torch.equal(first.facts.line.weight, second.facts.line.weight)
