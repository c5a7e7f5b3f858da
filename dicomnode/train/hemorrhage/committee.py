"""The two networks that ship together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from dicomnode.train.hemorrhage.recipes import SEATS, fast_recipe
from dicomnode.train.slices.recipes import Recipe
from dicomnode.zoo.hemorrhage.committee import seated


def committee(members: Sequence[Path], target: Path, recipe: Callable[[], Recipe] = fast_recipe) -> torch.nn.Module:
    """Write the weights of a committee as float16; a single member takes every seat.

    Parameters
    ----------
    recipe : of its members.

    Returns
    -------
    The network as the node runs it, with these weights.
    """
    states = [load_file(member) for member in islice(cycle(members), SEATS)]
    state = {name: value.half() if value.is_floating_point() else value for name, value in seated(states).items()}
    save_file({name: value.contiguous() for name, value in state.items()}, target)
    network = recipe().bundled()
    network.load_state_dict(load_file(target))
    return network
