"""Blood in CSF: sulci without dark rims, cisterns, and levels in the ventricles."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from dicomnode.cohort.canvas import Tissue
from dicomnode.cohort.findings import Finding
from dicomnode.cohort.lesions import Lesions, Surface
from tests.unit.cohort.second.heads import GRID_MM, head, scene

SULCAL = Lesions(side=1, atrophy=0.4, sah_ml=5.0, clot_hu=60.0)


def test_sulcal_blood_has_no_dark_rim() -> None:
    empty, painted = scene(dataclasses.replace(SULCAL, sah_ml=0.0)), scene(SULCAL)
    blood = painted.findings == Finding.SUBARACHNOID
    middle = np.argwhere(blood).mean(axis=0)
    within = np.linalg.norm(np.indices(blood.shape) - middle[:, None, None, None], axis=0) * GRID_MM < 16.0
    fluid = empty.head.labels == Tissue.CSF
    walls = within & binary_dilation(fluid & blood) & ~fluid & (head().distance < -2.0) & (empty.head.hu < 30.0)
    assert walls.sum() > 20, "CSF at partial volume"
    assert (painted.head.hu[walls] > 30.0).mean() > 0.9
    assert (painted.head.hu[fluid & blood] > 35.0).mean() > 0.95
    assert painted.head.hu[blood].mean() > empty.head.hu[blood].mean() + 20.0
    assert painted.volume_ml(Finding.SUBARACHNOID) == pytest.approx(5.0, abs=GRID_MM**3 / 1000)


def test_the_less_csf_a_voxel_holds_the_paler_its_blood() -> None:
    empty, painted = scene(dataclasses.replace(SULCAL, sah_ml=0.0)), scene(SULCAL)
    blood = painted.findings == Finding.SUBARACHNOID
    before, after = empty.head.hu[blood], painted.head.hu[blood]
    assert after[before < 12.0].mean() > after[before > 28.0].mean() + 3.0


def test_aneurysmal_blood_lies_in_the_basal_cisterns() -> None:
    shown = Lesions(side=1, atrophy=0.4, sah_ml=8.0, clot_hu=60.0, subarachnoid=Surface.BASAL)
    blood = scene(shown).findings == Finding.SUBARACHNOID
    canvas = head().canvas
    assert np.median(np.abs(canvas.x[blood])) < 25.0
    assert -32.0 < np.median(canvas.z[blood]) < -5.0


@pytest.mark.parametrize("roll_deg", [0.0, 9.0])
def test_a_little_blood_in_the_ventricles_makes_a_level_behind(roll_deg: float) -> None:
    base = head(roll_deg=roll_deg)
    painted = scene(Lesions(side=1, atrophy=0.4, ivh_ml=2.0, clot_hu=60.0), base)
    blood = painted.findings == Finding.INTRAVENTRICULAR
    x = base.canvas.x
    for side in (1, -1):
        horn = (
            (painted.head.labels == Tissue.VENTRICLE)
            & (base.canvas.z > -15.0)
            & (x * side > 8.0)
            & (base.canvas.y > 10)
        )
        rows_dry, rows_wet = (np.nonzero(horn & part)[1] for part in (~blood, blood))
        if rows_wet.size > 20:
            above = (rows_dry > rows_wet.min() + 1).mean()
            assert above < 0.1, "below the level no CSF is left"
    assert blood.sum() * GRID_MM**3 / 1000 == pytest.approx(2.0, abs=GRID_MM**3 / 1000)
