"""What a mask of blood is called after a thrombectomy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dicomnode.clinical.naming import named_for
from dicomnode.records import ContextSource, ContextValue, MaskFinding, PatientContext
from tests.unit.encode.cases import EVEN, case_of, ellipsoid, finding_of, score_of

BLEEDS = (((15.0, 60.0, 40.0), (9.0, 14.0, 10.0)),)


def told(*, thrombectomy: bool) -> PatientContext:
    return PatientContext(values=(ContextValue(name="thrombectomy", value=thrombectomy, source=ContextSource.HL7),))


@pytest.fixture(scope="module")
def bleed() -> MaskFinding:
    found = case_of(EVEN, BLEEDS).masks[0]
    return replace(found, label="Intracranial haemorrhage", translations=(("de", "Intrakranielle Blutung"),))


def test_after_a_thrombectomy_what_is_dense_may_be_contrast_medium(bleed: MaskFinding) -> None:
    (named,) = named_for([bleed], told(thrombectomy=True))
    assert isinstance(named, MaskFinding)
    assert named.label == "Intracranial haemorrhage or contrast medium"
    assert named.translations == (("de", "Intrakranielle Blutung oder Kontrastmittel"),)
    assert (named.mask is bleed.mask, named.name) == (True, bleed.name)
    assert (bleed.may_be_contrast, named.may_be_contrast) == (False, True)


def test_without_one_or_where_nobody_told_of_any_names_stay(bleed: MaskFinding) -> None:
    for context in (told(thrombectomy=False), PatientContext()):
        assert named_for([bleed], context) == (bleed,)


def test_oedema_and_scores_keep_their_names() -> None:
    case = case_of(EVEN, BLEEDS)
    oedema = finding_of(ellipsoid(case.volume.stack, BLEEDS[0][0], (12.0, 18.0, 14.0)), case.volume, name="edema")
    score = score_of()
    assert named_for([oedema, score], told(thrombectomy=True)) == (oedema, score)
