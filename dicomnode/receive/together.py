"""What has come to a queue, taken together: nobody waits for a group to fill, and nobody is served one by one."""

from __future__ import annotations

import queue
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

Waiting = queue.SimpleQueue[T | None]
"""None: the last has come."""


def taken_together(waiting: Waiting[T], first: T, most: int) -> tuple[list[T], bool]:
    """``first`` and what has come since, ``most`` at a time; and whether more may come."""
    group = [first]
    with suppress(queue.Empty):
        while len(group) < most:
            following = waiting.get_nowait()
            if following is None:
                return group, False
            group.append(following)
    return group, True
