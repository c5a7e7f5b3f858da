"""GradNorm: the weights of two tasks, so that both pull at what they share as hard, and learn as fast.

Reference: Chen et al., ICML 2018: ``G_i = ||grad_W w_i L_i||``, ``r_i = (L_i / L_i(0)) / mean``; the weights move
against ``sum_i |G_i - mean(G) r_i^alpha|``, the target held fixed, and are scaled to sum to the number of tasks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

ALPHA, RATE = 1.5, 0.025
EVERY = 4
"""Steps after which the weights are looked at again: each look takes as long as a step of the network."""
LEAST = 0.05
"""No weight falls below: a task that is left alone for good is no task."""


class GradNorm(nn.Module):
    """Weights of tasks; they lie in buffers, so that a training that is taken up again knows them.

    Parameters
    ----------
    tasks : how many.
    """

    weights: torch.Tensor
    first: torch.Tensor
    steps: torch.Tensor

    def __init__(self, tasks: int) -> None:
        super().__init__()
        self.register_buffer("weights", torch.ones(tasks))
        self.register_buffer("first", torch.zeros(tasks))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def forward(self, losses: Sequence[torch.Tensor], shared: nn.Parameter) -> torch.Tensor:
        """The weighted sum of the losses; the weights move every few calls, where gradients are asked for.

        Parameters
        ----------
        shared : weights of the last layer that all tasks go through.
        """
        if torch.is_grad_enabled() and len(losses) > 1:
            if int(self.steps) % EVERY == 0:
                self._step(losses, shared)
            self.steps += 1
        return torch.stack([weight * loss for weight, loss in zip(self.weights, losses, strict=True)]).sum()

    def _step(self, losses: Sequence[torch.Tensor], shared: nn.Parameter) -> None:
        now = torch.stack([loss.detach() for loss in losses]).clamp(min=1e-8)
        if not bool(self.first.any()):
            self.first.copy_(now)
        norms = torch.stack([torch.autograd.grad(loss, shared, retain_graph=True)[0].norm() for loss in losses])
        pulls, pace = self.weights * norms, now / self.first
        wanted = pulls.mean() * (pace / pace.mean()) ** ALPHA
        # |G_i - wanted| falls with w_i by the norm of the gradient of L_i; scaled, so that the unit of losses is free
        moved = self.weights - RATE * torch.sign(pulls - wanted) * norms / norms.mean().clamp(min=1e-12)
        moved = moved.clamp(min=LEAST)
        self.weights.copy_(moved * len(losses) / moved.sum())
