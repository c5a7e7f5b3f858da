"""The two networks that ship together."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from dicomnode.train.hemorrhage.recipes import SEATS, student_recipe
from dicomnode.train.slices.recipes import Recipe
from dicomnode.zoo.hemorrhage.committee import seated

LAST_BIAS = "decide.bias"
"""Of a :class:`~dicomnode.zoo.hemorrhage.full_view.FullView`; the finding that is given out comes first."""


def committee(
    members: Sequence[Path], target: Path, recipe: Callable[[], Recipe] = student_recipe, marked_from: float = 0.5
) -> torch.nn.Module:
    """Write the weights of a committee as float16; a single member takes every seat.

    Parameters
    ----------
    recipe : of its members.
    marked_from : probability of the finding at which a pixel is to be marked; it is moved to 0.5. Only for members of
        :class:`~dicomnode.zoo.hemorrhage.full_view.FullView`.

    Returns
    -------
    The network as the node runs it, with these weights.
    """
    states = [load_file(member) for member in islice(cycle(members), SEATS)]
    if marked_from != 0.5:
        for state in states:
            state[LAST_BIAS][0] -= math.log(marked_from / (1.0 - marked_from))
    state = {name: value.half() if value.is_floating_point() else value for name, value in seated(states).items()}
    save_file({name: value.contiguous() for name, value in state.items()}, target)
    network = recipe().bundled()
    network.load_state_dict(load_file(target))
    return network
