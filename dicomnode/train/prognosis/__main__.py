"""The experiment behind the shipped model: heads, trainings, figures; ``--install`` puts them into the project."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from dicomnode.train.fused.bundle import loaded
from dicomnode.train.fused.running import FOLDS, parser_of
from dicomnode.train.prognosis import report
from dicomnode.train.prognosis.experiment import (
    COMPARED,
    HEADS,
    RECORDS,
    SEEDS,
    TEXTS,
    UNSEEN,
    UNSEEN_RECORDS,
    train_all,
)
from dicomnode.train.prognosis.judging import unseen_of
from dicomnode.train.prognosis.ship import assembled, install
from dicomnode.zoo.prognosis.model import Prognosis

DOCS = Path("docs/models/prognosis")


def main() -> None:
    """Train what is not trained yet, judge what ships, write the report."""
    given = _parser().parse_args()
    torch.set_num_threads(given.threads)
    trained = train_all(given)
    bundle = assembled(trained, given.out / "bundle")
    model = loaded(bundle, Prognosis)
    print(report.write(given.out / "report", trained, model, unseen_of(model, trained)))
    if given.install:
        install(bundle, given.out / "report", DOCS)


def _parser() -> argparse.ArgumentParser:
    parser = parser_of(report.COMMAND, __doc__, SEEDS)
    add = parser.add_argument
    add("--heads", type=int, default=HEADS, help="synthetic ones to learn from")
    add("--records", type=int, default=RECORDS, help="patients without an image to learn from")
    add("--compared", type=int, default=COMPARED, help="of these that the arms learn from")
    add("--unseen", type=int, nargs=2, default=(UNSEEN, UNSEEN_RECORDS), help="unseen heads; records of each site")
    add("--texts", type=int, default=TEXTS, help="that the reader learns from")
    add("--folds", type=int, default=FOLDS, help="of the cross-validation whose members ship together")
    add("--arms", nargs="+", help="to train; all of them")
    add("--processes", type=int, default=1, help="that make heads")
    return parser


if __name__ == "__main__":
    main()
