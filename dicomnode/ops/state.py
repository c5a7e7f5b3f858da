"""What a running node tells of itself to those who watch it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class BreakerState:
    """A destination as its sender sees it. ``failures``: in a row; ``is_open``: it is left alone for now."""

    destination: str
    is_open: bool
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """A running node now.

    Attributes
    ----------
    receives, works : None where this node's role does not.
    worker_fault : why no worker can start; empty while one can.
    has_failed : a part died: the node is about to stop.
    selftests : model -> whether its last selftest passed, and what it said.
    config_fault : why the file of the configuration was not taken over; empty while it was.
    """

    role: str
    receives: bool | None
    works: bool | None
    worker_fault: str
    has_failed: bool
    breakers: tuple[BreakerState, ...]
    config_fault: str = ""
    selftests: Mapping[str, tuple[bool, str]] = field(default_factory=dict)


StateOf = Callable[[], NodeState]
