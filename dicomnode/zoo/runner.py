"""Runs a bundle on one CT volume: loaded once, kept warm, probabilities back on the source's own slices."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from dicomnode.errors import InferenceError
from dicomnode.records import ModelRef, Volume
from dicomnode.zoo.bundle import BundleManifest, require_fit
from dicomnode.zoo.head_check import brain_mask
from dicomnode.zoo.parts import BundleParts, load_parts, load_weights
from dicomnode.zoo.plain import head_of, on_slices
from dicomnode.zoo.registry import RegisteredBundle
from dicomnode.zoo.volumes import VolumeParts, load_volume_parts, segment


class Runner:
    """One bundle on one device.

    Parameters
    ----------
    bundle : from :meth:`Registry.get` or :func:`~dicomnode.zoo.registry.open_bundle`.
    device : such as ``cpu`` or ``cuda:0``.
    threads : of torch on the CPU; None leaves torch's own choice.

    Raises
    ------
    BundleError : the configuration or the weights are at fault.
    """

    def __init__(self, bundle: RegisteredBundle, device: str = "cpu", threads: int | None = None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
        self.manifest: BundleManifest = bundle.manifest
        self.model: ModelRef = bundle.model_ref
        self.device = torch.device(device)
        path = bundle.manifest.path
        self._parts = load_volume_parts(path) if bundle.manifest.volume is not None else load_parts(path)
        load_weights(self._parts.network, bundle.manifest.path)
        self._parts.network.to(self.device).eval()

    def run(self, volume: Volume) -> dict[str, NDArray[np.float32]]:
        """Probability of every output of the bundle.

        Returns
        -------
        Output name -> (slices, rows, columns) float32 in [0, 1], in stack order on the source grid; 0 outside the
        interior of the skull where the bundle reads planes. A voxel belongs to the finding where it exceeds the
        output's threshold.

        Raises
        ------
        SeriesError : ``NOT_A_HEAD`` no brain within a skull, ``NOT_AXIAL``, ``OUTSIDE_INTENDED_USE`` the geometry lies
            outside the manifest's limits.
        InferenceError : the network failed on this input or gave values that are not finite.
        """
        require_fit(self.manifest, volume.stack)
        if isinstance(self._parts, VolumeParts):
            return self._run_volume(self._parts, volume)
        head, image = head_of(volume, self._parts.plane_size, self._parts.plane_pixel_mm)
        probabilities = self._infer(self._parts, image)
        return {
            output.name: on_slices(probabilities[index], head) for index, output in enumerate(self.manifest.outputs)
        }

    def _run_volume(self, parts: VolumeParts, volume: Volume) -> dict[str, NDArray[np.float32]]:
        if self.manifest.volume is not None and self.manifest.volume.require_head:
            brain_mask(volume)
        try:
            return segment(parts, volume, self.manifest.outputs, self.device)
        except InferenceError as error:
            raise InferenceError(f"{self.manifest.name}: {error}") from error

    def _infer(self, parts: BundleParts, image: torch.Tensor) -> torch.Tensor:
        """(outputs, slices, size, size) probabilities on the CPU, from HU (3, slices, size, size)."""
        try:
            with torch.inference_mode():
                prepared = torch.as_tensor(parts.preprocessing(parts.calibration({"image": image}))["image"])
                # a network may learn more than its bundle gives out: the manifest names the first channels
                logits = parts.inferer(prepared[None].to(self.device), parts.network)[0, : len(self.manifest.outputs)]
                result = torch.as_tensor(parts.postprocessing({"pred": logits, "hu": image})["pred"]).float().cpu()
        except (RuntimeError, ValueError) as error:
            raise InferenceError(f"{self.manifest.name}: {error}") from error
        if not bool(torch.isfinite(result).all()):
            raise InferenceError(f"{self.manifest.name}: the output holds values that are not finite")
        return result
