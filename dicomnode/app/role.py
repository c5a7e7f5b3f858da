"""Which parts of a node run in a process, and what its rows are known by."""

from __future__ import annotations

import socket
from enum import StrEnum

from dicomnode.config.whole import Config


class Role(StrEnum):
    """Which parts run in this process."""

    ALL = "all"
    RECEIVE = "receive"
    WORK = "work"
    DELIVER = "deliver"


def owner_of(config: Config, role: Role) -> str:
    """What the rows of a node are known by, the same after a restart: its name, or where it runs if it has none."""
    place = config.node.name or f"{socket.gethostname()}:{config.node.data_dir.absolute()}"
    return f"{config.node.ae_title}@{place}#{role}"
