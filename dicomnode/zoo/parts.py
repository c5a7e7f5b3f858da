"""What a bundle's ``configs/inference.json`` describes, built by MONAI's own parser."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from safetensors.torch import load_file

from dicomnode.errors import BundleError

CONFIG = Path("configs/inference.json")
WEIGHTS = Path("models/model.safetensors")


@dataclass(frozen=True, kw_only=True)
class BundleParts:
    """The working parts of a slice-wise bundle.

    Attributes
    ----------
    preprocessing : {"image": (3, slices, size, size) HU} -> {"image": (channels, slices, size, size)}.
    inferer : (input (1, channels, slices, size, size), network) -> (1, outputs, slices, size, size).
    postprocessing : {"pred": (outputs, slices, size, size) logits, "hu": (3, slices, size, size)} -> "pred" as
        probabilities. Both it and the preprocessing see some planes of an exam at a time.
    plane_size, plane_pixel_mm : of the planes the network reads.
    calibration : {"image": HU of the whole exam} -> the same with the scanner's error taken out, before preprocessing;
        a bundle need not have one.
    """

    network: torch.nn.Module
    preprocessing: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    inferer: Callable[..., Any]
    postprocessing: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    plane_size: int
    plane_pixel_mm: float
    calibration: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict


def load_parts(bundle: Path) -> BundleParts:
    """Build the parts of a bundle, without weights.

    Raises
    ------
    BundleError : the configuration is missing, or MONAI cannot build what it says.
    """
    parser = ConfigParser()
    try:
        parser.read_config(str(bundle / CONFIG))
        parser.parse()
        return BundleParts(
            network=parser.get_parsed_content("network_def"),
            preprocessing=parser.get_parsed_content("preprocessing"),
            inferer=parser.get_parsed_content("inferer"),
            postprocessing=parser.get_parsed_content("postprocessing"),
            plane_size=int(parser.get_parsed_content("plane_size")),
            plane_pixel_mm=float(parser.get_parsed_content("plane_pixel_mm")),
            calibration=parser.get_parsed_content("calibration") if "calibration" in parser.get() else dict,
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError) as error:
        raise BundleError(f"{bundle.parent.name}: {CONFIG} cannot be built: {error}") from error


def load_weights(network: torch.nn.Module, bundle: Path) -> None:
    """Load the weights in place (any float type on disk, the network's own in memory).

    Raises
    ------
    BundleError : the file is missing, damaged or does not fit the network.
    """
    try:
        network.load_state_dict(load_file(bundle / WEIGHTS))
    except (OSError, ValueError, RuntimeError) as error:
        raise BundleError(f"{bundle.parent.name}: {WEIGHTS} cannot be loaded: {error}") from error
    except Exception as error:
        # safetensors raises a type of its own that derives from Exception only
        if type(error).__name__ != "SafetensorError":
            raise
        raise BundleError(f"{bundle.parent.name}: {WEIGHTS} is damaged: {error}") from error
