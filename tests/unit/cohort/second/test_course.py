"""Hours between two scans after thrombectomy: staining fades, dead brain darkens, blood comes, the head moves."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from dicomnode.cohort.course import blood_ml
from dicomnode.cohort.edition import SECOND
from dicomnode.cohort.findings import Finding
from dicomnode.cohort.lesions import Lesions
from dicomnode.cohort.motion import Motion
from dicomnode.cohort.patients import Arm, Patient
from dicomnode.cohort.scene import Scene, make_anatomy, make_scene
from dicomnode.cohort.second.course import Evt, after_evt, evt_courses, follow_up, stain_at
from dicomnode.cohort.second.expected import expected_follow_up
from dicomnode.cohort.second.motion import draw_motion, moved
from dicomnode.cohort.second.outcomes import draw_outcomes
from dicomnode.cohort.second.people import draw_patient

STAINED = Lesions(
    side=1, place_mm=(26.0, -4.0, 6.0), stain_ml=8.0, stain_hu=94.0, infarct_ml=30.0, infarct_depth_hu=4.0
)
USUAL = Evt(heidelberg="", size=0.5, halving_h=10.0, growth=1.2, depth_hu=15.0)


def test_staining_loses_half_of_its_density_in_its_time_and_is_gone_at_last() -> None:
    assert stain_at(STAINED, 0.0, 10.0) == (8.0, 94.0)
    assert stain_at(STAINED, 10.0, 10.0)[1] == pytest.approx(64.0)
    assert stain_at(STAINED, 20.0, 10.0)[1] == pytest.approx(49.0)
    assert stain_at(STAINED, 60.0, 10.0) == (0.0, 0.0)


def test_dead_brain_darkens_swells_and_grows_with_the_hours() -> None:
    later = [after_evt(STAINED, 5.0, hours, USUAL) for hours in (0.0, 6.0, 24.0, 72.0)]
    for name in ("infarct_depth_hu", "swelling", "infarct_ml"):
        values = [getattr(each, name) for each in later]
        assert values == sorted(values), name
        assert values[-1] > values[0], name


@pytest.mark.parametrize(("heidelberg", "low", "high"), [("1c", 0.0, 0.3), ("2", 0.3, 1.0)])
def test_a_haematoma_keeps_to_the_share_of_the_infarct_that_its_class_allows(
    heidelberg: str, low: float, high: float
) -> None:
    for size in (0.0, 0.5, 1.0):
        assert low * 40.0 < blood_ml(heidelberg, 40.0, size)["iph_ml"] < high * 40.0


def test_what_may_happen_has_all_of_the_probability_and_blood_the_stated_part() -> None:
    for shown in (STAINED, dataclasses.replace(STAINED, stain_ml=0.0)):
        courses = list(evt_courses(0.3, shown))
        assert sum(weight for weight, _, _ in courses) == pytest.approx(1.0)
        assert sum(weight for weight, evt, _ in courses if evt.heidelberg) == pytest.approx(0.3)


@pytest.fixture(scope="module")
def hiding() -> Patient:
    """A patient whose bleed lies below the staining at the first scan."""
    for seed in range(500):
        patient = draw_patient(seed, Arm.POST_EVT)
        if follow_up(patient, draw_outcomes(patient)).first.hidden_ml > 1.0:
            return patient
    raise AssertionError("none of 500 patients hides a bleed")


def test_a_bleed_below_the_staining_is_not_to_be_seen_at_first_and_is_there_later(hiding: Patient) -> None:
    later = follow_up(hiding, draw_outcomes(hiding))
    base = make_anatomy(hiding.seed, hiding.lesions, spacing_mm=3.0, edition=SECOND)
    first, second = (make_scene(base, lesions, SECOND) for lesions in (later.first, later.lesions))
    plain = make_scene(base, dataclasses.replace(later.first, hidden_ml=0.0), SECOND)
    assert np.array_equal(first.head.hu, plain.head.hu)
    assert first.volume_ml(Finding.INTRAPARENCHYMAL) == 0.0
    bleed, stained = second.findings == Finding.INTRAPARENCHYMAL, first.findings == Finding.STAINING
    assert second.volume_ml(Finding.INTRAPARENCHYMAL) > 1.0
    assert (bleed & binary_dilation(stained, iterations=2)).sum() > 0.7 * min(bleed.sum(), stained.sum())


def test_what_is_to_be_expected_fades_with_the_hours_and_holds_blood_by_its_probability(hiding: Patient) -> None:
    early, late = (expected_follow_up(hiding, hours, spacing_mm=4.0, sizes=1) for hours in (6.0, 72.0))
    base = make_anatomy(hiding.seed, hiding.lesions, spacing_mm=4.0, edition=SECOND)
    stained = make_scene(base, hiding.lesions, SECOND).findings == Finding.STAINING
    assert 0.0 < late.p_blood.max() <= 1.0
    assert late.hu[stained].mean() < early.hu[stained].mean() - 3.0
    assert early.p_blood.shape == early.hu.shape == base.canvas.shape


def test_what_is_to_be_expected_exists_after_thrombectomy_alone() -> None:
    with pytest.raises(ValueError, match="thrombectomy"):
        expected_follow_up(draw_patient(1, Arm.ICH), 24.0)


def _scene_with_point(point_mm: tuple[float, float, float]) -> tuple[Scene, np.ndarray]:
    """A head whose only finding is a ball of 6 mm round a point (x, y, z), and the positions of all voxels."""
    base = make_anatomy(3, Lesions(), spacing_mm=3.0, edition=SECOND)
    scene = make_scene(base, Lesions(), SECOND)
    axes = [o + 3.0 * np.arange(n) for o, n in zip(scene.head.origin_mm, scene.findings.shape, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    place = np.stack([x, y, z])
    ball = ((place - np.array(point_mm)[:, None, None, None]) ** 2).sum(axis=0) < 36.0
    return dataclasses.replace(scene, findings=ball.astype(np.uint8)), place


def test_a_point_lies_where_the_motion_says() -> None:
    scene, place = _scene_with_point((40.0, -30.0, 20.0))
    motion = Motion((4.0, 0.0, -3.0), (0.0, 0.0, 30.0))
    # (x, y) -> (x cos 30 - y sin 30, x sin 30 + y cos 30) takes (40, -30) to (49.64, -5.98); then the shift
    assert motion.rotation @ [40.0, -30.0, 20.0] == pytest.approx([49.64, -5.98, 20.0], abs=0.01)
    found = place[:, moved(scene, motion).findings > 0].mean(axis=1)
    assert found == pytest.approx([53.64, -5.98, 17.0], abs=1.0)


def test_a_head_moves_one_to_five_millimetres_and_degrees() -> None:
    motions = [draw_motion(seed) for seed in range(300)]
    for values in ([m.shift_mm for m in motions], [m.turn_deg for m in motions]):
        lengths = np.linalg.norm(values, axis=1)
        assert lengths.min() == pytest.approx(1.0, abs=0.1)
        assert lengths.max() == pytest.approx(5.0, abs=0.1)
