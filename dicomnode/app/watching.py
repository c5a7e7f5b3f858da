"""What looks at a node from outside of its work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from dicomnode.config.whole import Config
from dicomnode.ops.state import StateOf


class Watcher(Protocol):
    """A part that looks at the node and that the node does not need, such as its HTTP port."""

    def start(self) -> None:
        """Begin to look."""

    def reload(self, config: Config) -> None:
        """Look by another configuration."""

    def stop(self) -> None:
        """Look no more."""


NewWatcher = Callable[[Config, StateOf], Watcher]
