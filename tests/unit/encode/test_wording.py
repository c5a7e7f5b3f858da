"""The sentences of results: every language says everything, and none says less than another."""

from __future__ import annotations

import string
from dataclasses import replace

import pytest

from dicomnode.decision import Decision
from dicomnode.encode.wording import Wording
from dicomnode.encode.words import english, german
from dicomnode.errors import Refusal
from dicomnode.language import Language, model_name
from dicomnode.records import HeadMeasures, Inapplicable, MaskFinding
from tests.unit.encode.cases import EVEN, case_of

BLEED = (((25.0, 60.0, 40.0), (12.0, 14.0, 10.0)),)


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def finding(decision: Decision) -> MaskFinding:
    if decision is Decision.NEGATIVE:
        return replace(case_of(EVEN).masks[0], exam_probability=0.1, exam_threshold=0.56)
    probability = 0.9 if decision is Decision.POSITIVE else 0.1
    return replace(case_of(EVEN, BLEED).masks[0], exam_probability=probability, exam_threshold=0.56)


def test_german_says_what_english_says_with_the_same_figures() -> None:
    assert german.SENTENCES.keys() == english.SENTENCES.keys()
    free = {"excluded", "noun", "limits"}  # languages inflect differently
    differing = [
        key for key, text in english.SENTENCES.items() if places(text) - free != places(german.SENTENCES[key]) - free
    ]
    assert differing == []
    assert german.NOUNS.keys() == english.NOUNS.keys()


def test_every_coded_reason_has_a_german_sentence() -> None:
    assert set(german.REFUSALS) == set(Refusal)
    assert set(german.INAPPLICABLE) == set(Inapplicable)


def test_americans_read_no_british_spelling() -> None:
    words = Wording(Language.AMERICAN)
    said = [words.impression(finding(decision)) for decision in Decision]
    said += [words._spelled(text) for text in english.SENTENCES.values()]
    assert not [text for text in said if "haem" in text.lower() or "oedema" in text.lower()]
    assert "No hemorrhage above the detection limit" in said[2]


@pytest.mark.parametrize(
    ("decision", "headline"),
    [
        (Decision.POSITIVE, "Intracranial haemorrhage: 7,04 mL"),
        (Decision.UNCERTAIN, "Unsicher: 7,04 mL markiert, mögliche Blutung"),
        (Decision.NEGATIVE, "Keine Blutung oberhalb der Nachweisgrenze"),
    ],
)
def test_the_german_headline(decision: Decision, headline: str) -> None:
    told = finding(decision)
    if told.total is not None:
        told = replace(told, total=replace(told.total, volume_ml=7.04))
    assert Wording(Language.GERMAN).headline(told) == headline


def test_a_label_is_that_of_the_bundle_in_the_language_of_the_results() -> None:
    case = case_of(EVEN, BLEED)
    told = replace(case.masks[0], translations=(("de", "Intrakranielle Blutung"),))
    case = replace(case, findings=(told,))
    labels = [Wording(language).localised(case).findings[0].label for language in Language]
    assert labels == ["Intracranial haemorrhage", "Intracranial hemorrhage", "Intrakranielle Blutung"]


def test_dense_marks_are_said_and_not_counted() -> None:
    told = replace(finding(Decision.NEGATIVE), dense_pieces=2, dense_ml=0.42)
    assert (
        Wording()
        .impression(told)
        .endswith("Dense, not counted as haemorrhage: 2 pieces, 0.42 mL (bone, calcium or contrast).")
    )


def test_below_a_negative_headline_what_is_dense_is_told_rather_than_that_nothing_is_marked() -> None:
    negative, words = finding(Decision.NEGATIVE), Wording()
    assert words.subline(negative) == "Nothing is marked. This does not exclude haemorrhage."
    dense = replace(negative, dense_pieces=2, dense_ml=0.42)
    assert words.subline(dense) == "Dense, not counted: 2 pieces, 0.42 mL. This does not exclude haemorrhage."


def test_after_a_thrombectomy_no_negative_answer_is_without_the_warning_that_contrast_medium_hides_blood() -> None:
    words, warning = Wording(), "Contrast medium after thrombectomy may hide it."
    negative = replace(finding(Decision.NEGATIVE), may_be_contrast=True)
    assert words.headline(negative) == "No haemorrhage marked; contrast medium may hide it"
    assert words.subline(negative).endswith(warning)
    assert warning in words.impression(negative)
    for other in (finding(Decision.NEGATIVE), replace(finding(Decision.POSITIVE), may_be_contrast=True)):
        assert warning not in words.subline(other) + words.impression(other)


def test_an_uncertain_exam_says_which_of_the_two_it_was() -> None:
    words = Wording()
    marks = words.impression(finding(Decision.UNCERTAIN))
    assert marks.startswith("Uncertain: ")
    assert "the exam as a whole lies below its threshold" in marks
    unmarked = replace(finding(Decision.NEGATIVE), exam_probability=0.9)
    assert unmarked.decision is Decision.UNCERTAIN
    assert "no mark reaches the detection limit" in words.impression(unmarked)
    assert words.headline(unmarked) == "Uncertain: possible haemorrhage, nothing marked"


def test_of_a_speck_only_the_size_is_told() -> None:
    region = finding(Decision.POSITIVE).lesions[0]
    words = Wording()
    assert "ABC/2" in words.measurements(region, "image 5")
    assert "maximum" in words.measurements(region, "image 5")
    speck = words.measurements(replace(region, volume_ml=0.6), "image 5")
    assert "ABC/2" not in speck
    assert "maximum" not in speck
    assert speck.startswith("0.60 mL; longest diameter ")


def test_the_hypodense_share_is_told_with_what_it_may_be() -> None:
    marked = replace(finding(Decision.POSITIVE), head=HeadMeasures(likeness=0.9, hypodense_percent=5.6))
    said = {language: Wording(language).head_lines(marked)["hypodense_share"] for language in Language}
    assert said[Language.BRITISH].endswith(": about 6 % (oedema, infarct or white matter as in old age).")
    assert said[Language.AMERICAN].endswith(": about 6 % (edema, infarct or white matter as in old age).")
    assert said[Language.GERMAN].endswith(": etwa 6 % (Ödem, Infarkt oder weiße Substanz wie im Alter).")
    none = replace(marked, head=HeadMeasures(likeness=0.9, hypodense_percent=0.3))
    assert Wording().head_lines(none)["hypodense_share"].endswith(": less than 1 %.")


def test_where_no_hypodense_share_was_measured_none_is_told() -> None:
    marked = replace(finding(Decision.POSITIVE), head=HeadMeasures(likeness=0.9))
    assert "hypodense_share" not in Wording().head_lines(marked)


def test_a_lesion_is_compared_with_the_same_place_across_the_midline() -> None:
    region = replace(finding(Decision.POSITIVE).lesions[0], mirror_hu=31.2)
    assert "31 HU across the midline" in Wording().measurements(region, "image 5")
    assert "31 HE jenseits der Mittellinie" in Wording(Language.GERMAN).measurements(region, "Bild 5")
    assert "across" not in Wording().measurements(replace(region, mirror_hu=None), "image 5")


def test_both_spellings_of_a_model_are_one() -> None:
    assert [model_name(name) for name in ("haemorrhage", "oedema", "haemorrhage-paper")] == [
        "hemorrhage",
        "edema",
        "hemorrhage-paper",
    ]
