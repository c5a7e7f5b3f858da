"""Training of the reader: statements made anew for every epoch, by the engine that trains every network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from dicomnode.cohort.streams import derived_seed, stream
from dicomnode.train.checkpoint import load_weights_file
from dicomnode.train.deterioration.phrases import Line, Writer
from dicomnode.train.engine import Batch, FitSettings, Task, fit
from dicomnode.zoo.deterioration.reader import SYMPTOMS, Reader, Said
from dicomnode.zoo.deterioration.words import encoded, words_of

EPOCHS, STEPS, BATCH, POOL = 11, 100, 256, 20
"""A batch holds statements of a like length, out of a pool of so many batches."""
UNSEEN_LINES, UNSEEN_SEED = 4000, 10**6
PIECES_LOST = 0.15
"""Share of the pieces of words that are not shown in training: a word must be known by its other pieces."""
SETTINGS = FitSettings(
    epochs=EPOCHS, learning_rate=3e-3, weight_decay=0.01, patience=0, device="cpu", mixed_precision=False
)
_STATES = list(Said)


def trained_reader(out: Path, settings: FitSettings = SETTINGS) -> Reader:
    """Train a reader, or go on with one, in a folder.

    Returns
    -------
    The reader with the best weights, which ``out/best.safetensors`` holds.

    Raises
    ------
    TrainingError : the training cannot go on.
    """
    torch.manual_seed(settings.seed)
    reader = Reader()
    unseen = as_tensors(list(Writer(UNSEEN_SEED).lines(UNSEEN_LINES)))
    task = Task(
        network=reader,
        loss=_loss,
        batches=lambda epoch: _batches(settings.seed, epoch),
        steps=STEPS,
        validate=lambda network: _share_right(network, unseen),
        inputs=("pieces",),
    )
    fit(task, settings, out, progress=False)
    return reader.eval()


def load_reader(weights: Path) -> Reader:
    """A reader by the file of its weights.

    Raises
    ------
    TrainingError : they do not fit.
    """
    reader = Reader()
    load_weights_file(reader, weights)
    return reader.eval()


def as_tensors(lines: Sequence[Line]) -> Mapping[str, torch.Tensor]:
    """``pieces`` (lines, words, pieces) and ``said`` (lines, symptoms), the index of a state."""
    said = [[_STATES.index(states.get(name, Said.NOTHING)) for name in SYMPTOMS] for _, states in lines]
    return {"pieces": encoded([words_of(text) for text, _ in lines]), "said": torch.tensor(said)}


def _batches(seed: int, epoch: int) -> Iterator[Batch]:
    writer = Writer(derived_seed(seed, "lines", epoch))
    for pool in range(STEPS // POOL):
        lines = sorted(writer.lines(POOL * BATCH), key=lambda line: len(words_of(line[0])))
        for place in stream(seed, "lines", epoch, pool).permutation(POOL):
            batch = as_tensors(lines[place * BATCH : (place + 1) * BATCH])
            yield {**batch, "pieces": _with_pieces_lost(batch["pieces"])}


def _with_pieces_lost(pieces: torch.Tensor) -> torch.Tensor:
    """Without some pieces of each word; the first, the word itself, tells that there is one and stays."""
    lost = torch.rand(pieces.shape) < PIECES_LOST
    lost[:, :, 0] = False
    return torch.where(lost, 0, pieces)


def _loss(output: Any, batch: Batch) -> torch.Tensor:
    loss: torch.Tensor = cross_entropy(output.flatten(0, 1), batch["said"].flatten())
    return loss


def _share_right(network: torch.nn.Module, unseen: Mapping[str, torch.Tensor]) -> float:
    """Share of statements and symptoms of which the likeliest state is right."""
    given = torch.cat([network(part) for part in torch.split(unseen["pieces"], 512)]).argmax(dim=-1)
    return float((given == unseen["said"]).float().mean())
