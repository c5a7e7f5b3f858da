"""What is kept of a painted scan for the networks of the midline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dicomnode.cohort.edition import BENT
from dicomnode.cohort.lesions import Lesions
from dicomnode.cohort.patients import Site
from dicomnode.cohort.scene import make_anatomy
from dicomnode.measure.anatomy.falx import BACK_MM, UP_MM
from dicomnode.train.anatomy.falx import KEPT_MM
from dicomnode.train.anatomy.shifted import scanned
from dicomnode.train.anatomy.shown import Kept, kept_heads, kept_of

BLEED = Lesions(side=-1, site_of_bleed="basal ganglia", place_mm=(-26.0, -4.0, 6.0), iph_ml=45.0, oedema_ml=20.0)


@pytest.fixture(scope="module")
def kept() -> Kept:
    base = make_anatomy(990_002, Lesions(), spacing_mm=1.8, edition=BENT)
    found = kept_of(scanned(base, BLEED, BENT, Site.A))
    assert found is not None
    return found


def test_the_septum_lies_beside_the_plane_by_the_shift(kept: Kept) -> None:
    assert kept.shift_mm > 4.0
    assert kept.septum.place_mm[0] - kept.side.plane_mm == pytest.approx(kept.shift_mm)


def test_the_unmoved_midline_is_known_within_the_skull_alone_and_runs_through_the_plane(kept: Kept) -> None:
    unmoved = kept.side.unmoved_mm.astype(float)
    assert unmoved.shape == (len(UP_MM), len(BACK_MM))
    assert kept.side.hu.shape == (*unmoved.shape, len(KEPT_MM))
    assert np.isnan(unmoved[:, 0]).all()  # in front of the skull
    beside_septum = unmoved[int(np.argmin(np.abs(UP_MM - 16.0))), int(np.argmin(np.abs(BACK_MM + 10.0)))]
    assert beside_septum == pytest.approx(kept.side.plane_mm, abs=2.0)


def test_heads_that_are_there_are_not_painted_again(tmp_path: Path) -> None:
    (first,) = kept_heads(tmp_path, range(1), None)
    written = (tmp_path / "00000.npz").stat().st_mtime_ns
    (again,) = kept_heads(tmp_path, range(1), None)
    assert (tmp_path / "00000.npz").stat().st_mtime_ns == written
    assert [one.side.plane_mm for one in again] == [one.side.plane_mm for one in first]
