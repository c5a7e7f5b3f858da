"""Connecting to a Ray cluster, and what is said where that fails. Nothing is sent home, nothing is installed there."""

from __future__ import annotations

import logging
import os
import re
import socket
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError

import dicomnode
from dicomnode.errors import EnvironmentFault

CONNECT_S = 5.0
GRACE_S = "5"
"""For a connection of Ray Client that was cut; Ray's own default is 30."""
NAMESPACE = "dicomnode"
WHERE = "[execution.ray] address is ray://HOST:10001, or HOST:6379 on a machine where 'ray start' has run"


@dataclass(frozen=True, slots=True)
class ClusterNode:
    """A machine of the cluster that is alive, and what it has for actors: all of it, not what is free."""

    host: str
    cpus: float
    gpus: float


def connect(address: str) -> None:
    """Connect this process to a cluster; none is started.

    Raises
    ------
    EnvironmentFault : nobody answers, or the cluster's versions of Ray or Python are others; says what to do.
    """
    # before Ray reads it
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # a process that was ended does not come back: its actor is to leave its place
    os.environ.setdefault("RAY_CLIENT_RECONNECT_GRACE_PERIOD", GRACE_S)
    _require_answer(address)
    try:
        ray.init(
            address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False
        )
    except (RayError, OSError, RuntimeError, ValueError) as fault:
        says = (str(fault).strip().splitlines() or [type(fault).__name__])[0]
        raise EnvironmentFault(f"the Ray cluster at {address} cannot be used: {says} ({WHERE})") from fault


def _require_answer(address: str) -> None:
    """Look whether anybody listens: Ray itself waits for minutes, and ends the process then.

    Raises
    ------
    EnvironmentFault : nobody does.
    """
    found = re.fullmatch(r"(?:ray://)?\[?(?P<host>[^\]]+?)\]?:(?P<port>\d+)", address)
    if found is None:
        return
    try:
        socket.create_connection((found["host"], int(found["port"])), timeout=CONNECT_S).close()
    except OSError as fault:
        says = f"no Ray cluster answers at {address} ({fault.strerror or type(fault).__name__}): is it running?"
        raise EnvironmentFault(f"{says} {WHERE}") from fault


def nodes() -> tuple[ClusterNode, ...]:
    """The machines of the cluster that are alive."""
    alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    return tuple(sorted((_node(one) for one in alive), key=lambda node: node.host))


def _node(known: dict[str, Any]) -> ClusterNode:
    has = known["Resources"]
    return ClusterNode(str(known["NodeManagerAddress"]), float(has.get("CPU", 0)), float(has.get("GPU", 0)))


def told(machines: tuple[ClusterNode, ...]) -> str:
    """The machines in words.

    >>> told((ClusterNode("10.0.0.1", 0.0, 0.0), ClusterNode("10.0.0.2", 16.0, 2.0)))
    '10.0.0.1 (0 CPU, 0 GPU), 10.0.0.2 (16 CPU, 2 GPU)'
    """
    return ", ".join(f"{one.host} ({one.cpus:g} CPU, {one.gpus:g} GPU)" for one in machines)


def require_same_version(there: str) -> None:
    """Results are those of one version.

    Raises
    ------
    EnvironmentFault : the cluster has another version of this package.
    """
    if there != dicomnode.__version__:
        says = f"the Ray nodes have dicomnode {there}, this node has {dicomnode.__version__}"
        raise EnvironmentFault(f"{says}: install the same version, or the same image, on both")
