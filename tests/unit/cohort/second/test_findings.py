"""Findings of the second edition: they name what the scan shows, apart from the request."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dicomnode.clinical.sections import divided
from dicomnode.cohort.lesions import Lesions, Subdural, Surface
from dicomnode.cohort.patients import Arm, Patient, Site
from dicomnode.cohort.second.words.findings import write_findings
from dicomnode.cohort.second.words.report import write_report
from tests.unit.cohort.second.mentioning import draw_mentioning

KIND_WORDS = {
    Subdural.ACUTE: ("acute", "hyperdense", "fresh"),
    Subdural.LAYERED: ("level", "layered", "sedimentation"),
    Subdural.MIXED: ("mixed", "heterogeneous"),
    Subdural.ACUTE_ON_CHRONIC: ("acute-on-chronic", "fresh blood", "acute components"),
    Subdural.ISODENSE: ("isodense", "brain density"),
    Subdural.CHRONIC: ("chronic", "hypodense"),
}
PLACE_WORDS = {
    Surface.CONVEXITY: ("convexity", "hemisphere", "sulci", "sulcal"),
    Surface.FALX: ("falx", "falcine", "interhemispheric"),
    Surface.TENTORIUM: ("tentori",),
    Surface.BASAL: ("basal cistern", "cisternal", "suprasellar", "skull base", "middle fossa"),
}


def shown(lesions: Lesions, count: int = 20, arm: Arm = Arm.TRAUMA) -> list[str]:
    """Findings in small letters of as many patients with these lesions."""
    patients = draw_mentioning(2, count, arm)
    return [write_findings(replace(patient, lesions=lesions)).lower() for patient in patients]


def test_blood_is_named_where_there_is_blood_and_denied_where_there_is_none() -> None:
    for patient in draw_mentioning(4, 400):
        text, lesions = write_findings(patient).lower(), patient.lesions
        denied = text.startswith(
            ("no intracranial", "no haem", "no acute", "nothing", "no intra-", "no hyper", "negative")
        )
        assert denied == (lesions.blood_ml + lesions.sdh_old_ml == 0), text
        assert ("ventric" in text.replace("sulci and ventricles", "") or "horns" in text) == (lesions.ivh_ml > 0)
        assert ("subdural" in text or "sdh" in text) == (lesions.sdh_ml + lesions.sdh_old_ml > 0)
        assert ("epidural" in text or "extradural" in text) == (lesions.edh_ml > 0)
        assert ("subarachnoid" in text or "sah" in text) == (lesions.sah_ml > 0)
        if lesions.iph_ml and lesions.site_of_bleed != "brainstem":
            assert f"{'left' if lesions.side > 0 else 'right'} {lesions.site_of_bleed}" in text


@pytest.mark.parametrize("kind", Subdural)
@pytest.mark.parametrize("surface", Surface)
def test_a_subdural_is_told_with_kind_place_and_side(kind: Subdural, surface: Surface) -> None:
    lesions = Lesions(side=-1, sdh_old_ml=20.0, sdh_thickness_mm=9.0, subdural=kind, surface=surface)
    for text in shown(lesions):
        assert any(word in text for word in KIND_WORDS[kind]), text
        assert any(word in text for word in PLACE_WORDS[surface]), text
        assert "right" in text


@pytest.mark.parametrize("place", Surface)
def test_subarachnoid_blood_is_told_with_its_place(place: Surface) -> None:
    for text in shown(Lesions(sah_ml=4.0, subarachnoid=place)):
        assert any(word in text for word in PLACE_WORDS[place]), text


def test_specks_are_no_clot_and_staining_does_not_tell_what_it_hides() -> None:
    specks = Lesions(iph_ml=2.0, petechial=True, site_of_bleed="frontal lobe")
    assert all(any(word in text for word in ("petechia", "specks", "punctate")) for text in shown(specks))
    stained = Lesions(stain_ml=5.0, stain_hu=80.0, place_mm=(25.0, 0.0, 5.0))
    assert shown(stained, arm=Arm.POST_EVT) == shown(replace(stained, hidden_ml=3.0), arm=Arm.POST_EVT)


def test_contusions_are_told_from_clots() -> None:
    clot = Lesions(iph_ml=9.0, site_of_bleed="temporal lobe")
    for text, bruised in zip(shown(clot), shown(replace(clot, contused=True)), strict=True):
        assert "contusion" not in text
        assert "contusion" in bruised or "traumatic" in bruised


def test_wordings_vary_and_are_spelled_as_the_site_does() -> None:
    clot = Lesions(iph_ml=20.0, site_of_bleed="thalamus")
    assert len(set(shown(clot, 60))) > 30
    (american,) = draw_mentioning(1, 1, Arm.ICH, Site.B)
    texts = [write_findings(replace(american, seed=seed, lesions=clot)) for seed in range(40)]
    assert "haem" not in " ".join(texts)
    assert "hematoma" in " ".join(texts)


def reports() -> list[Patient]:
    return [patient for site in Site for patient in draw_mentioning(7, 100, Arm.MIXED, site)]


def test_both_sections_stand_in_the_report_and_are_parted_as_the_node_parts_reports() -> None:
    for patient in reports():
        report = write_report(patient)
        sections = {name: part.strip() for name, part in divided(report.text)}
        assert sections == {"report": "", "indication": report.indication, "findings": report.findings}
        assert report.findings not in report.indication
        assert "findings:" not in report.indication.lower()


def test_mentions_change_no_word_of_the_findings() -> None:
    for patient in reports()[:40]:
        assert write_findings(replace(patient, mentions={}, variables={})) == write_findings(patient)
