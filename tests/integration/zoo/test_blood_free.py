"""Heads without blood, real and synthetic: none gets a red headline from the shipped model, whatever it marks.

Eight synthetic heads of two sites and the two real ones are ten: ``make test`` runs the real ones, ``test-full`` all.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dicomnode.cohort.make import make_cohort
from dicomnode.decision import Decision, decision_of
from dicomnode.encode.pictures.overview import overview_image
from dicomnode.encode.wording import Wording
from dicomnode.images.volume import LoadedSeries, read_series
from dicomnode.measure.outcome import outcomes_of
from dicomnode.records import Case, Inputs
from dicomnode.zoo.registry import Registry
from dicomnode.zoo.runner import Runner
from tests.unit.encode.cases import EVEN
from tests.unit.encode.cases import case_of as made_up

pytestmark = pytest.mark.timeout(1800)

SEED, ALL = 77, 4
SYNTHETIC = [
    pytest.param((site, number), marks=pytest.mark.full, id=f"site-{site}-{number}")
    for site in "AB"
    for number in range(1, ALL + 1)
]


@pytest.fixture(scope="module")
def runner() -> Runner:
    return Runner(Registry().get("hemorrhage"), threads=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the heads of this module are made, each cohort once."""
    return tmp_path_factory.mktemp("blood-free")


def synthetic(folder: Path, site: str, number: int) -> list[Path]:
    """Files of one head; patient k is the same whatever the number of patients."""
    cohort = folder / site
    if not cohort.exists():
        options = {"arm": "normal", "site": site, "formats": ("dicom",), "followup": False}
        make_cohort(cohort, ALL, SEED, progress=False, **options)
    return sorted((cohort / f"patient-{number:04}" / "ct").glob("*.dcm"))


def case_of(series: LoadedSeries, runner: Runner) -> Case:
    """What the shipped model finds."""
    return Case(
        sources=series.sources,
        identity=series.sources[0],
        volume=series.volume,
        findings=runner.run(Inputs(volume=series.volume)),
        input_digests=series.input_digests,
        protocol="head-ct",
        settings_digest="",
        generation=1,
    )


def has_red(case: Case) -> bool:
    """Whether the overview has a pixel of the colour of what was found; amber, that of what is uncertain, is none."""
    red, green, blue = np.moveaxis(np.asarray(overview_image(case).convert("RGB"), int), -1, 0)
    return bool(((red > 120) & (red - green > 90) & (red - blue > 90)).any())


def require_no_red_headline(case: Case) -> None:
    """Neither in the decision, nor in words, nor in the picture, unless the exam lies above its threshold."""
    (finding,) = case.masks
    assert finding.exam_probability is not None
    assert finding.exam_threshold is not None
    assert finding.exam_probability < finding.exam_threshold
    assert finding.decision is decision_of(outcomes_of(case.findings))
    assert finding.decision in (Decision.NEGATIVE, Decision.UNCERTAIN)
    assert not Wording(case.language).headline(finding).startswith(finding.label)
    assert not has_red(case)


def test_what_is_found_is_red() -> None:
    assert has_red(made_up(EVEN, (((25.0, 60.0, 40.0), (12.0, 14.0, 10.0)),)))


@pytest.mark.parametrize("head", SYNTHETIC)
def test_a_synthetic_head_without_blood_has_no_red_headline(
    folder: Path, runner: Runner, head: tuple[str, int]
) -> None:
    require_no_red_headline(case_of(read_series(synthetic(folder, *head)), runner))


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["head_ct_ge", "head_ct_siemens"])
def test_a_real_head_without_blood_has_no_red_headline(real_data: Path, runner: Runner, name: str) -> None:
    require_no_red_headline(case_of(read_series(sorted((real_data / name).glob("*.dcm"))), runner))
