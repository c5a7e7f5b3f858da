"""Requests of the second edition: they say exactly what is mentioned, in many words, and nothing of the outcome."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from dicomnode.cohort.lesions import Lesions
from dicomnode.cohort.outcomes import draw_outcomes
from dicomnode.cohort.patients import SYMPTOMS, Arm, Patient, Site
from dicomnode.cohort.second.mentions import Mention
from dicomnode.cohort.second.words.filling import in_words
from dicomnode.cohort.second.words.indication import compose, write_indication
from dicomnode.cohort.second.words.lexicon import SymptomWords, lexicon
from dicomnode.cohort.second.words.typist import mistyped
from dicomnode.cohort.second.words.vocabulary import guarded, readings
from tests.unit.cohort.second.mentioning import draw_mentioning
from tests.unit.cohort.second.reading import Speller, read

ARMS = [arm for arm in Arm if arm is not Arm.MIXED]
NAMES = sorted({name for symptoms in SYMPTOMS.values() for name in symptoms})
WORD = re.compile(r"[a-z]{2,}")
STATES = (Mention.PRESENT, Mention.UNCERTAIN, Mention.DENIED)


def words_of(texts: Iterable[str]) -> set[str]:
    return {word for text in texts for word in WORD.findall(text.lower())}


@pytest.fixture(scope="module")
def many() -> list[Patient]:
    """2,000 patients of all arms and sites."""
    return [p for k, site in enumerate(Site) for p in draw_mentioning(50 + k, 800 if k == 0 else 600, Arm.MIXED, site)]


@pytest.fixture(scope="module")
def texts(many: list[Patient]) -> list[str]:
    return [write_indication(patient) for patient in many]


@pytest.fixture(scope="module")
def at_a() -> dict[Arm, list[str]]:
    """Before typing, so without errors."""
    return {arm: [compose(patient) for patient in draw_mentioning(60, 1000, arm)] for arm in ARMS}


@pytest.fixture(scope="module")
def at_b() -> dict[Arm, list[str]]:
    return {arm: [compose(patient) for patient in draw_mentioning(61, 500, arm, Site.B)] for arm in ARMS}


def test_a_reader_recovers_every_mention_and_finds_none_that_is_absent(many: list[Patient], texts: list[str]) -> None:
    speller, wrong = Speller(texts), []
    for patient, text in zip(many, texts, strict=True):
        found = read(text, speller)
        stated = {name: {state} for name, state in patient.mentions.items() if state is not Mention.ABSENT}
        wrong += [(name, text) for name in found.keys() | stated.keys() if found.get(name) != stated.get(name)]
    asked = sum(len(patient.mentions) for patient in many)
    assert asked > 10_000
    assert len(wrong) <= 0.002 * asked, wrong


def test_a_request_without_typing_errors_is_recovered_exactly(many: list[Patient]) -> None:
    clean = [compose(patient) for patient in many[::4]]
    speller = Speller(clean)
    for patient, text in zip(many[::4], clean, strict=True):
        stated = {name: {state} for name, state in patient.mentions.items() if state is not Mention.ABSENT}
        assert read(text, speller) == stated, text


@pytest.mark.parametrize("site", [Site.A, Site.B])
@pytest.mark.parametrize("name", NAMES)
def test_every_symptom_has_many_wordings_in_every_state(name: str, site: Site) -> None:
    words = lexicon(site).symptoms[name]
    counts = {state: len(set(words.alone[state])) for state in STATES}
    assert len({*words.things, *words.alone[Mention.PRESENT]}) >= 12
    assert counts[Mention.UNCERTAIN] >= 6
    assert counts[Mention.DENIED] >= 8


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_of_site_a_uses_more_than_700_words(arm: Arm, at_a: dict[Arm, list[str]]) -> None:
    assert len(words_of(at_a[arm])) >= 700


@pytest.mark.parametrize("arm", ARMS)
def test_a_third_of_the_words_of_b_never_occur_at_a(
    arm: Arm, at_a: dict[Arm, list[str]], at_b: dict[Arm, list[str]]
) -> None:
    everywhere_at_a = {word for some in at_a.values() for word in words_of(some)}
    own = words_of(at_b[arm])
    assert len(own - everywhere_at_a) / len(own) >= 0.35


def plain(text: str) -> str:
    return f" {' '.join(re.findall(r'[a-z0-9+/&]+', text.lower()))} "


def all_wordings(words: SymptomWords) -> set[str]:
    return {*words.things, *(wording for state in STATES for wording in words.alone[state])}


def test_half_of_the_wordings_of_each_symptom_at_b_never_occur_at_a(at_a: dict[Arm, list[str]]) -> None:
    said_at_a = "|".join(plain(text) for some in at_a.values() for text in some)
    for name, words in lexicon(Site.B).symptoms.items():
        own = [plain(wording) for wording in all_wordings(words) if "{" not in wording]
        assert sum(wording not in said_at_a for wording in own) >= len(own) / 2, name
        assert len(all_wordings(words) - all_wordings(lexicon(Site.A).symptoms[name])) >= len(all_wordings(words)) / 2


def test_one_negation_holds_for_several_symptoms_and_a_word_alone_says_nothing(many: list[Patient]) -> None:
    clean = [compose(patient).lower() for patient in many]
    shared = re.compile(r"(?:denies|no|without|neg for) [a-z &/]+(?:, [a-z &/]+)* (?:or|nor) [a-z &/]+")
    assert sum(bool(shared.search(text)) for text in clean) > 200
    said = [p.mentions["vomiting"] for p, text in zip(many, clean, strict=True) if "vomiting" in text]
    assert min(Counter(said)[state] for state in STATES) > 30


def test_the_same_patient_gives_the_same_words_and_another_seed_gives_others() -> None:
    (patient,) = draw_mentioning(3, 1, Arm.STROKE_NO_EVT)
    assert write_indication(patient) == write_indication(replace(patient))
    assert len({write_indication(replace(patient, seed=seed)) for seed in range(40)}) == 40


def test_record_and_image_change_no_word_of_the_request(many: list[Patient]) -> None:
    for patient in many[:60]:
        bare = replace(patient, variables={}, symptoms={}, causes={}, lesions=Lesions(), followup_h=99.0)
        assert write_indication(bare) == write_indication(patient)


def test_no_word_goes_with_the_outcome_where_only_the_seed_differs() -> None:
    (patient,) = draw_mentioning(8, 1, Arm.ICH)
    twins = [replace(patient, seed=seed) for seed in range(1500)]
    bad = np.array([draw_outcomes(twin).labels["prognosis_bad"] for twin in twins], bool)
    assert 0.05 < bad.mean() < 0.95
    bags = [words_of([write_indication(twin)]) for twin in twins]
    frequent = [word for word, count in Counter(w for bag in bags for w in bag).items() if 75 < count < 1425]
    has = np.array([[word in bag for word in frequent] for bag in bags], float)
    spread = has.std(axis=0) * np.sqrt(1.0 / bad.sum() + 1.0 / (~bad).sum())
    assert len(frequent) > 30
    assert np.abs((has[bad].mean(axis=0) - has[~bad].mean(axis=0)) / spread).max() < 4.0


RECORDED = re.compile(
    r"hypertens|\bhtn\b|\bbp\b|systolic|diabet|\bt[12]dm\b|\baf\b|fibrillat|coronary|\bihd\b|\bcad\b|angina|smok|\bgcs\b|"
    r"glasgow|nihss|warfarin|apixaban|\bdoac|\bnoac|aspirin|clopidogrel|coagul|antiplatelet|\binr\b|glucose|sugar|renal|"
    r"creatinine|\bcrp\b|sodium|fever|febrile|\btemp|pyrexi|thromboly|\btpa\b|alteplase|mmhg|hours?\b|\bhrs?\b|platelet|"
    r"haemoglobin|hemoglobin|anaemi|anemi|d-?dimer|ldl|statin|(?:previous|prior|old|h/o|hx of) (?:stroke|cva|tia)|"
    r"\bonset \d|\d ?h\b|since (?:this )?(?:morning|yesterday)|weakness|hemipar|palsy"
)
SHOWN = re.compile(r"\bleft\b|\bright\b|\bm[lm]\b|midline|hypodens|hyperdens|infarct seen|fracture seen|basal ganglia")


def test_nothing_repeats_or_contradicts_the_record_or_tells_the_image(texts: list[str]) -> None:
    assert [text for text in texts if RECORDED.search(text.lower()) or SHOWN.search(text.lower())] == []


WOMAN = re.compile(r"\b(?:lady|woman|female|her|herself)\b")
MAN = re.compile(r"\b(?:gentleman|man|male|gent|his|him|himself)\b")
YEARS = re.compile(r"(\d+)[ -]?(?:yo|yr|year|y/o|y\.o\.)")


def test_six_of_ten_requests_state_age_and_sex_and_state_them_rightly(many: list[Patient]) -> None:
    stated = 0
    for patient in many:
        text = compose(patient).lower()
        assert {int(age) for age in YEARS.findall(text)} <= {patient.age_years}
        assert not (MAN if patient.sex == "F" else WOMAN).search(text), text
        age, sex = rf"(?:{patient.age_years}|{in_words(patient.age_years)})", patient.sex.lower()
        forms = rf"\b{age}[ -]?(?:yo|yr|year|y/o|y\.o\.)|\b{age}{sex}\b|\b{sex}/?{age}\b|(?:of|aged) {age}\b"
        stated += bool(re.search(forms, text))
    assert stated / len(many) == pytest.approx(0.6, abs=0.03)


def test_typing_errors_spare_what_negates_and_leave_one_reading() -> None:
    rng = np.random.default_rng(4)
    assert {word for word in guarded() for _ in range(20) if mistyped(word, rng) != word} == set()
    wrong = {(word, mistyped(word, rng)) for word in ("headache", "vomiting", "unsteady", "steady") for _ in range(60)}
    changed = [(word, other) for word, other in wrong if word != other]
    assert len(changed) > 30
    assert all(readings(other) == {word} for word, other in changed)


def test_referrers_differ_in_letters_style_and_care(many: list[Patient], texts: Sequence[str]) -> None:
    assert 0.08 < np.mean([text.isupper() for text in texts]) < 0.3
    assert 0.12 < np.mean([text.islower() for text in texts]) < 0.4
    pairs = zip(texts, many, strict=True)
    off = np.mean([words_of([text]) > set() and bool(words_of([text]) - words_of([compose(p)])) for text, p in pairs])
    assert 0.25 < off < 0.75


def test_requests_are_one_line_so_that_no_heading_in_them_parts_a_report(texts: list[str]) -> None:
    assert not any("\n" in text for text in texts)
    assert 12 < np.mean([len(text.split()) for text in texts]) < 60
