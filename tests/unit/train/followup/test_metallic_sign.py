"""The rule of the metallic hyperdensity sign, held to what came, beside the probability of the exam."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dicomnode.train.followup.judging import METALLIC, metallic_sign
from dicomnode.train.followup.outputs import MetallicSign
from dicomnode.train.manifest import Case
from dicomnode.train.results import Results
from dicomnode.train.tabular import ExamTensors
from dicomnode.zoo.followup.grid import SHAPE
from dicomnode.zoo.networks.head_grid import USUAL_BRAIN_HU

CASE = Case(id="1", patient="1", image=Path("1"))


def sample(columns: int, hu: float) -> ExamTensors:
    """A stained bar, so many voxels of 3 mm long."""
    head, kind = torch.zeros(3, *SHAPE), torch.zeros(SHAPE, dtype=torch.uint8)
    head[2, 10, 30, 20 : 20 + columns] = hu - USUAL_BRAIN_HU
    kind[10, 30, 20 : 20 + columns] = 1
    return ExamTensors(CASE, {"head": head, "kind": kind})


@pytest.mark.parametrize(("columns", "hu", "sign"), [(4, 95.0, 1.0), (3, 95.0, 0.0), (4, 85.0, 0.0), (0, 95.0, 0.0)])
def test_a_centimetre_above_90_hu_is_the_sign_and_less_is_not(columns: int, hu: float, sign: float) -> None:
    assert metallic_sign(sample(columns, hu)) == sign


def test_two_small_stains_do_not_make_a_large_one() -> None:
    apart = sample(2, 95.0)
    apart.tensors["kind"][10, 30, 40:42] = 1
    apart.tensors["head"][2, 10, 30, 40:42] = 95.0 - USUAL_BRAIN_HU
    assert metallic_sign(apart) == 0.0


def test_the_rows_tell_the_rule_beside_the_exam() -> None:
    columns = {
        "label": np.array([1.0, 1.0, 0.0, 0.0, np.nan]),
        "score": np.array([0.9, 0.8, 0.2, 0.1, 0.5]),
        METALLIC: np.array([1.0, 0.0, 0.0, 0.0, 1.0]),
    }
    names = tuple("12345")
    results = Results(names, names, {"site": ("A",) * 5}, columns)
    told = {figure.key: figure.value(results, np.arange(5)) for figure in MetallicSign().figures}
    assert told == {"metallic_auc": 0.75, "auc_above_metallic": 0.25, "metallic_share": pytest.approx(0.4)}
