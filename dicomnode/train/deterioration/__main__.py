"""The experiment behind the shipped model: patients, trainings, figures; ``--install`` puts them into the project."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from dicomnode.train.deterioration import judging, report
from dicomnode.train.deterioration.experiment import PATIENTS, SEEDS, train_all
from dicomnode.train.deterioration.patients import UNSEEN
from dicomnode.train.deterioration.ship import assembled, install
from dicomnode.train.fused.bundle import loaded
from dicomnode.train.fused.running import parser_of
from dicomnode.zoo.bundle import load_manifest
from dicomnode.zoo.deterioration.model import Deterioration

DOCS = Path("docs/models/deterioration")


def main() -> None:
    """Train what is not trained yet, judge what ships, write the report."""
    given = _parser().parse_args()
    torch.set_num_threads(given.threads)
    trained = train_all(given)
    bundle = assembled(trained, given.out / "bundle")
    model, threshold = loaded(bundle, Deterioration), load_manifest(bundle).scores[0].threshold
    people = {site: judging.unseen(model, group) for site, group in UNSEEN.items()}
    print(report.write(given.out / "report", trained, model, people, threshold or 0.5))
    if given.install:
        install(bundle, given.out / "report", DOCS)


def _parser() -> argparse.ArgumentParser:
    parser = parser_of(report.COMMAND, __doc__, SEEDS)
    add = parser.add_argument
    add("--patients", type=int, default=PATIENTS, help="synthetic ones to learn from")
    add("--reader-epochs", type=int, help="of the reader of requests")
    add("--encoder", type=Path, help="folder with a published encoder (Bio_ClinicalBERT, ...): one arm more")
    return parser


if __name__ == "__main__":
    main()
