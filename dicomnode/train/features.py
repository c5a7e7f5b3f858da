"""Features of images from a network that is not trained, computed once and kept on disk: heads are trained in seconds.

What is kept is known by the image (names, sizes and times of its files), by the network's weights and by what the
preprocessing says of itself; where any of them changes, the features are computed anew.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from dicomnode.images.files import read_image
from dicomnode.records import Volume
from dicomnode.train.manifest import Case
from dicomnode.train.samples import digest_of, image_of, stamp_of

VERSION = 1
"""Of what lies in the cache; to be raised when the way to the features changes."""
Features = Mapping[str, torch.Tensor]


class FrozenFeatures:
    """The features of exams by one network.

    Parameters
    ----------
    network : gives a tensor, or tensors by name, for one batch.
    prepare : volume -> what the network takes, with a first axis of 1.
    preprocessing : JSON-able; all that shapes what ``prepare`` gives.
    cache : folder; its file names hold digests only.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        prepare: Callable[[Volume], torch.Tensor],
        preprocessing: object,
        cache: Path,
    ) -> None:
        self.network, self.prepare, self.cache = network.eval(), prepare, cache
        self.known_by = [VERSION, weights_digest(network), preprocessing]

    def of(self, case: Case) -> Features:
        """The features of an exam's image, without the axis of the batch; from the cache where they are there.

        Raises
        ------
        ReadError, SeriesError : the image cannot be used.
        """
        kept = self.cache / f"{digest_of([stamp_of(image_of(case)), self.known_by])}.safetensors"
        try:
            features: Features = load_file(kept)
            return features
        except (FileNotFoundError, SafetensorError):
            return self._computed(case, kept)

    def prepared(self, case: Case) -> torch.Tensor:
        """What the network takes of an exam.

        Raises
        ------
        ReadError, SeriesError : the image cannot be used.
        """
        return self.prepare(read_image(image_of(case)))

    def _computed(self, case: Case, kept: Path) -> Features:
        device = next(self.network.parameters()).device
        with torch.inference_mode():
            given = self.network(self.prepared(case).to(device))
        by_name = given if isinstance(given, Mapping) else {"features": given}
        features = {name: value[0].float().cpu().contiguous() for name, value in by_name.items()}
        # trainings that share a cache may compute the same exam at once: each writes a file of its own
        part = kept.with_suffix(f".{os.getpid()}.part")
        kept.parent.mkdir(parents=True, exist_ok=True)
        save_file(features, part)
        part.replace(kept)
        return features


def weights_digest(network: torch.nn.Module) -> str:
    """Of the names, types, shapes and values of all weights and buffers."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        plain = value.detach().cpu().contiguous()
        digest.update(f"{name} {plain.dtype} {tuple(plain.shape)}".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
