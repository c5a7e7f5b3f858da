"""Runs a bundle on one CT volume: loaded once, kept warm, probabilities back on the source's own slices."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from dicomnode.errors import InferenceError
from dicomnode.records import ModelRef, Volume
from dicomnode.zoo.bundle import BundleManifest, require_fit
from dicomnode.zoo.parts import load_parts, load_weights
from dicomnode.zoo.plain import head_of, on_slices
from dicomnode.zoo.registry import RegisteredBundle


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
        self._parts = load_parts(bundle.manifest.path)
        load_weights(self._parts.network, bundle.manifest.path)
        self._parts.network.to(self.device).eval()

    def run(self, volume: Volume) -> dict[str, NDArray[np.float32]]:
        """Probability of every output of the bundle.

        Returns
        -------
        Output name -> (slices, rows, columns) float32 in [0, 1], in stack order on the source grid; 0 outside the
        intracranial space. A voxel belongs to the finding where it exceeds the output's threshold.

        Raises
        ------
        SeriesError : ``NOT_A_HEAD`` no brain within a skull, ``NOT_AXIAL``, ``OUTSIDE_INTENDED_USE`` the geometry lies
            outside the manifest's limits.
        InferenceError : the network failed on this input or gave values that are not finite.
        """
        require_fit(self.manifest, volume.stack)
        head, image = head_of(volume, self._parts.plane_size, self._parts.plane_pixel_mm)
        probabilities = self._infer(image)
        return {
            output.name: on_slices(probabilities[index], head) for index, output in enumerate(self.manifest.outputs)
        }

    def _infer(self, image: torch.Tensor) -> torch.Tensor:
        """(outputs, slices, size, size) probabilities on the CPU, from HU (3, slices, size, size)."""
        parts = self._parts
        try:
            with torch.inference_mode():
                prepared = torch.as_tensor(parts.preprocessing({"image": image})["image"])
                logits = parts.inferer(prepared[None].to(self.device), parts.network)[0]
                result = torch.as_tensor(parts.postprocessing({"pred": logits, "hu": image})["pred"]).float().cpu()
        except (RuntimeError, ValueError) as error:
            raise InferenceError(f"{self.manifest.name}: {error}") from error
        if not bool(torch.isfinite(result).all()):
            raise InferenceError(f"{self.manifest.name}: the output holds values that are not finite")
        return result
