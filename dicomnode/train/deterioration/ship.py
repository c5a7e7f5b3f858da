"""From finished trainings to a bundle: weights of reader and council, calibration, threshold, the words it knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from dicomnode.train.bundle_files import copy_bundle, write_calibration
from dicomnode.train.calibrate import CALIBRATION, read_calibration
from dicomnode.train.checkpoint import load_weights_file
from dicomnode.train.deterioration.experiment import Trained, arms_of
from dicomnode.train.deterioration.learner import BUNDLE, OUTCOME
from dicomnode.train.deterioration.patients import requests_in
from dicomnode.train.deterioration.wordings import thesaurus_lines
from dicomnode.train.fused.bundle import written
from dicomnode.zoo.deterioration.network import DeteriorationNetwork
from dicomnode.zoo.deterioration.words import words_of

SEEN_OFTEN = 2
"""A word of the requests that were learned from counts as known from so many on: rarer ones are slips of typing."""
KEPT = ("report.md", "figures.json")


def assembled(trained: Trained, bundle: Path) -> Path:
    """A bundle with what was trained: the configuration of the shipped one, weights and words of this training.

    Returns
    -------
    The folder.

    Raises
    ------
    TrainingError : weights or calibration cannot be read.
    """
    network = DeteriorationNetwork(len(trained.members))
    load_weights_file(network.reader, trained.reader)
    for member, weights in zip(network.council.members, trained.members, strict=True):
        load_weights_file(member, weights)
    written(bundle, BUNDLE, network)
    words = known_words(requests_in(trained.manifests["folds"]))
    (bundle / "models" / "words.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    # of out-of-fold patients
    told = read_calibration(trained.folds / CALIBRATION, arms_of(trained.reader)[0].learner().outputs)
    write_calibration(bundle, told[OUTCOME])
    return bundle


def known_words(requests: Iterable[str]) -> list[str]:
    """The words of requests that were seen often enough, and those of the thesaurus, in order."""
    count = Counter(word for request in requests for word in words_of(request) if word[0].isalpha())
    often = {word for word, seen in count.items() if seen >= SEEN_OFTEN}
    of_thesaurus = {word for line in thesaurus_lines() for word in words_of(line) if word[0].isalpha()}
    return sorted(often | of_thesaurus)


def install(bundle: Path, report: Path, docs: Path) -> None:
    """Copy a bundle and its report to their places in the project."""
    copy_bundle(bundle, BUNDLE, report, docs, kept=KEPT)
