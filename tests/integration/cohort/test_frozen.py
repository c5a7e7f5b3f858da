"""The second version is frozen: what models are judged on must not move. Whoever changes it makes a third version.

Facts are held by sums, words by a SHA-256, pictures by inner products with fixed random signs as in ``test_pins``; on
another processor a few voxels at the edge of a lesion may fall to its other side.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from dicomnode.cohort.ceilings import drawn
from dicomnode.cohort.edition import SECOND, Version
from dicomnode.cohort.patients import Arm, Patient, Site
from dicomnode.cohort.scene import make_anatomy, make_scene
from dicomnode.cohort.second.course import follow_up
from dicomnode.cohort.second.outcomes import draw_outcomes
from dicomnode.cohort.second.words.report import write_report
from tests.integration.cohort.test_pins import digest

ORACLE = {
    "ich": 962.1822,
    "post_evt": 515.0226,
    "stroke_no_evt": 478.7697,
    "trauma": 226.0776,
    "normal": 0.0,
}
LABELS = {"ich": 1011, "post_evt": 625, "stroke_no_evt": 456, "trauma": 270, "normal": 0}
WORDS = "e0099cd2e176086c57cb2dc6166cc2a915851067c4bd228c2087d4f4c45e515c"
HU = {
    "ich": [565532.96, -737778.75, 382530.7],
    "post_evt": [569008.95, -739232.28, 383732.67],
    "trauma": [574505.91, -740764.12, 393873.83],
}
FINDINGS = {"ich": [9.0, -71.0, -1.0], "post_evt": [-77.0, -17.0, -435.0], "trauma": [-560.0, -768.0, -970.0]}
ARMS = (Arm.ICH, Arm.POST_EVT, Arm.STROKE_NO_EVT, Arm.TRAUMA, Arm.NORMAL)


def _patients(arm: Arm, site: Site = Site.A) -> list[Patient]:
    return drawn(Version.TWO, arm, site, 40, 77)


@pytest.mark.parametrize("arm", ARMS)
def test_outcomes_and_their_probabilities_are_those_that_models_are_judged_by(arm: Arm) -> None:
    outcomes = [draw_outcomes(patient) for patient in _patients(arm)]
    oracle = [sum((k + 1) * p for p in each.oracle.values()) for k, each in enumerate(outcomes)]
    assert sum(oracle) == pytest.approx(ORACLE[arm.value], abs=1e-3)
    assert sum((k + 1) * sum(each.labels.values()) for k, each in enumerate(outcomes)) == LABELS[arm.value]


def test_requests_and_reports_read_as_ever() -> None:
    texts = [write_report(patient).text for arm in ARMS for site in Site for patient in _patients(arm, site)[:10]]
    assert hashlib.sha256("\n".join(texts).encode()).hexdigest() == WORDS


@pytest.mark.parametrize("arm", [Arm.ICH, Arm.POST_EVT, Arm.TRAUMA])
def test_heads_and_lesions_are_painted_as_ever(arm: Arm) -> None:
    patient = _patients(arm)[0]
    later = follow_up(patient, draw_outcomes(patient))
    base = make_anatomy(patient.seed, patient.lesions, spacing_mm=3.0, edition=SECOND)
    scenes = [make_scene(base, lesions, SECOND) for lesions in (later.first, later.lesions)]
    assert digest(np.stack([scene.head.hu for scene in scenes])) == pytest.approx(HU[arm.value], abs=300.0)
    assert digest(np.stack([scene.findings for scene in scenes])) == pytest.approx(FINDINGS[arm.value], abs=40.0)
