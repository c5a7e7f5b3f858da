"""Lesions by type, mass effect, the follow-up of the same head, and the scanners of the sites."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from dicomnode.cohort.acquire import Acquisition
from dicomnode.cohort.canvas import Tissue
from dicomnode.cohort.course import follow_up
from dicomnode.cohort.lesions import Lesions
from dicomnode.cohort.outcomes import draw_outcomes
from dicomnode.cohort.patients import Arm, Patient, Site
from dicomnode.cohort.scanner import SCANNERS, Artefacts, Scan, draw_protocol, scan_scene
from dicomnode.cohort.scene import BLOOD, Anatomy, Finding, Scene, make_anatomy, make_scene
from dicomnode.measure.anatomy.atlas import INFRATENTORIAL, Label
from tests.unit.cohort.draws import DEEP, LOBAR, draw_patients

GRID_MM = 2.0
UPRIGHT = (0.0, 0.0, 0.0)
DEEP_BLEED = Lesions(
    side=1,
    site_of_bleed="basal ganglia",
    place_mm=(26.0, -4.0, 6.0),
    iph_ml=45.0,
    ivh_ml=6.0,
    sah_ml=4.0,
    oedema_ml=18.0,
    heterogeneity=0.8,
)
SURFACE = Lesions(side=-1, sdh_ml=50.0, edh_ml=15.0, place_mm=(-28.0, -42.0, 26.0))
STAINED = Lesions(
    side=-1, place_mm=(-26.0, -4.0, 6.0), infarct_ml=60.0, infarct_depth_hu=6.0, stain_ml=6.0, stain_hu=110.0
)
SCAN = Acquisition(
    positions_mm=tuple(np.arange(-60.0, 86.0, 5.0)), thickness_mm=5.0, matrix=192, pixel_mm=1.2, noise_hu=2.0
)


@pytest.fixture(scope="module")
def base() -> Anatomy:
    return make_anatomy(41, Lesions(), spacing_mm=GRID_MM, rotation_deg=UPRIGHT)


@pytest.fixture(scope="module")
def clean(base: Anatomy) -> Scene:
    return make_scene(base, Lesions())


@pytest.fixture(scope="module")
def deep(base: Anatomy) -> Scene:
    return make_scene(base, DEEP_BLEED)


@pytest.fixture(scope="module")
def stained(base: Anatomy) -> Scene:
    return make_scene(base, STAINED)


@pytest.fixture(scope="module")
def scanned(deep: Scene) -> Scan:
    return scan_scene(deep, SCAN, Artefacts(), 1)


def test_every_type_is_painted_to_its_volume(base: Anatomy, deep: Scene, stained: Scene) -> None:
    surface = make_scene(base, SURFACE)
    wanted = {
        Finding.INTRAPARENCHYMAL: (deep, 45.0),
        Finding.INTRAVENTRICULAR: (deep, 6.0),
        Finding.SUBARACHNOID: (deep, 4.0),
        Finding.OEDEMA: (deep, 18.0),
        Finding.SUBDURAL: (surface, 50.0),
        Finding.EPIDURAL: (surface, 15.0),
        Finding.STAINING: (stained, 6.0),
    }
    for finding, (scene, volume_ml) in wanted.items():
        assert scene.volume_ml(finding) == pytest.approx(volume_ml, rel=0.01), finding
    assert stained.volume_ml(Finding.INFARCT) == pytest.approx(60.0 - 6.0, abs=6.5)
    assert surface.head.cavity[surface.head.mask].all()


def test_the_head_knows_where_the_bleed_lies(deep: Scene, base: Anatomy) -> None:
    inside = deep.head.regions[deep.findings == Finding.INTRAPARENCHYMAL]
    assert np.isin(inside, list(DEEP)).mean() > 0.3
    assert (inside == Label.BASAL_GANGLIA_LEFT).sum() > 10 * (inside == Label.BASAL_GANGLIA_RIGHT).sum()
    small = dataclasses.replace(DEEP_BLEED, iph_ml=4.0, ivh_ml=0.0, sah_ml=0.0, oedema_ml=0.0)
    for place, regions in {(24.0, 58.0, 10.0): LOBAR, (22.0, 50.0, -42.0): INFRATENTORIAL}.items():
        scene = make_scene(base, dataclasses.replace(small, place_mm=place))
        assert np.isin(scene.head.regions[scene.head.mask], list(regions)).mean() > 0.9


def test_attenuation_is_that_of_the_lesion(clean: Scene, deep: Scene, stained: Scene) -> None:
    clot = deep.head.hu[deep.findings == Finding.INTRAPARENCHYMAL]
    assert 45 < clot.mean() < 66
    assert np.percentile(clot, 5) < 45, "a heterogeneous clot has dark pockets"
    assert np.percentile(stained.head.hu[stained.findings == Finding.STAINING], 90) > 90
    for scene, finding in ((deep, Finding.OEDEMA), (stained, Finding.INFARCT)):
        here = scene.findings == finding
        healthy = clean.head.hu[clean.head.labels == Tissue.WHITE_MATTER].mean()
        assert scene.head.hu[here].mean() < healthy - 2


def test_a_haematoma_moves_midline_and_ventricles_away_and_destroys_no_skull(clean: Scene, deep: Scene) -> None:
    assert clean.midline_shift_mm == 0.0
    assert -15 < deep.midline_shift_mm < -2, "a bleed on the left pushes to the right"
    left_horn = [_left_ventricle_ml(scene) for scene in (clean, deep)]
    assert left_horn[1] < 0.92 * left_horn[0]
    bone = clean.head.labels == Tissue.SKULL
    assert (deep.head.labels[bone] == Tissue.SKULL).all()


def _left_ventricle_ml(scene: Scene) -> float:
    x = np.nonzero(scene.head.labels == Tissue.VENTRICLE)[2] * GRID_MM + scene.head.origin_mm[2]
    return float(np.count_nonzero(x > 0)) * GRID_MM**3 / 1000


def test_more_blood_moves_more(base: Anatomy) -> None:
    shifts = [
        -make_scene(base, dataclasses.replace(DEEP_BLEED, iph_ml=volume, ivh_ml=0, oedema_ml=0)).midline_shift_mm
        for volume in (5.0, 25.0, 70.0)
    ]
    assert shifts[0] < shifts[1] < shifts[2]
    assert make_scene(base, SURFACE).midline_shift_mm > 1.0


def test_the_follow_up_is_the_same_head_with_the_bleed_grown_in_place(base: Anatomy, deep: Scene) -> None:
    grown = make_scene(base, dataclasses.replace(DEEP_BLEED, iph_ml=70.0))
    before, after = (scene.findings == Finding.INTRAPARENCHYMAL for scene in (deep, grown))
    assert (before & after).sum() > 0.85 * before.sum()
    assert np.array_equal(grown.head.cavity, deep.head.cavity)
    bone = deep.head.labels == Tissue.SKULL
    assert np.array_equal(deep.head.hu[bone], grown.head.hu[bone])


@pytest.fixture(scope="module")
def treated() -> dict[Arm, list[Patient]]:
    return {arm: draw_patients(12, 400, arm) for arm in (Arm.ICH, Arm.POST_EVT, Arm.STROKE_NO_EVT)}


def test_the_course_agrees_with_the_outcomes(treated: dict[Arm, list[Patient]]) -> None:
    for patient in treated[Arm.ICH]:
        outcomes = draw_outcomes(patient)
        first, second = patient.lesions.iph_ml, follow_up(patient, outcomes).lesions.iph_ml
        assert (second > 1.33 * first or second > first + 6.0) == bool(outcomes.labels["expansion"])
    for patient in treated[Arm.POST_EVT]:
        outcomes = draw_outcomes(patient)
        later = follow_up(patient, outcomes).lesions
        assert (later.blood_ml > 0) == bool(outcomes.labels["haemorrhage_followup"])
        assert later.stain_ml == 0
        if outcomes.heidelberg in ("1c", "2") and later.infarct_ml > 10:
            assert (later.iph_ml >= 0.3 * later.infarct_ml) == (outcomes.heidelberg == "2")
    for patient in treated[Arm.STROKE_NO_EVT]:
        outcomes = draw_outcomes(patient)
        grows = follow_up(patient, outcomes).lesions.infarct_ml > 1.3 * patient.lesions.infarct_ml
        assert grows == bool(outcomes.labels["deterioration"]) or patient.lesions.infarct_ml > 100


def test_masks_on_the_slices_have_the_painted_volumes(deep: Scene, scanned: Scan) -> None:
    assert scanned.volume_ml(Finding.INTRAPARENCHYMAL) == pytest.approx(45.0, rel=0.06)
    assert scanned.volume_ml(Finding.OEDEMA) == pytest.approx(18.0, rel=0.25)
    blood = sum(scanned.volume_ml(finding) for finding in BLOOD)
    assert scanned.series.volume_ml == pytest.approx(blood)
    assert np.array_equal(scanned.series.mask, np.isin(scanned.findings, BLOOD))


def test_the_same_scan_twice_is_the_same_and_noise_is_its_own(deep: Scene, scanned: Scan) -> None:
    again = scan_scene(deep, SCAN, Artefacts(), 1)
    other = scan_scene(deep, SCAN, Artefacts(), 2)
    assert np.array_equal(again.series.hu, scanned.series.hu)
    assert not np.array_equal(other.series.hu, scanned.series.hu)
    assert np.array_equal(other.findings, scanned.findings)


@pytest.mark.parametrize(
    "artefacts",
    [
        Artefacts(motion_mm=3.0, moved=0.5),
        Artefacts(metal_mm=(20.0, -60.0, -30.0, 4.0)),
        Artefacts(streaks_hu=6.0),
        Artefacts(couch=True),
    ],
    ids=["motion", "metal", "streaks", "couch"],
)
def test_an_artefact_changes_the_picture_where_it_should(artefacts: Artefacts, clean: Scene) -> None:
    scan = dataclasses.replace(SCAN, positions_mm=(-31.0, 0.0, 10.0, 20.0), matrix=160, pixel_mm=2.0)
    change = scan_scene(clean, scan, artefacts, 1).series.hu - scan_scene(clean, scan, Artefacts(), 1).series.hu
    if artefacts.couch:
        assert change[1, 130:].max() > 300
        assert np.abs(change[1, :120]).max() < 1
    elif artefacts.metal_mm:
        assert change[0].max() > 1500
        assert np.abs(change[2]).max() < 1e-3
    elif artefacts.moved:
        moved = np.abs(change).max(axis=(1, 2)) > 50
        assert moved.any()
    else:
        assert 1 < np.abs(change[0]).max() < 40


def test_sites_differ_in_scanner_and_protocol() -> None:
    scans = {site: [draw_protocol(site, seed, "baseline")[0] for seed in range(80)] for site in Site}
    spacing = {site: np.median([np.diff(s.positions_mm).max() for s in drawn]) for site, drawn in scans.items()}
    assert spacing[Site.C] > spacing[Site.A]
    tilted = {site: np.mean([s.tilt_deg != 0 for s in drawn]) for site, drawn in scans.items()}
    assert tilted[Site.A] < tilted[Site.B] < tilted[Site.C]
    assert {s.kernel for s in scans[Site.B]} == {"STANDARD", "SOFT", "BONE"}
    everything = [s for drawn in scans.values() for s in drawn]
    assert all(-15 <= s.hu_offset <= 15 for s in everything)
    assert all(200 <= s.pixel_mm * s.matrix <= 501 for s in everything)
    assert max(s.pixel_mm * s.matrix for s in everything) > 350
    assert min(s.thickness_mm for s in everything) < 0.7
    assert max(s.thickness_mm for s in everything) > 6
    assert all(min(s.positions_mm) < -55 and max(s.positions_mm) > 78 for s in everything), "whole heads"
    assert any(len(set(np.round(np.diff(s.positions_mm), 2))) > 1 for s in scans[Site.C]), "uneven stacks"
    assert len({scanner.manufacturer for scanner in SCANNERS.values()}) == 3
