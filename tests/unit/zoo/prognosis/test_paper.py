"""The text encoder of the published size: from a local folder alone, and as large as its authors say."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dicomnode.errors import BundleError
from dicomnode.zoo.prognosis.paper import PaperPrognosis, published_bert
from dicomnode.zoo.prognosis.words import LENGTH

transformers = pytest.importorskip("transformers")

CLINICAL = {"vocab_size": 28_996, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12}
"""As the configuration of Bio_ClinicalBERT has it; its intermediate size is the default."""


def test_the_text_encoder_of_a_local_folder_is_read_and_used(tmp_path: Path) -> None:
    config = transformers.BertConfig(
        vocab_size=60, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    saved = transformers.BertModel(config)
    saved.save_pretrained(tmp_path)
    read = published_bert(tmp_path)
    assert torch.equal(read.embeddings.word_embeddings.weight, saved.embeddings.word_embeddings.weight)
    with torch.device("meta"):
        network = PaperPrognosis(read, 33)
    assert (network.reduce.in_features, network.reduce.out_features) == (16, 256)


def test_a_folder_without_an_encoder_is_a_fault_and_nothing_is_downloaded(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="holds no encoder"):
        published_bert(tmp_path)
    with pytest.raises(BundleError, match="holds no encoder"):
        published_bert(Path("emilyalsentzer/Bio_ClinicalBERT"))


def test_bio_clinical_bert_has_its_published_size() -> None:
    with torch.device("meta"):
        bert = transformers.BertModel(transformers.BertConfig(**CLINICAL))
    assert sum(one.numel() for one in bert.parameters()) == pytest.approx(108.3e6, rel=0.02)
    assert bert.config.max_position_embeddings >= LENGTH
