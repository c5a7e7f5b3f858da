"""A bundle with code of its own: an object of its configuration takes volume, context and earlier findings.

``configs/inference.json`` has ``network_def``, whose weights are loaded, and ``model_def``: called with the
:class:`~dicomnode.records.Inputs`, it gives every output by name, as in ``contract.Raw``. Where the manifest has a
table ``horizon``, ``model_def`` takes ``horizon_h``: the hours that a configuration may choose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from monai.bundle import ConfigParser

from dicomnode.errors import BundleError, InferenceError
from dicomnode.records import Inputs
from dicomnode.zoo.bundle import BundleManifest
from dicomnode.zoo.ladder import Ladder
from dicomnode.zoo.parts import CONFIG, load_weights
from dicomnode.zoo.reading.contract import Raw


class InputsModel:
    """One such bundle on one device.

    Attributes
    ----------
    model : the bundle's object.

    Raises
    ------
    BundleError : the configuration or the weights are at fault.
    """

    def __init__(self, manifest: BundleManifest, device: torch.device) -> None:
        self._manifest = manifest
        network, self.model = _built(manifest)
        load_weights(network, manifest.path)
        network.to(device).eval()
        self.ladder = Ladder(network, device)

    def __call__(self, inputs: Inputs) -> Mapping[str, Raw]:
        """What the bundle's object gives.

        Raises
        ------
        SeriesError : the images are at fault.
        InferenceError : the network failed on this input.
        """
        try:
            with torch.inference_mode():
                # its object asks the network where it lies
                return self.ladder.climb(lambda _: self.model(inputs))
        except (RuntimeError, ValueError) as error:
            raise InferenceError(f"{self._manifest.name}: {error}") from error


def _built(manifest: BundleManifest) -> tuple[torch.nn.Module, Callable[[Inputs], Mapping[str, Raw]]]:
    parser = ConfigParser()
    try:
        parser.read_config(str(manifest.path / CONFIG))
        parser["bundle_root"] = str(manifest.path)
        if manifest.chosen_h is not None:
            parser["model_def#horizon_h"] = manifest.chosen_h
        parser.parse()
        return parser.get_parsed_content("network_def"), parser.get_parsed_content("model_def")
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError, AttributeError) as error:
        raise BundleError(f"{manifest.name}: {CONFIG} cannot be built: {error}") from error
