"""State dictionaries with the names of blast-ct, of networks that are small or answer as they are told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from dicomnode.zoo.networks.deepmedic import DeepMedic, TraumaClass

KINDS = {"norm": "bn", "activation": "prelu", "conv": "conv"}
SMALL = {"scales": (3, 2, 1), "path_maps": (4,), "hidden_maps": (8,)}


def published(network: DeepMedic) -> dict[str, torch.Tensor]:
    """A state dictionary with the names that the authors gave."""
    result = {}
    for name, value in network.state_dict().items():
        part, first, *rest = name.split(".")
        if part == "paths":
            layer, kind, last = rest
            scale = network.scales[int(first)]
            result[f"path({scale}, {scale}, {scale}){first}.path.{int(layer) + 1}.{KINDS[kind]}.{last}"] = value
        else:
            kind, last = rest
            result[f"fully_connected.{first}.{KINDS[kind]}.{last}"] = value
    return result


def random_network(seed: int, **form: tuple[int, ...]) -> DeepMedic:
    """A network of a small form with weights drawn at random."""
    torch.manual_seed(seed)
    return DeepMedic(**{**SMALL, **form})


BLOOD_HU, OEDEMA_HU = (58.0, 76.0), (18.0, 26.0)
"""What :func:`attenuation_network` calls blood, and oedema."""


def attenuation_network(
    blood: TraumaClass = TraumaClass.INTRAPARENCHYMAL,
    ranges_hu: Mapping[TraumaClass, tuple[float, float]] | None = None,
) -> DeepMedic:
    """A network that looks at a voxel's attenuation alone: blood of one kind, oedema, else background.

    A path of one map adds nothing to its input; the joining layers measure how far a voxel lies above their limits.

    Parameters
    ----------
    ranges_hu : what each kind is called at, in place of blood of one kind and oedema.
    """
    told = ranges_hu or {TraumaClass.OEDEMA: OEDEMA_HU, blood: BLOOD_HU}
    network = DeepMedic(scales=(3, 2, 1), path_maps=(1,), hidden_maps=(2 * len(told),))
    for path in network.paths:
        path[0].conv.weight.data.zero_()
    for layer in (*(path[0] for path in network.paths), *network.head):
        layer.activation.weight.data.fill_(1.0)
    _steps_at(network, told)
    return network


def _steps_at(network: DeepMedic, ranges_hu: Mapping[TraumaClass, tuple[float, float]]) -> None:
    """Hidden map k is positive above limit k; a class gains between its two limits."""
    first, last = network.head
    first.conv.weight.data.zero_()
    first.conv.weight.data[:, 2, 0, 0, 0] = 1.0
    last.activation.weight.data.zero_()
    limits_hu = [limit for limits in ranges_hu.values() for limit in limits]
    last.norm.bias.data = -torch.tensor([(hu + 15.0) * 2.0 / 115.0 - 1.0 for hu in limits_hu])
    last.conv.weight.data.zero_()
    # above the lower limit the class rises steeply, above the upper one it falls ten times as fast
    for low, kind in enumerate(ranges_hu):
        last.conv.weight.data[kind, 2 * low : 2 * low + 2, 0, 0, 0] = torch.tensor([200.0, -2000.0])


def write_weights(folder: Path, *networks: DeepMedic, ending: str = ".pt") -> list[Path]:
    """Files as the authors name them."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"model_{number}{ending}" for number in range(1, len(networks) + 1)]
    for file, network in zip(files, networks, strict=True):
        torch.save(published(network), file)
    return files
