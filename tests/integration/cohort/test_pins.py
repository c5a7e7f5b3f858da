"""What weights were trained on and what the demonstration shows must not move: digests of a few arrays.

A sha256 would also change with the last bit of a vectorised ``exp`` on another processor. These digests are inner
products with fixed random signs: rounding moves them by hundredths, one voxel changed by 1 HU by 1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.cohort.acquire import Acquisition, acquire
from dicomnode.cohort.head import BleedOrder, SyntheticHead, make_head
from dicomnode.cohort.make import make_demo_study
from dicomnode.cohort.statistics import BleedKind
from dicomnode.cohort.streams import derived_seed, stream
from dicomnode.images.volume import read_volume

TOLERANCE = 0.4
HEAD_HU = [-672181.58, 674933.09, 129002.49]
HEAD_MASK = [17.0, 91.0, 93.0]
HEAD_LABELS = [453.0, -6477.0, 6749.0]
SCAN_HU = [-65911.27, -415514.62, -541518.72]
SCAN_MASK = [-37.0, -7.0, -3.0]
DEMO_MASK = [-121.0, 203.0, 189.0]
DEMO_HU = [880906.0, 162392.0, 604966.0]
SEED_5_HEAD_0 = 922267861037091916
BLEED_5_0 = 0.07455299531483928


def digest(values: NDArray[Any]) -> list[float]:
    """Three inner products of an array with fixed random signs."""
    flat = np.ascontiguousarray(values).ravel().astype(np.float64)
    words = np.random.Generator(np.random.PCG64(2024)).bytes(3 * (flat.size // 8 + 1))
    signs = np.unpackbits(np.frombuffer(words, np.uint8)).astype(np.float64) * 2.0 - 1.0
    return [round(float(flat @ signs[k * flat.size : (k + 1) * flat.size]), 2) for k in range(3)]


@pytest.fixture(scope="module")
def bled() -> SyntheticHead:
    return make_head(5, bleeds=tuple(BleedOrder(kind) for kind in BleedKind), spacing_mm=2.0)


def test_heads_are_those_the_shipped_weights_saw(bled: SyntheticHead) -> None:
    assert digest(bled.hu) == pytest.approx(HEAD_HU, abs=TOLERANCE)
    assert digest(bled.mask) == pytest.approx(HEAD_MASK, abs=TOLERANCE)
    assert digest(bled.labels) == pytest.approx(HEAD_LABELS, abs=TOLERANCE)


def test_scans_are_those_the_shipped_weights_saw(bled: SyntheticHead) -> None:
    scan = Acquisition(
        positions_mm=tuple(np.arange(-40.0, 60.0, 8.0)),
        thickness_mm=5.0,
        tilt_deg=12.0,
        matrix=128,
        pixel_mm=1.8,
        centre_mm=(2.0, -3.0),
        kernel="BONE",
        hu_offset=-7.0,
    )
    series = acquire(bled, scan, seed=3)
    assert digest(series.hu) == pytest.approx(SCAN_HU, abs=TOLERANCE)
    assert digest(series.mask) == pytest.approx(SCAN_MASK, abs=TOLERANCE)


def test_the_demonstration_shows_the_study_it_always_showed(tmp_path: Path) -> None:
    demo = make_demo_study(tmp_path)
    assert demo.volume_ml == pytest.approx(25.37613, abs=1e-4)
    assert digest(demo.mask) == pytest.approx(DEMO_MASK, abs=TOLERANCE)
    assert digest(read_volume(demo.paths).hu[::6]) == pytest.approx(DEMO_HU, abs=5.0)


def test_named_streams_keep_their_draws() -> None:
    assert derived_seed(5, "head", 0) == SEED_5_HEAD_0
    assert stream(5, "bleed", 0).random() == pytest.approx(BLEED_5_0, abs=1e-15)
