"""Ways to have a network answer sooner, each laid over the modules that a bundle calls from outside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

Way = Callable[[nn.Module], None]


@contextmanager
def entrances(network: nn.Module) -> Iterator[list[nn.Module]]:
    """Which modules of a network are called within the block by none of its others."""
    found: list[nn.Module] = []
    depth = [0]

    def enter(module: nn.Module, _: Any) -> None:
        if depth[0] == 0 and module not in found:
            found.append(module)
        depth[0] += 1

    def leave(*_: Any) -> None:
        depth[0] -= 1

    hooks = [module.register_forward_pre_hook(enter) for module in network.modules()]
    hooks += [module.register_forward_hook(leave, always_call=True) for module in network.modules()]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def eager(_: nn.Module) -> None:
    """As it is."""


def channels_last(module: nn.Module) -> None:
    """Weights of convolutions with the channels of a voxel side by side: what they give lies so, too."""
    dimensions = {parameter.ndim for parameter in module.parameters()}
    if 5 in dimensions:
        module.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    elif 4 in dimensions:
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def bf16(module: nn.Module) -> None:
    """Convolutions and products of matrices in bfloat16; what they come to in float32."""
    inner = module.forward

    def forward(*inputs: Any, **named: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            return _as_floats(inner(*inputs, **named))

    module.forward = forward


def bf16_channels_last(module: nn.Module) -> None:
    """Both."""
    channels_last(module)
    bf16(module)


def frozen(module: nn.Module) -> None:
    """Traced for each shape that comes, weights as constants, neighbouring steps fused (``torch.jit.freeze``)."""
    inner, traced = module.forward, dict[tuple[Any, ...], Any]()

    def forward(*inputs: Any) -> Any:
        shapes = tuple(tuple(one.shape) for one in inputs)
        if shapes not in traced:
            module.forward = inner
            try:
                traced[shapes] = torch.jit.freeze(torch.jit.trace(module, inputs, check_trace=False))
            finally:
                module.forward = forward
        return traced[shapes](*inputs)

    module.forward = forward


def compiled(module: nn.Module) -> None:
    """``torch.compile``: C++ made for this processor, anew for each shape; needs a C++ compiler on the machine."""
    # Not the module, whose hooks would be compiled as well.
    module.forward = torch.compile(module.forward, dynamic=False)


def _as_floats(said: Any) -> Any:
    if isinstance(said, torch.Tensor):
        return said.float() if said.dtype == torch.bfloat16 else said
    if isinstance(said, tuple):
        floats = [_as_floats(one) for one in said]
        return type(said)(*floats) if hasattr(said, "_fields") else tuple(floats)
    return [_as_floats(one) for one in said] if isinstance(said, list) else said


AS_THE_NODE = "as the node runs it"
"""With ``[execution] precision = "auto"``; laid over by the runner itself."""
WAYS: dict[str, Way] = {
    "eager, float32": eager,
    AS_THE_NODE: eager,
    "channels last": channels_last,
    "bfloat16": bf16,
    "bfloat16, channels last": bf16_channels_last,
    "frozen trace": frozen,
    "torch.compile": compiled,
}
