"""What comparisons with the reader of heads rest on."""

from __future__ import annotations

import torch

from dicomnode.zoo.networks.head_features import HeadFeatures


def test_tokens_are_pooled_by_mean_and_maximum() -> None:
    features = HeadFeatures(torch.nn.Identity(), 1)
    assert features.width == 2
    assert features(torch.arange(4.0).reshape(1, 1, 1, 2, 2)).tolist() == [[1.5, 3.0]]
