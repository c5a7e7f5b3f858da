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

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from dicomnode.cohort.edition import Version
from dicomnode.cohort.patients import SYMPTOMS, Arm, Patient, Site
from dicomnode.cohort.reports import write_report
from dicomnode.cohort.second.mentions import Mention
from dicomnode.cohort.second.words.indication import compose, write_indication
from dicomnode.cohort.streams import derived_seed
from dicomnode.cohort.versions import draw_patient

SEED = 35
WORD = re.compile(r"[a-z]{2,}")
Writer = Callable[[Patient], str]
Teller = Callable[[Patient, str], bool]


def draw(number: int, arm: Arm, site: Site) -> Patient:
    """One patient of version 2; version 1 words the symptoms behind the mentions."""
    return draw_patient(derived_seed(SEED, "patient", number), arm, site, Version.TWO)


def words_of(texts: Sequence[str]) -> set[str]:
    """All different words of texts."""
    return {word for text in texts for word in WORD.findall(text.lower())}


def _learnt(bags: Sequence[csr_matrix], labels: Sequence[Sequence[bool]]) -> list[float]:
    """Balanced accuracy of one symptom in each of the test sets; the first of both arguments is the training set."""
    model = LogisticRegression(class_weight="balanced", max_iter=500).fit(bags[0], labels[0])
    return [balanced_accuracy_score(y, model.predict(x)) for x, y in zip(bags[1:], labels[1:], strict=True)]


def accuracy(write: Writer, tell: Teller, sets: Sequence[Sequence[Patient]], arm: Arm, longest: int) -> list[float]:
    """Mean balanced accuracy over the symptoms of an arm: at site A, at site B.

    Parameters
    ----------
    write, tell : the text of a patient, and whether it tells that a symptom is present.
    sets : training patients, test patients of A, of B.
    longest : words in a run that counts as one feature.
    """
    texts = [[write(patient) for patient in patients] for patients in sets]
    bag = CountVectorizer(binary=True, ngram_range=(1, longest), min_df=2).fit(texts[0])
    bags = [bag.transform(some) for some in texts]
    found = [_learnt(bags, [[tell(patient, name) for patient in some] for some in sets]) for name in SYMPTOMS[arm]]
    return [round(float(mean), 3) for mean in np.mean(found, axis=0)]


def first_version(patient: Patient) -> str:
    """The indication of version 1."""
    return write_report(patient).indication


def has(patient: Patient, name: str) -> bool:
    """What the first version words."""
    return patient.symptoms[name]


def affirms(patient: Patient, name: str) -> bool:
    """What the second version words."""
    return patient.mentions[name] is Mention.PRESENT


def report(arm: Arm, patients: int) -> dict[str, object]:
    """All figures of one arm."""
    train, away = ([draw(k, arm, site) for k in range(patients)] for site in (Site.A, Site.B))
    later = range(patients, patients + max(1, patients // 3))
    sets = (train, *([draw(k, arm, site) for k in later] for site in (Site.A, Site.B)))
    at_a, at_b = (words_of([compose(patient) for patient in some]) for some in (train, away))
    return {
        "arm": arm.value,
        "words, version 1": len(words_of([first_version(patient) for patient in train])),
        "words": len(at_a),
        "words, errors counted": len(words_of([write_indication(patient) for patient in train])),
        "words at B": len(at_b),
        "share of them unseen at A": round(len(at_b - at_a) / len(at_b), 3),
        "learnt, version 1, A and B": accuracy(first_version, has, sets, arm, 1),
        "learnt, A and B": accuracy(write_indication, affirms, sets, arm, 1),
        "learnt with pairs, A and B": accuracy(write_indication, affirms, sets, arm, 2),
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
