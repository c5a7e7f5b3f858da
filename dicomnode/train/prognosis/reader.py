"""How the small BERT learns to read requests: words that were masked, and what is said of each symptom.

It is frozen then. So the paper's MLM acts here, before the fusions, and not beside their losses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from dicomnode.cohort.second.mentions import Mention
from dicomnode.cohort.streams import stream
from dicomnode.train.checkpoint import load_weights_file
from dicomnode.train.engine import BEST, Batch, FitSettings, Task, fit
from dicomnode.zoo.prognosis.bert import QUESTIONS, SmallBert
from dicomnode.zoo.prognosis.words import MASK, PAD, SPECIAL, Vocabulary, vocabulary_of

SYMPTOMS = ("cognitive_decline", "found_unresponsive", "vomiting", "headache", "seizure", "worsening")
STATES = list(Mention)
MASKED, BATCH = 0.15, 64
SETTINGS = FitSettings(
    epochs=12, learning_rate=3e-3, weight_decay=0.01, patience=0, device="cpu", mixed_precision=False, clip_norm=5.0
)
WORDS, SEEN = "words.txt", 4
"""A word is a piece of its own where it was seen so often; of more than 4,000 texts, once in a thousand of them."""


class Taught(nn.Module):
    """A reader with what it is asked while it learns."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.reader = SmallBert(vocabulary)
        self.word = nn.Linear(self.reader.width, vocabulary)
        self.says = nn.Parameter(torch.randn(QUESTIONS, self.reader.width, len(STATES)) * self.reader.width**-0.5)
        self.bias = nn.Parameter(torch.zeros(QUESTIONS, len(STATES)))

    def forward(self, pieces: torch.Tensor, gone: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(words, vocabulary) of the pieces that are gone, and (texts, states, symptoms), log odds.

        Parameters
        ----------
        gone : (texts, length) bool.
        """
        read = self.reader(pieces)
        answers, words = read[:, :QUESTIONS], read[:, QUESTIONS:]
        said = torch.einsum("nqw,qws->nsq", answers, self.says) + self.bias.T
        return self.word(words[gone]), said


@dataclass(frozen=True, slots=True)
class Texts:
    """Batches of texts, their words masked anew in every epoch.

    Attributes
    ----------
    pieces : (texts, length). said : (texts, symptoms) numbers of ``STATES``.
    """

    pieces: torch.Tensor
    said: torch.Tensor
    seed: int

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return max(1, len(self.pieces) // BATCH)

    def __call__(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch."""
        rng = stream(self.seed, "texts", epoch)
        order = torch.from_numpy(rng.permutation(len(self.pieces)))
        for step in range(self.steps):
            chosen = order[step * BATCH : (step + 1) * BATCH]
            pieces = _cropped(self.pieces[chosen])
            gone = torch.from_numpy(rng.random(pieces.shape) < MASKED) & (pieces >= len(SPECIAL))
            yield {
                "pieces": torch.where(gone, MASK, pieces),
                "gone": gone,
                "word": pieces[gone],
                "said": self.said[chosen],
            }


def _cropped(pieces: torch.Tensor) -> torch.Tensor:
    """Without the columns in which all texts have ended."""
    return pieces[:, : int((pieces != PAD).sum(dim=1).max())]


def reader_loss(output: tuple[torch.Tensor, torch.Tensor], batch: Batch) -> torch.Tensor:
    """Masked words (MLM), and symptoms."""
    words, said = output
    return cross_entropy(words, batch["word"]) + 2.0 * cross_entropy(said, batch["said"])


def right_share(network: nn.Module, pieces: torch.Tensor, said: torch.Tensor) -> float:
    """Share of symptoms that are told right."""
    with torch.inference_mode():
        parts = torch.split(pieces, BATCH)
        given = [network(part, torch.zeros_like(part, dtype=torch.bool))[1].argmax(dim=1) for part in parts]
    return float((torch.cat(given) == said).double().mean())


def trained_reader(out: Path, texts: Sequence[str], said: torch.Tensor, settings: FitSettings) -> Path:
    """Let a reader learn; the last tenth of the texts chooses the epoch.

    Returns
    -------
    Path of the weights; the pieces of words lie beside them.

    Raises
    ------
    TrainingError : the training cannot go on.
    """
    apart = max(1, len(texts) // 10)
    vocabulary = vocabulary_of(texts[:-apart], seen=max(SEEN, len(texts) // 1000))
    out.mkdir(parents=True, exist_ok=True)
    (out / WORDS).write_text("\n".join(vocabulary.pieces) + "\n", encoding="utf-8")
    pieces = vocabulary.encoded(texts)
    torch.manual_seed(settings.seed)
    batches = Texts(pieces[:-apart], said[:-apart], settings.seed)
    task = Task(
        network=Taught(len(vocabulary)),
        loss=reader_loss,
        batches=batches,
        steps=batches.steps,
        validate=lambda network: right_share(network, pieces[-apart:], said[-apart:]),
        inputs=("pieces", "gone"),
    )
    fit(task, settings, out, progress=False)
    return out / BEST


def load_taught(weights: Path) -> tuple[Taught, Vocabulary]:
    """A reader with what it was asked while it learned, and its pieces of words.

    Raises
    ------
    TrainingError : the weights do not fit.
    """
    vocabulary = Vocabulary((weights.parent / WORDS).read_text(encoding="utf-8").split("\n")[:-1])
    taught = Taught(len(vocabulary))
    load_weights_file(taught, weights)
    return taught.eval(), vocabulary


def load_reader(weights: Path) -> tuple[SmallBert, Vocabulary]:
    """A reader and its pieces of words.

    Raises
    ------
    TrainingError : the weights do not fit.
    """
    taught, vocabulary = load_taught(weights)
    return taught.reader, vocabulary


class AsRead:
    """Texts by a reader that is not trained any more; each is read once.

    Parameters
    ----------
    reader, vocabulary : as loaded.
    """

    def __init__(self, reader: SmallBert, vocabulary: Vocabulary) -> None:
        self.reader, self.vocabulary, self.width = reader.eval(), vocabulary, reader.width
        self._read: dict[str, torch.Tensor] = {}

    def of(self, texts: Sequence[str]) -> torch.Tensor:
        """(texts, QUESTIONS + LENGTH, width)"""
        new = list(dict.fromkeys(text for text in texts if text not in self._read))
        with torch.inference_mode():
            for start in range(0, len(new), BATCH):
                part = new[start : start + BATCH]
                self._read |= dict(zip(part, self.reader(self.vocabulary.encoded(part)).clone(), strict=True))
        return torch.stack([self._read[text] for text in texts])
