"""A bundle that reads axial planes of the head, each with its neighbours: this project's own way to masks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from dicomnode.errors import InferenceError
from dicomnode.records import Inputs, Volume
from dicomnode.zoo.bundle import BundleManifest
from dicomnode.zoo.ladder import Ladder, Rung
from dicomnode.zoo.parts import load_parts, load_weights
from dicomnode.zoo.plain import Head, head_of, on_slices
from dicomnode.zoo.precision import Precision, quickened

AT_ONCE = 64
"""Planes that are prepared and read together: of a thin-slice exam all at once would take gigabytes. A multiple of what
inferers take as a batch, so that a batch is the same whatever the exam."""


class PlanesModel:
    """One such bundle on one device.

    Raises
    ------
    BundleError : the configuration or the weights are at fault.
    """

    def __init__(
        self, manifest: BundleManifest, device: torch.device, precision: Precision = Precision.FLOAT32
    ) -> None:
        self._manifest = manifest
        self._parts = load_parts(manifest.path)
        load_weights(self._parts.network, manifest.path)
        network = quickened(self._parts.network.to(device).eval(), precision)
        self.ladder = Ladder(network, device, self._parts.inferer)

    def __call__(self, inputs: Inputs) -> Mapping[str, NDArray[np.float32]]:
        """Probability of every output, (slices, rows, columns) in stack order; 0 outside the interior of the skull.

        Raises
        ------
        SeriesError : ``NOT_A_HEAD`` no brain within a skull, ``NOT_AXIAL``.
        InferenceError : the network failed on this input, or gave values that are not finite.
        """
        volume = inputs.volume
        assert isinstance(volume, Volume)  # the manifest demands an image
        try:
            with torch.inference_mode():
                return self.ladder.climb(lambda rung: self._read(volume, rung))
        except (RuntimeError, ValueError) as error:
            raise InferenceError(f"{self._manifest.name}: {error}") from error

    def _read(self, volume: Volume, rung: Rung) -> Mapping[str, NDArray[np.float32]]:
        """From the slices to the slices, all that is computed on one device."""
        head, probabilities = self._probabilities(volume, rung)
        if not bool(torch.isfinite(probabilities).all()):
            raise InferenceError(f"{self._manifest.name}: the output holds values that are not finite")
        every = zip(self._manifest.masks, probabilities, strict=True)
        return {output.name: on_slices(values, head) for output, values in every}

    def _probabilities(self, volume: Volume, rung: Rung) -> tuple[Head, torch.Tensor]:
        """Where the planes lie, and (outputs, slices, size, size) of them."""
        parts = self._parts
        head, hu = head_of(volume, parts.plane_size, parts.plane_pixel_mm, rung.device)
        exam = torch.as_tensor(parts.calibration({"image": hu})["image"])
        some = [slice(first, first + AT_ONCE) for first in range(0, hu.shape[1], AT_ONCE)]
        return head, torch.cat([self._infer(exam[:, few], hu[:, few], rung) for few in some], dim=1)

    def _infer(self, exam: torch.Tensor, hu: torch.Tensor, rung: Rung) -> torch.Tensor:
        """(outputs, slices, size, size) probabilities of some planes (3, slices, size, size), calibrated and as is."""
        prepared = torch.as_tensor(self._parts.preprocessing({"image": exam})["image"])
        # a network may learn more than its bundle gives out: the manifest names the first channels
        logits = self.ladder.infer_on(rung, prepared[None])[0, : len(self._manifest.masks)]
        return torch.as_tensor(self._parts.postprocessing({"pred": logits, "hu": hu})["pred"]).float()
