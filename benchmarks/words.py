"""How rich the cohort's requests are, and what a bag of words learns from them: both versions, site A and the unseen B.

python benchmarks/words.py --patients 3000

Different words count letters only (two or more), typing errors not counted unless it says so. The learner is a logistic
regression on the words of the indication (with pairs of neighbours too where it says so), trained at site A; it tells
for each symptom "present" from the rest. Balanced accuracy is that of a symptom, averaged over those of the arm.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from dicomnode.cohort.patients import SYMPTOMS, Arm, Patient, Site, draw_patient
from dicomnode.cohort.reports import write_report
from dicomnode.cohort.second.mentions import Mention
from dicomnode.cohort.second.words.indication import compose, write_indication
from dicomnode.cohort.streams import derived_seed, uniform

SEED = 35
WORD = re.compile(r"[a-z]{2,}")
Writer = Callable[[Patient], str]


def draw(number: int, arm: Arm, site: Site) -> Patient:
    """One patient with mentions: of those who lack a symptom, 15 % uncertain, 45 % denied, 40 % not mentioned."""
    patient = draw_patient(derived_seed(SEED, "patient", number), arm, site)
    rest = {name: uniform(patient.seed, "benchmark mention", name) for name in patient.symptoms}
    mentions = {
        name: Mention.PRESENT
        if present
        else (Mention.UNCERTAIN if rest[name] < 0.15 else Mention.DENIED if rest[name] < 0.6 else Mention.ABSENT)
        for name, present in patient.symptoms.items()
    }
    return replace(patient, mentions=mentions)


def words_of(texts: Sequence[str]) -> set[str]:
    """All different words of texts."""
    return {word for text in texts for word in WORD.findall(text.lower())}


def _learnt(
    train: csr_matrix, tests: Sequence[csr_matrix], truth: Sequence[Sequence[Patient]], name: str
) -> NDArray[np.float64]:
    """Balanced accuracy of one symptom in each of the test sets; ``truth``: patients of the training and test sets."""
    labels = [[patient.mentions[name] is Mention.PRESENT for patient in patients] for patients in truth]
    model = LogisticRegression(C=1.0, class_weight="balanced", max_iter=500).fit(train, labels[0])
    return np.array([balanced_accuracy_score(y, model.predict(x)) for x, y in zip(tests, labels[1:], strict=True)])


def accuracy(write: Writer, sets: Sequence[Sequence[Patient]], arm: Arm, longest: int) -> list[float]:
    """Mean balanced accuracy over the symptoms of an arm: at site A, at site B."""
    texts = [[write(patient) for patient in patients] for patients in sets]
    bag = CountVectorizer(binary=True, ngram_range=(1, longest), min_df=2)
    train = bag.fit_transform(texts[0])
    tests = [bag.transform(some) for some in texts[1:]]
    means = np.mean([_learnt(train, tests, sets, name) for name in SYMPTOMS[arm]], axis=0)
    return [round(float(mean), 3) for mean in means]


def first_version(patient: Patient) -> str:
    """The indication of version 1."""
    return write_report(patient).indication


def report(arm: Arm, patients: int) -> dict[str, object]:
    """All figures of one arm."""
    third = max(1, patients // 3)
    train = [draw(k, arm, Site.A) for k in range(patients)]
    tests = [[draw(k, arm, site) for k in range(patients, patients + third)] for site in (Site.A, Site.B)]
    away = [draw(k, arm, Site.B) for k in range(patients)]
    clean, unseen = words_of([compose(p) for p in train]), words_of([compose(p) for p in away])
    return {
        "arm": arm.value,
        "words, version 1": len(words_of([first_version(p) for p in train])),
        "words": len(clean),
        "words, errors counted": len(words_of([write_indication(p) for p in train])),
        "words at B": len(unseen),
        "share of them unseen at A": round(len(unseen - clean) / len(unseen), 3),
        "version 1, words, A and B": accuracy(first_version, (train, *tests), arm, 1),
        "words, A and B": accuracy(write_indication, (train, *tests), arm, 1),
        "words and pairs, A and B": accuracy(write_indication, (train, *tests), arm, 2),
    }


def main() -> None:
    """Print one line of JSON for each arm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=3000)
    count = parser.parse_args().patients
    for arm in SYMPTOMS:
        print(json.dumps(report(arm, count)), flush=True)


if __name__ == "__main__":
    main()
