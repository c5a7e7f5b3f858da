"""Several files of one SOP instance: the same image sent again, or two images under one UID."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from typing import TypeVar

from dicomnode.errors import Refusal, SeriesError

Item = TypeVar("Item")

UNREADABLE_PIXELS = "unreadable"
"""Stands for the digest of pixels that cannot be decoded."""


def shared(items: Iterable[Item], uid_of: Callable[[Item], str]) -> list[list[Item]]:
    """Groups of more than one item with the same SOP Instance UID, each in the order of ``items``."""
    groups: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        groups[uid_of(item)].append(item)
    return [group for group in groups.values() if len(group) > 1]


def is_one_image(digests: Collection[str]) -> bool:
    """Whether the pixels and geometry of all files of an instance are the same; then the newest counts."""
    return len(set(digests)) == 1 and UNREADABLE_PIXELS not in digests


def refuse_conflicts(uids: Iterable[str]) -> None:
    """What the instances are refused for whose files differ in pixels or geometry.

    Raises
    ------
    SeriesError : ``CONTENT_CONFLICT``, where there are any.
    """
    conflicts = sorted(set(uids))
    if conflicts:
        raise SeriesError(Refusal.CONTENT_CONFLICT, f"{len(conflicts)} instances, first {conflicts[0]}")
