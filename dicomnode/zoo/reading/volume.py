"""A bundle that reads the whole CT by its own MONAI transforms: it segments, or it classifies."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from dicomnode.errors import InferenceError
from dicomnode.records import Inputs, Volume
from dicomnode.zoo.bundle import BundleManifest
from dicomnode.zoo.head_check import brain_mask
from dicomnode.zoo.ladder import Ladder
from dicomnode.zoo.parts import load_weights
from dicomnode.zoo.reading.contract import Raw
from dicomnode.zoo.volumes import classify, load_volume_parts, segment


class VolumeModel:
    """One such bundle on one device.

    Raises
    ------
    BundleError : the configuration or the weights are at fault.
    """

    def __init__(self, manifest: BundleManifest, device: torch.device) -> None:
        self._manifest = manifest
        self._parts = load_volume_parts(manifest.path)
        load_weights(self._parts.network, manifest.path)
        self._parts.network.to(device).eval()
        self.ladder = Ladder(self._parts.network, device, self._parts.inferer)

    def __call__(self, inputs: Inputs) -> Mapping[str, Raw]:
        """Probability of every mask on the source's slices, (slices, rows, columns); probability of every class.

        Raises
        ------
        SeriesError : ``NOT_A_HEAD`` no brain within a skull, where the bundle asks for one.
        InferenceError : the network failed on this input, or gave values that are not finite.
        """
        manifest, volume = self._manifest, inputs.volume
        assert isinstance(volume, Volume)  # the manifest demands an image
        if manifest.volume is not None and manifest.volume.require_head:
            brain_mask(volume)
        try:
            if manifest.scores:
                return classify(self._parts, volume, manifest.scores, self.ladder)
            return segment(self._parts, volume, manifest.masks, self.ladder)
        except InferenceError as error:
            raise InferenceError(f"{manifest.name}: {error}") from error
