"""The experiment behind the shipped model: patients, trainings, figures; ``--install`` puts them into the project."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from dicomnode.train.deterioration import judging, report
from dicomnode.train.deterioration.experiment import PATIENTS, SEEDS, train_all
from dicomnode.train.deterioration.patients import UNSEEN
from dicomnode.train.deterioration.ship import assembled, install
from dicomnode.zoo.bundle import load_manifest

DOCS = Path("docs/models/deterioration")


def main() -> None:
    """Train what is not trained yet, judge what ships, write the report."""
    given = _parser().parse_args()
    torch.set_num_threads(given.threads)
    trained = train_all(given)
    bundle = assembled(trained, given.out / "bundle")
    model, threshold = judging.loaded(bundle), load_manifest(bundle).scores[0].threshold
    people = {site: judging.unseen(model, group) for site, group in UNSEEN.items()}
    print(report.write(given.out / "report", trained, model, people, threshold or 0.5))
    if given.install:
        install(bundle, given.out / "report", DOCS)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=report.COMMAND, description=__doc__)
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder; the same call goes on where it stopped")
    add("--patients", type=int, default=PATIENTS, help="synthetic ones to learn from")
    add("--seeds", type=int, nargs="+", default=SEEDS, help="of the trainings of each arm")
    add("--epochs", type=int, help="of the fusions")
    add("--reader-epochs", type=int, help="of the reader of requests")
    add("--encoder", type=Path, help="folder with a published encoder (Bio_ClinicalBERT, ...): one arm more")
    add("--threads", type=int, default=1, help="of torch")
    add("--trained-only", action="store_true", help="train no arm; report on those that are trained already")
    add("--install", action="store_true", help="copy bundle and report to their places in the project")
    return parser


if __name__ == "__main__":
    main()
