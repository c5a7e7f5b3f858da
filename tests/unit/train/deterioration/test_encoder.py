"""A published encoder from a folder: a tiny one of the same class, made on the spot."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dicomnode.errors import TrainingError
from dicomnode.train.deterioration.encoder import AsEncoded
from dicomnode.train.deterioration.learner import PAPER_TEXT, DeteriorationLearner
from dicomnode.zoo.deterioration.variables import VARIABLES

transformers = pytest.importorskip("transformers")
WORDS = ("unsteady", "no", "headache", "vomiting", "walks", "well")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers with random weights."""
    path = tmp_path_factory.mktemp("encoder")
    (path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    torch.manual_seed(1)
    config = transformers.BertConfig(
        vocab_size=5 + len(WORDS), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    transformers.BertModel(config).save_pretrained(path)
    transformers.BertTokenizerFast(str(path / "vocab.txt")).save_pretrained(path)
    return path


def test_a_request_is_the_mean_over_its_own_tokens_whatever_stands_beside_it(folder: Path) -> None:
    texts = AsEncoded(folder)
    together = texts.of(["unsteady", "no headache no vomiting walks well", ""])
    alone = AsEncoded(folder).of(["unsteady"])
    assert together.shape == (3, 32)
    assert torch.allclose(together[0], alone[0], atol=1e-5)
    assert torch.isnan(together[2]).all()


def test_the_fusion_of_the_papers_size_learns_from_it(folder: Path) -> None:
    learner = DeteriorationLearner(AsEncoded(folder))
    network = learner.network(())
    assert network.text[0].out_features == PAPER_TEXT
    text = learner.texts.of(["unsteady", "walks well"] * 8)
    batch = {"label": torch.tensor([[1.0], [0.0]] * 8), "text": text, "variables": torch.zeros(16, len(VARIABLES))}
    steps = torch.optim.Adam(network.parameters(), 1e-2)
    torch.manual_seed(1)
    for _ in range(30):
        steps.zero_grad()
        learner.loss(network(batch["variables"], batch["text"]), batch).backward()
        steps.step()
    p = network.eval()(batch["variables"], batch["text"]).sigmoid().tolist()
    assert min(p[::2]) > 0.8
    assert max(p[1::2]) < 0.2


def test_the_encoder_of_the_paper_has_as_many_weights_as_is_published() -> None:
    with torch.device("meta"):
        bert = transformers.BertModel(transformers.BertConfig(vocab_size=28996))
    assert sum(weight.numel() for weight in bert.parameters()) == pytest.approx(108.3e6, rel=0.02)


def test_a_folder_without_an_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds no encoder"):
        AsEncoded(tmp_path)
