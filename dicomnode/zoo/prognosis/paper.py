"""ICHPro in its published size: 3D ResNet-50, BERT (Bio_ClinicalBERT from a local folder), fusion, 1D DenseNet-121."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from monai.networks.nets import resnet50
from torch import nn

from dicomnode.errors import BundleError
from dicomnode.zoo.prognosis.bleed import FACTS
from dicomnode.zoo.prognosis.fusion import PAPER, FusionSize, PrognosisFusion, Told

VISION_WIDTH = 2048


class PaperPrognosis(nn.Module):
    """Vision and text encoders with the fusion, to be trained as a whole.

    Parameters
    ----------
    text : the BERT, see :func:`published_bert`. variables : of the record. size : of the fusion.
    """

    def __init__(self, text: Any, variables: int, size: FusionSize = PAPER) -> None:
        super().__init__()
        self.vision = vision_encoder()
        self.text = text
        self.reduce = nn.Linear(text.config.hidden_size, size.channels)
        self.fusion = PrognosisFusion(VISION_WIDTH, len(FACTS), variables, size.channels, size=size)

    def forward(
        self, image: torch.Tensor, pieces: torch.Tensor, facts: torch.Tensor, variables: torch.Tensor
    ) -> torch.Tensor | Told:
        """As of the fusion, from (patients, 1, slices, rows, columns) and (patients, LENGTH) of BERT's own pieces."""
        features = self.vision(image).mean(dim=(2, 3, 4))
        read = self.text(input_ids=pieces, attention_mask=(pieces != 0).long()).last_hidden_state
        told: torch.Tensor | Told = self.fusion(features, facts, variables, self.reduce(read))
        return told


def vision_encoder() -> nn.Module:
    """3D ResNet-50 that gives its last map, with the stem of the paper: stride 1 from slice to slice."""
    return _Maps(
        resnet50(spatial_dims=3, n_input_channels=1, feed_forward=False, conv1_t_size=7, conv1_t_stride=(1, 2, 2))
    )


class _Maps(nn.Module):
    """The last map of a ResNet rather than its mean."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(patients, 2048, ...) of (patients, 1, slices, rows, columns)."""
        net = self.network
        read: torch.Tensor = net.maxpool(net.act(net.bn1(net.conv1(image))))
        for layer in (net.layer1, net.layer2, net.layer3, net.layer4):
            read = layer(read)
        return read


def published_bert(folder: Path) -> Any:
    """The text encoder of a local folder, such as ``emilyalsentzer/Bio_ClinicalBERT``; nothing is downloaded.

    Raises
    ------
    BundleError : ``transformers`` is not installed (extra ``paper``), or the folder holds no such model.
    """
    try:
        from transformers import AutoModel
    except ImportError as error:
        raise BundleError("a published encoder needs transformers: pip install 'dicomnode[paper]'") from error
    try:
        return AutoModel.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise BundleError(f"{folder} holds no encoder: {error}") from error
