"""DeepMedic over a box of a volume: every voxel judged once, as if block by block.

The published tool cuts blocks, each with its whole margin, and computes most voxels many times over. Here the coarse
paths run once over the whole box, and the fine one in tiles that fit the processor's caches, only where an answer is
wanted: slices of 5 mm ask one plane of cubes in five, and the last layers are computed on those planes alone. The
joining layers see the wanted voxels and no others. Blocks start at multiples of the scales from voxel 0, and the edge
of the volume goes on outside it: the answer is that of the tool but for rounding.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import torch

from dicomnode.zoo.networks.deepmedic import DeepMedic, PreActivated, activated

Box = tuple[slice, slice, slice]
Progress = Callable[[int, int, int], None]
"""Told of every tile that is done: which network (from 0), tiles done of this network, tiles of each network."""
TILE = 45
"""Edge of a tile in voxels. Smaller ones compute more margin, larger ones leave the caches (measured on two cores)."""
TOGETHER = 8192
"""Voxels that go through the joining layers at a time: these are wide."""


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
    wanted : (z, y, x) bool of the size of ``image``: only its voxels get an answer. None means all of the box.
    tile : edge in voxels.
    progress : who is told how far it is.

    Returns
    -------
    (classes, z, y, x) float32 of the size of ``box``; 0 where nothing is wanted.
    """
    asked = torch.ones(image.shape, dtype=torch.bool, device=image.device) if wanted is None else wanted
    result = torch.zeros(networks[0].classes, *(side.stop - side.start for side in box), device=image.device)
    tiles = list(_tiles(box, tile, asked))
    for number, network in enumerate(networks):
        coarse = [_maps(network, path, image, box) for path in range(len(network.scales) - 1)]
        for done, place in enumerate(tiles, start=1):
            here, voxels = asked[place], asked[place].nonzero()
            parts = [_fine_maps(network, image, place, here.any(dim=2).any(dim=1))[tuple(voxels.T)]]
            for scale, maps in reversed(list(zip(network.scales, coarse, strict=False))):
                parts.insert(0, maps[tuple(_on_coarse(voxels, place, box, scale).T)])
            shares = torch.softmax(_joined(network, parts), dim=1) / len(networks)
            result[:, *_moved(place, box)][:, here] += shares.T
            if progress is not None:
                progress(number, done, len(tiles))
    return result


def _moved(box: Box, origin: Box) -> Box:
    z, y, x = (slice(a.start - o.start, a.stop - o.start) for a, o in zip(box, origin, strict=True))
    return z, y, x


def _tiles(box: Box, edge: int, asked: torch.Tensor) -> Iterator[Box]:
    """Tiles that hold an asked voxel, each as tight around those as can be."""
    starts = (range(side.start, side.stop, edge) for side in box)
    for corner in itertools.product(*starts):
        z, y, x = (slice(a, min(a + edge, side.stop)) for a, side in zip(corner, box, strict=True))
        if (found := asked[z, y, x].nonzero()).numel():
            first, last = found.amin(0).tolist(), found.amax(0).tolist()
            z, y, x = (slice(a + low, a + high + 1) for a, low, high in zip(corner, first, last, strict=True))
            yield z, y, x


def _on_coarse(voxels: torch.Tensor, place: Box, box: Box, scale: int) -> torch.Tensor:
    """(voxels, 3) where voxels of a tile lie on the maps of a coarse path over the box."""
    starts = voxels.new_tensor([side.start for side in place])
    firsts = voxels.new_tensor([side.start // scale for side in box])
    return (voxels + starts) // scale - firsts


def _seen(network: DeepMedic, path: int, image: torch.Tensor, box: Box) -> torch.Tensor:
    """(1, 1, z, y, x) what one path reads for a box: its own voxels, and those around them."""
    scale, reach = network.scales[path], network.reach
    picked = []
    for side, size in zip(box, image.shape, strict=True):
        index = torch.arange(side.start // scale - reach, -(-side.stop // scale) + reach) * scale + scale // 2
        picked.append(index.clamp(0, size - 1))
    z, y, x = picked
    return image[z[:, None, None], y[:, None], x][None, None].to(memory_format=torch.channels_last_3d)


def _maps(network: DeepMedic, path: int, image: torch.Tensor, box: Box) -> torch.Tensor:
    """(z, y, x, maps) of one path, on its own voxels in a box."""
    return _voxels(network.paths[path](_seen(network, path, image, box)))


def _fine_maps(network: DeepMedic, image: torch.Tensor, place: Box, planes: torch.Tensor) -> torch.Tensor:
    """(z, y, x, maps) of the fine path; only what some planes of a tile need is computed, the rest is undefined.

    Parameters
    ----------
    planes : (z,) bool, those of the tile that need an answer.
    """
    maps = _seen(network, len(network.paths) - 1, image, place)
    needed = torch.nn.functional.pad(planes, (network.reach,) * 2)
    for layer in network.paths[-1].children():
        # of what a layer gives only what the layers after it look at
        following = (maps.shape[2] - len(planes)) // 2 - 1
        given = _grown(needed, following)[1:-1]
        maps, needed = _on_planes(layer, maps, given), needed[1:-1]
    return _voxels(maps)


def _grown(planes: torch.Tensor, reach: int) -> torch.Tensor:
    """(z,) bool: those planes, and ``reach`` on each side."""
    spread = torch.nn.functional.max_pool1d(planes[None].float(), 2 * reach + 1, 1, reach)
    return spread[0] > 0.0


def _on_planes(layer: torch.nn.Module, maps: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
    """What a layer of 3 x 3 x 3 gives on some planes, run by run."""
    if bool(given.all()):
        whole: torch.Tensor = layer(maps)
        return whole
    result: torch.Tensor | None = None
    for first, last in _runs(given):
        found = layer(maps[:, :, first : last + 2])
        if result is None:
            size = (*found.shape[:2], len(given), *found.shape[3:])
            result = torch.empty(size, device=found.device, memory_format=torch.channels_last_3d)
        result[:, :, first:last] = found
    assert result is not None  # a tile has planes that need an answer
    return result


def _runs(given: torch.Tensor) -> Iterator[tuple[int, int]]:
    """First and last plus one of the planes that follow each other."""
    flags = given.tolist()
    for needed, group in itertools.groupby(range(len(flags)), flags.__getitem__):
        if needed:
            places = list(group)
            yield places[0], places[-1] + 1


def _voxels(maps: torch.Tensor) -> torch.Tensor:
    """(1, maps, z, y, x) -> (z, y, x, maps)."""
    return maps[0].permute(1, 2, 3, 0)


def _joined(network: DeepMedic, parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """(voxels, classes) logits from what each path found at some voxels, (voxels, maps) each."""
    found = []
    for values in torch.split(torch.cat(list(parts), dim=1), TOGETHER):
        for layer in network.joining:
            values = _of_layer(layer, values)
        found.append(values)
    return torch.cat(found)


def _of_layer(layer: PreActivated, values: torch.Tensor) -> torch.Tensor:
    """A layer of 1 x 1 x 1 is a product of matrices: (voxels, inputs) -> (voxels, outputs)."""
    scale, shift = layer.scale_and_shift()
    scaled = activated(torch.addcmul(shift, values, scale), layer.activation)
    result = torch.nn.functional.linear(scaled, layer.conv.weight[:, :, 0, 0, 0])
    return result.add_(values) if layer.adds else result
