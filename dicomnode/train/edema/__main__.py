"""The experiment behind the shipped model: heads, trainings, figures; ``--install`` puts them into the project."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from dicomnode.train.edema import report
from dicomnode.train.edema.experiment import AT_A, AT_B, HEADS, RECORDS, SEEDS, TELLING, train_all
from dicomnode.train.edema.ship import assembled, install
from dicomnode.train.edema.shipped import unseen_of
from dicomnode.train.fused.bundle import loaded
from dicomnode.train.fused.running import parser_of
from dicomnode.zoo.edema.model import Edema

DOCS = Path("docs/models/edema")


def main() -> None:
    """Train what is not trained yet, judge what ships, write the report."""
    given = _parser().parse_args()
    torch.set_num_threads(given.threads)
    trained = train_all(given)
    bundle = assembled(trained, given.out / "bundle")
    model = loaded(bundle, Edema)
    people = unseen_of(model, trained.manifest, given.out)
    print(report.write(given.out / "report", trained, model, people))
    if given.install:
        install(bundle, given.out / "report", DOCS)


def _parser() -> argparse.ArgumentParser:
    parser = parser_of(report.COMMAND, __doc__, SEEDS)
    add = parser.add_argument
    add("--heads", type=int, default=HEADS, help="synthetic ones in which the reader learns to mark")
    add("--telling", type=int, default=TELLING, help="others, in which it learns to tell facts")
    add("--records", type=int, default=RECORDS, help="patients without an image to learn from")
    add("--unseen", type=int, nargs=2, default=(AT_A, AT_B), help="unseen heads of each arm at site A and at B")
    add("--encoder-epochs", type=int, help="of the reader of heads and of the masked encoder")
    add("--processes", type=int, default=1, help="that make heads")
    return parser


if __name__ == "__main__":
    main()
