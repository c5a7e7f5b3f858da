"""DeepMedic over a box of a volume: every voxel judged once, as if block by block.

The published tool cuts blocks, each with its whole margin, and computes most voxels many times over. Here the coarse
paths run once over the whole box, and the fine one in tiles that fit the processor's caches, only where an answer is
wanted. What the coarse paths give to the first joining layer is computed on their own coarse voxels. Blocks start at
multiples of the scales from voxel 0, and the edge of the volume goes on outside it: the answer is that of the tool but
for rounding.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import torch

from dicomnode.zoo.networks.deepmedic import DeepMedic, PreActivated, activated

Box = tuple[slice, slice, slice]
Progress = Callable[[int, int, int], None]
"""Told of every tile that is done: which network (from 0), tiles done of this network, tiles of each network."""
TILE = 45
"""Edge of a tile in voxels. Smaller ones compute more margin, larger ones leave the caches (measured on two cores)."""


@torch.inference_mode()
def class_probabilities(
    networks: Sequence[DeepMedic],
    image: torch.Tensor,
    box: Box,
    wanted: torch.Tensor | None = None,
    tile: int = TILE,
    progress: Progress | None = None,
) -> torch.Tensor:
    """Mean class probabilities of some networks of one form, in evaluation mode.

    Parameters
    ----------
    image : (z, y, x) float32, the whole volume at 1 mm, :func:`~dicomnode.zoo.networks.deepmedic.normalised`.
    box : of ``image``, without steps.
    wanted : (z, y, x) bool of the size of ``image``: only its voxels need an answer. None means all of the box.
    tile : edge in voxels; rounded up to a multiple of all scales.
    progress : who is told how far it is.

    Returns
    -------
    (classes, z, y, x) float32 of the size of ``box``; all 0 where nothing was computed.

    Raises
    ------
    ValueError : the first joining layer of a network adds its input, which the published one does not.
    """
    if any(network.joining[0].adds for network in networks):
        raise ValueError("a network whose first joining layer adds its input cannot be run densely")
    unit = math.lcm(*networks[0].scales)
    whole = _enlarged(box, unit)
    result = torch.zeros(networks[0].classes, *(side.stop - side.start for side in whole), device=image.device)
    tiles = list(_tiles(whole, -(-tile // unit) * unit, unit, wanted))
    for number, network in enumerate(networks):
        coarse = [_maps(network, k, image, whole) for k in range(len(network.scales) - 1)]
        for done, place in enumerate(tiles, start=1):
            here = _moved(place, whole)
            logits = _logits(network, _maps(network, len(coarse), image, place), coarse, here)
            result[:, *here] += torch.softmax(logits, dim=0) / len(networks)
            if progress is not None:
                progress(number, done, len(tiles))
    return result[:, *_moved(box, whole)]


def _enlarged(box: Box, unit: int) -> Box:
    """The least box of whole units around a box."""
    z, y, x = (slice(side.start // unit * unit, -(-side.stop // unit) * unit) for side in box)
    return z, y, x


def _moved(box: Box, origin: Box) -> Box:
    z, y, x = (slice(a.start - o.start, a.stop - o.start) for a, o in zip(box, origin, strict=True))
    return z, y, x


def _tiles(whole: Box, edge: int, unit: int, wanted: torch.Tensor | None) -> Iterator[Box]:
    """Tiles that hold a wanted voxel, each as tight around those as whole units allow."""
    starts = (range(side.start, side.stop, edge) for side in whole)
    for corner in itertools.product(*starts):
        z, y, x = (slice(a, min(a + edge, side.stop)) for a, side in zip(corner, whole, strict=True))
        if wanted is None:
            yield z, y, x
        elif (found := wanted[z, y, x].nonzero()).numel():
            first, last = found.amin(0).tolist(), found.amax(0).tolist()
            z, y, x = (slice(a + low, a + high + 1) for a, low, high in zip(corner, first, last, strict=True))
            yield _enlarged((z, y, x), unit)


def _maps(network: DeepMedic, path: int, image: torch.Tensor, box: Box) -> torch.Tensor:
    """(1, maps, z, y, x) of one path, on its own voxels in a box of whole ones."""
    scale, reach = network.scales[path], network.reach
    picked = []
    for side, size in zip(box, image.shape, strict=True):
        index = torch.arange(side.start // scale - reach, side.stop // scale + reach) * scale + scale // 2
        picked.append(index.clamp(0, size - 1))
    z, y, x = picked
    seen = image[z[:, None, None], y[:, None], x]
    maps: torch.Tensor = network.paths[path](seen[None, None].to(memory_format=torch.channels_last_3d))
    return maps


def _logits(network: DeepMedic, fine: torch.Tensor, coarse: Sequence[torch.Tensor], place: Box) -> torch.Tensor:
    """(classes, z, y, x) of one tile, from what the paths found there; in slabs, as the joining layers are wide."""
    unit, slabs = math.lcm(*network.scales), []
    for start in range(place[0].start, place[0].stop, unit):
        low = start - place[0].start
        parts = [_voxels(fine[:, :, low : low + unit])]
        for scale, maps in zip(network.scales, coarse, strict=False):
            y, x = (slice(side.start // scale, side.stop // scale) for side in place[1:])
            parts.insert(-1, _voxels(maps[:, :, start // scale : (start + unit) // scale, y, x]))
        values = _joined(network, parts)
        for layer in network.joining[1:]:
            scaled = _sum_of(layer, values, slice(None))
            values = scaled.add_(values) if layer.adds else scaled
        slabs.append(values)
    return torch.cat(slabs).permute(3, 0, 1, 2)


def _voxels(maps: torch.Tensor) -> torch.Tensor:
    """(1, maps, z, y, x) -> (z, y, x, maps): the joining layers are products of matrices."""
    return maps[0].permute(1, 2, 3, 0)


def _joined(network: DeepMedic, parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """What the first joining layer makes of the maps of all paths, without ever enlarging these."""
    layer, first, sums = network.joining[0], 0, []
    for part in parts:
        channels = slice(first, first + part.shape[-1])
        sums.append(_sum_of(layer, part, channels))
        first = channels.stop
    result = sums.pop()
    for scale, share in zip(network.scales, sums, strict=False):
        blocks = [size for n in share.shape[:3] for size in (n, scale)]
        result.view(*blocks, -1).add_(share[:, None, :, None, :, None])
    return result


def _sum_of(layer: PreActivated, values: torch.Tensor, channels: slice) -> torch.Tensor:
    """(..., outputs): the part of a 1 x 1 x 1 layer's sum that some of its input channels give."""
    scale, shift = layer.scale_and_shift()
    scale, shift = scale[channels], shift[channels]
    scaled = activated(torch.addcmul(shift, values, scale), layer.activation)
    return torch.nn.functional.linear(scaled, layer.conv.weight[:, channels, 0, 0, 0])
