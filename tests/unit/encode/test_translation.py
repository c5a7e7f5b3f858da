"""What clinical scores tell in English can be said in the other languages: no sentence is left behind."""

from __future__ import annotations

import ast
import pickle
from itertools import product
from string import Formatter

import pytest

from dicomnode.clinical.scores import asked, rules, totals, verdicts
from dicomnode.clinical.scores.points import bat, func, ich_gs, ich_score, max_ich, span_100, thrive
from dicomnode.clinical.variables import VARIABLES, Location
from dicomnode.encode.wording import Wording
from dicomnode.encode.words.german_scores import SCORES, SOURCES
from dicomnode.language import Language, Told, listed, told
from dicomnode.records import MEASURED, ContextSource, ReferenceScore, ScoreInput

GERMAN, AMERICAN = Wording(Language.GERMAN), Wording(Language.AMERICAN)


def places(sentence: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(sentence) if name is not None}


def sentences_in(module: object) -> set[str]:
    """The sentences that a module tells, and its texts for people that are whole."""
    with open(str(module.__file__), encoding="utf-8") as file:  # type: ignore[attr-defined]
        tree = ast.parse(file.read())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    first = [node.args[0] for node in calls if isinstance(node.func, ast.Name) and node.func.id == "told"]
    return {node.value for node in first if isinstance(node, ast.Constant)}


@pytest.mark.parametrize("module", [totals, verdicts, asked], ids=lambda module: module.__name__)
def test_every_sentence_of_the_scores_is_in_the_table(module: object) -> None:
    found = sentences_in(module)
    assert len(found) > 1
    assert sorted(found - SCORES.keys()) == []


def test_a_translation_has_the_places_of_its_sentence() -> None:
    assert {text: german for text, german in SCORES.items() if places(text) != places(german)} == {}


def test_labels_words_components_and_sources_are_in_the_table() -> None:
    labels = {variable.label for variable in VARIABLES.values()}
    labels |= {score.label for score in (*totals.OF_BLEEDS, *totals.OF_ISCHAEMIA)}
    labels |= {totals.PRIMARY, totals.NOT_ALONE, totals.ISCHAEMIC, *rules.Deterioration}
    words = {word.replace("_", " ") for variable in VARIABLES.values() for word in variable.words}
    lobar = Location.LOBAR
    points = [
        ich_score(10, 35.0, True, lobar, 82),
        func(10, 35.0, lobar, 82, False),
        max_ich(18, 82, True, False, lobar, 35.0),
        ich_gs(10, 82, lobar, 35.0, True),
        bat(True, True, 3.0),
        span_100(82, 18),
        thrive(18, 82, True, False, True),
    ]
    components = {component for one in points for component in one}
    assert sorted((labels | words | components | {"yes", "no"}) - SCORES.keys()) == []
    assert {MEASURED, *ContextSource} <= SOURCES.keys()


def test_no_meaning_of_any_total_keeps_an_english_word() -> None:
    english = {"the", "of", "and", "worse", "risk", "inputs", "patients", "only", "mortality", "survivors", "more"}
    for score in (*totals.OF_BLEEDS, *totals.OF_ISCHAEMIA):
        low, high = score.full or (50, 150)
        for first, last in product((low, high), repeat=2):
            if first <= last:
                german = GERMAN.text(score.meaning(first, last))
                assert english.isdisjoint(german.replace(".", " ").replace(",", " ").split()), german


def test_figures_within_sentences_are_written_as_the_language_does() -> None:
    text = told("By voxels {volume} ({share:+.0f} %); Kothari 1996.", volume=told("{ml}", ml=3.5), share=4.0)
    assert text == "By voxels 3.5 (+4 %); Kothari 1996."
    assert GERMAN.text(text) == "Nach Voxeln 3,5 (+4 %); Kothari 1996."
    assert AMERICAN.text("Expansion of the haematoma") == "Expansion of the hematoma"
    assert GERMAN.text("said by nobody 1.5") == "said by nobody 1.5"
    kept = pickle.loads(pickle.dumps(listed([text, "yes"])))
    assert isinstance(kept, Told)
    assert GERMAN.text(kept) == "Nach Voxeln 3,5 (+4 %); Kothari 1996., ja"


def test_a_score_is_told_in_german_with_its_inputs_and_what_is_missing() -> None:
    score = ReferenceScore(
        name="ich_score",
        label="ICH Score",
        value=None,
        unit="{score}",
        meaning=totals.OF_BLEEDS[0].meaning(3, 4),
        possible=(3.0, 4.0),
        working=listed([told("{part} {low} to {high}", part="ventricles", low=0, high=1)]),
        inputs=(ScoreInput("Blood in the ventricles", "yes", "FHIR", "2026-11-28T02:10+01:00", -5400.0),),
        missing=("Age",),
    )
    own = GERMAN._localised_score(score)
    assert GERMAN.reference_sentence(own) == (
        "ICH-Score: 3 bis 4, da Angaben fehlen. 30-Tage-Letalität 72 bis 97 % (Hemphill 2001, 152 Patienten). Nur für "
        "primäre intrazerebrale Blutungen. Kein alleiniger Grund, die Behandlung zu begrenzen."
    )
    assert (own.working, own.missing) == ("Ventrikel 0 bis 1", ("Alter",))
    said = "Blut in den Ventrikeln ja (FHIR, 2026-11-28T02:10+01:00, 1,5 h vor dem Scan)"
    assert GERMAN.input_phrase(own.inputs[0]) == said
    assert own.inputs[0].source == "FHIR"
