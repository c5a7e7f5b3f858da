"""From finished trainings to a bundle: weights of reader and council, calibration, threshold."""

from __future__ import annotations

from pathlib import Path

from dicomnode.train.bundle_files import copy_bundle, write_calibration
from dicomnode.train.checkpoint import load_weights_file
from dicomnode.train.edema.experiment import Trained
from dicomnode.train.edema.heads import OUTCOME
from dicomnode.train.edema.learner import BUNDLE
from dicomnode.train.fused.bundle import written
from dicomnode.train.outputs.output import Calibration
from dicomnode.train.outputs.probability import Probability
from dicomnode.zoo.edema.network import EdemaNetwork

KEPT = ("report.md", "figures.json", "reliability.png")


def assembled(trained: Trained, bundle: Path) -> Path:
    """A bundle with what was trained: the configuration of the shipped one, weights of this training.

    Returns
    -------
    The folder.

    Raises
    ------
    TrainingError : weights or calibration cannot be read.
    """
    network = EdemaNetwork(len(trained.members))
    network.heads.load_state_dict(trained.reader.state_dict())
    for member, weights in zip(network.council, trained.members, strict=True):
        load_weights_file(member, weights)
    written(bundle, BUNDLE, network)
    write_calibration(bundle, calibration_of(trained))
    return bundle


def calibration_of(trained: Trained) -> Calibration:
    """From the out-of-fold scores: what they rest on was told by readers that had not learned from the head."""
    found = Probability(OUTCOME).calibration(trained.out_of_fold)
    assert found is not None
    return found


def install(bundle: Path, report: Path, docs: Path) -> None:
    """Copy a bundle and its report to their places in the project."""
    copy_bundle(bundle, BUNDLE, report, docs, kept=KEPT)
