"""Runs a bundle on one patient: loaded once, kept warm. Inputs in, findings out: all that a backend does."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from dicomnode.errors import InferenceError
from dicomnode.records import Finding, Inputs
from dicomnode.zoo.applicability import examine
from dicomnode.zoo.bundle import BundleManifest, require_fit
from dicomnode.zoo.findings import findings_of, not_applicable
from dicomnode.zoo.manifest import Reading
from dicomnode.zoo.precision import Precision
from dicomnode.zoo.reading.contract import LoadedModel, Raw
from dicomnode.zoo.reading.inputs import InputsModel
from dicomnode.zoo.reading.planes import PlanesModel
from dicomnode.zoo.reading.volume import VolumeModel
from dicomnode.zoo.registry import BUILT_IN, RegisteredBundle

_OTHERS: dict[Reading, type[VolumeModel] | type[InputsModel]] = {
    Reading.VOLUME: VolumeModel,
    Reading.INPUTS: InputsModel,
}


class Runner:
    """One bundle on one device.

    Parameters
    ----------
    bundle : from :meth:`Registry.get` or :func:`~dicomnode.zoo.registry.open_bundle`.
    device : such as ``cpu`` or ``cuda:0``.
    threads : of torch on the CPU; None leaves torch's own choice.
    precision : of a built-in bundle that reads planes. ``auto`` changes nothing in others: of bundles that came later
        nobody knows what comes of it, and the networks of our other models take too little of a run to gain by it.

    Raises
    ------
    BundleError : the configuration or the weights are at fault.
    """

    def __init__(
        self,
        bundle: RegisteredBundle,
        device: str = "cpu",
        threads: int | None = None,
        precision: str = Precision.FLOAT32,
    ) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
        self.manifest: BundleManifest = bundle.manifest
        self.model = bundle.model_ref
        self._loaded = _loaded(bundle.manifest, torch.device(device), Precision(precision))

    @property
    def told(self) -> str:
        """What the last run made do with, for want of memory; empty where it had enough."""
        return self._loaded.ladder.told

    def run(self, inputs: Inputs, *, keep_probability: bool = False) -> tuple[Finding, ...]:
        """Every finding that the bundle gives, in the order of its manifest.

        Parameters
        ----------
        keep_probability : masks carry the probability of every voxel, too.

        Returns
        -------
        A ``MaskFinding``, ``ScoreFinding`` or ``ImageFinding`` for each output; ``NotApplicable`` for each where an
        input is missing or the patient lies outside the population.

        Raises
        ------
        SeriesError, InferenceError : as :meth:`outputs`.
        """
        self._loaded.ladder.told = ""
        examined = examine(self.manifest, inputs)
        if examined.reason is not None:
            return not_applicable(self.manifest, self.model, examined)
        raw = self.outputs(inputs)
        return findings_of(self.manifest, self.model, raw, inputs, examined, keep_probability=keep_probability)

    def outputs(self, inputs: Inputs) -> Mapping[str, Raw]:
        """Every output of the bundle by its name, before any threshold.

        Raises
        ------
        SeriesError : ``OUTSIDE_INTENDED_USE`` the geometry lies outside the manifest's limits, ``NOT_A_HEAD`` no brain
            within a skull, ``NOT_AXIAL``, or what the bundle refuses.
        InferenceError : there is no image though the bundle needs one, or the network failed on this input.
        """
        if inputs.volume is not None:
            require_fit(self.manifest, inputs.volume.stack)
        elif self.manifest.needs.image is not None:
            raise InferenceError(f"{self.manifest.name}: needs an image")
        return self._loaded(inputs)


def _loaded(manifest: BundleManifest, device: torch.device, precision: Precision) -> LoadedModel:
    if manifest.reads is Reading.PLANES:
        is_measured = manifest.path.is_relative_to(BUILT_IN) or precision is not Precision.AUTO
        return PlanesModel(manifest, device, precision if is_measured else Precision.FLOAT32)
    return _OTHERS[manifest.reads](manifest, device)
