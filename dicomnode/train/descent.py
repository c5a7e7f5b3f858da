"""The loop by which small networks learn: one loss after the other, its rate going up and down once."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

import torch


def descend(
    optimiser: torch.optim.Optimizer,
    losses: Iterable[torch.Tensor],
    steps: int,
    *,
    warm_up: float = 0.3,
    clip_norm: float | None = None,
) -> None:
    """Follow losses down.

    Parameters
    ----------
    optimiser : its rate is the highest that is reached.
    losses : ``steps`` of them, each computed when it is asked for.
    warm_up : share of the steps in which the rate goes up.
    clip_norm : largest norm of the gradient; None: any.
    """
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=optimiser.defaults["lr"], total_steps=steps, pct_start=warm_up
    )
    weights = list(chain.from_iterable(group["params"] for group in optimiser.param_groups))
    for loss in losses:
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(weights, clip_norm)
        optimiser.step()
        schedule.step()
