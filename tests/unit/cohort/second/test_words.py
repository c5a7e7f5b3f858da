"""Requests of the second edition: they say exactly what is mentioned, in many words, and nothing of the outcome."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dicomnode.cohort.lesions import Lesions
from dicomnode.cohort.patients import SYMPTOMS, Arm, Patient, Site
from dicomnode.cohort.second.mentions import Mention, states_age
from dicomnode.cohort.second.outcomes import draw_outcomes
from dicomnode.cohort.second.words.filling import in_words
from dicomnode.cohort.second.words.indication import compose, write_indication
from dicomnode.cohort.second.words.lexicon import SymptomWords, lexicon, read_table
from dicomnode.cohort.second.words.typist import mistyped
from dicomnode.cohort.second.words.vocabulary import TABLES, guarded, readings
from tests.unit.cohort.second.mentioning import draw_mentioning
from tests.unit.cohort.second.reading import Speller, read

ARMS = [arm for arm in Arm if arm is not Arm.MIXED]
NAMES = sorted({name for symptoms in SYMPTOMS.values() for name in symptoms})
WORD = re.compile(r"[a-z]{2,}")
STATES = (Mention.PRESENT, Mention.UNCERTAIN, Mention.DENIED)


def words_of(texts: Iterable[str]) -> set[str]:
    return {word for text in texts for word in WORD.findall(text.lower())}


def twins(patients: Iterable[Patient], count: int) -> list[Patient]:
    """Each as many times, alike but for what the words draw from."""
    return [replace(patient, seed=patient.seed + k) for patient in patients for k in range(count)]


@pytest.fixture(scope="module")
def many() -> list[Patient]:
    """2,000 requests of all sites and arms."""
    counts = {Site.A: 400, Site.B: 300, Site.C: 300}
    return twins((p for site, count in counts.items() for p in draw_mentioning(50, count, Arm.MIXED, site)), 2)


@pytest.fixture(scope="module")
def texts(many: list[Patient]) -> list[str]:
    return [write_indication(patient) for patient in many]


@pytest.fixture(scope="module")
def clean(many: list[Patient]) -> list[str]:
    """Before typing, so without errors."""
    return [compose(patient) for patient in many]


@pytest.fixture(scope="module")
def at_a() -> dict[Arm, list[str]]:
    """Before typing, so without errors."""
    return {arm: [compose(patient) for patient in twins(draw_mentioning(60, 100, arm), 5)] for arm in ARMS}


@pytest.fixture(scope="module")
def at_b() -> dict[Arm, list[str]]:
    return {arm: [compose(patient) for patient in twins(draw_mentioning(61, 50, arm, Site.B), 3)] for arm in ARMS}


def test_a_reader_recovers_every_mention_and_finds_none_that_is_absent(many: list[Patient], texts: list[str]) -> None:
    speller, wrong = Speller(texts), []
    for patient, text in zip(many, texts, strict=True):
        found = read(text, speller)
        stated = {name: {state} for name, state in patient.mentions.items() if state is not Mention.ABSENT}
        wrong += [(name, text) for name in found.keys() | stated.keys() if found.get(name) != stated.get(name)]
    asked = sum(len(patient.mentions) for patient in many)
    assert asked > 10_000
    assert len(wrong) <= 0.002 * asked, wrong


def test_a_request_without_typing_errors_is_recovered_exactly(many: list[Patient], clean: list[str]) -> None:
    speller = Speller(clean)
    for patient, text in zip(many[::3], clean[::3], strict=True):
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


def test_one_negation_holds_for_several_symptoms_and_a_word_alone_says_nothing(
    many: list[Patient], clean: list[str]
) -> None:
    shared = re.compile(r"(?:denies|no|without|neg for) [a-z &/]+(?:, [a-z &/]+)* (?:or|nor) [a-z &/]+")
    assert sum(bool(shared.search(text.lower())) for text in clean) > 200
    said = [
        p.mentions["vomiting"]
        for p, text in zip(many, clean, strict=True)
        if "vomiting" in text.lower() and "vomiting" in p.mentions
    ]
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
    undecided = (p for p in draw_mentioning(8, 30, Arm.ICH) if 0.3 < draw_outcomes(p).oracle["prognosis_bad"] < 0.7)
    alike = [twin for twin in twins([next(undecided)], 1300) if states_age(twin.seed)]
    bad = np.array([draw_outcomes(twin).labels["prognosis_bad"] for twin in alike], bool)
    assert 0.2 < bad.mean() < 0.8
    bags = [words_of([write_indication(twin)]) for twin in alike]
    frequent = [
        word for word, count in Counter(w for bag in bags for w in bag).items() if 0.05 < count / len(alike) < 0.95
    ]
    has = np.array([[word in bag for word in frequent] for bag in bags], float)
    spread = has.std(axis=0) * np.sqrt(1.0 / bad.sum() + 1.0 / (~bad).sum())
    assert len(frequent) > 30
    assert np.abs((has[bad].mean(axis=0) - has[~bad].mean(axis=0)) / spread).max() < 4.0


RECORDED = re.compile(
    r"hypertens|\bhtn\b|\bbp\b|systolic|diabet|\bt[12]dm\b|\baf\b|fibrillat|coronary|\bihd\b|\bcad\b|angina|smok|\bgcs\b|"
    r"glasgow|nihss|warfarin|apixaban|\bdoac|\bnoac|aspirin|clopidogrel|coagul|antiplatelet|\binr\b|glucose|sugar|renal|"
    r"creatinine|\bcrp\b|sodium|fever|febrile|\btemp|pyrexi|thromboly|\btpa\b|alteplase|mmhg|\bhours?\b|\bhrs?\b|platelet|"
    r"haemoglobin|hemoglobin|anaemi|anemi|d-?dimer|ldl|statin|(?:previous|prior|old|h/o|hx of) (?:stroke|cva|tia)|"
    r"\bonset \d|\d ?h\b|since (?:this )?(?:morning|yesterday)|weakness|hemipar|palsy"
)
SHOWN = re.compile(r"\bleft\b|\bright\b|\bm[lm]\b|midline|hypodens|hyperdens|infarct seen|fracture seen|basal ganglia")


def strings(table: Any) -> Iterator[str]:
    if isinstance(table, str):
        yield table
    else:
        for value in table.values() if isinstance(table, dict) else table:
            yield from strings(value)


def test_nothing_repeats_or_contradicts_the_record_or_tells_the_image(texts: list[str]) -> None:
    wordings = [text for name in TABLES for text in strings(read_table(name))]
    assert len(wordings) > 2000
    assert [s for s in (*wordings, *texts) if RECORDED.search(s.lower()) or SHOWN.search(s.lower())] == []


WOMAN = re.compile(r"\b(?:lady|woman|female|her|herself)\b")
MAN = re.compile(r"\b(?:gentleman|man|male|gent|his|him|himself)\b")
YEARS = re.compile(r"(\d+)[ -]?(?:yo|yr|year|y/o|y\.o\.)")


def test_age_and_sex_are_stated_by_whom_the_outcomes_expect_it_of_and_stated_rightly(
    many: list[Patient], clean: list[str]
) -> None:
    for patient, text in zip(many, map(str.lower, clean), strict=True):
        assert {int(age) for age in YEARS.findall(text)} <= {patient.age_years}
        assert not (MAN if patient.sex == "F" else WOMAN).search(text), text
        age, sex = rf"(?:{patient.age_years}|{in_words(patient.age_years)})", patient.sex.lower()
        forms = rf"\b{age}[ -]?(?:yo|yr|year|y/o|y\.o\.)|\b{age}{sex}\b|\b{sex}/?{age}\b|(?:of|aged) {age}\b"
        assert bool(re.search(forms, text)) == states_age(patient.seed), text


def test_typing_errors_spare_what_negates_and_leave_one_reading() -> None:
    rng = np.random.default_rng(4)
    assert {word for word in guarded() for _ in range(20) if mistyped(word, rng) != word} == set()
    wrong = {(word, mistyped(word, rng)) for word in ("headache", "vomiting", "unsteady", "steady") for _ in range(60)}
    changed = [(word, other) for word, other in wrong if word != other]
    assert len(changed) > 30
    assert all(readings(other) == {word} for word, other in changed)


def test_referrers_differ_in_letters_and_care(texts: list[str], clean: list[str]) -> None:
    assert 0.08 < np.mean([text.isupper() for text in texts]) < 0.3
    assert 0.12 < np.mean([text.islower() for text in texts]) < 0.4
    with_errors = np.mean(
        [bool(words_of([text]) - words_of([meant])) for text, meant in zip(texts, clean, strict=True)]
    )
    assert 0.25 < with_errors < 0.75


def test_requests_are_one_line_so_that_no_heading_in_them_parts_a_report(texts: list[str]) -> None:
    assert not any("\n" in text for text in texts)
    assert 12 < np.mean([len(text.split()) for text in texts]) < 60
