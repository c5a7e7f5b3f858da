"""``dicomnode serve``: a node until a signal ends it, and its configuration read again at SIGHUP."""

from __future__ import annotations

import logging
import signal
import threading
from pathlib import Path

from dicomnode.app.draining import DRAIN_SIGNAL
from dicomnode.app.node import Node
from dicomnode.app.role import Role
from dicomnode.app.watching import NewWatcher
from dicomnode.config.changes import changes
from dicomnode.config.load import load_config
from dicomnode.config.secrets import open_password
from dicomnode.config.whole import Config
from dicomnode.environment import said_by
from dicomnode.errors import ConfigError, NodeError
from dicomnode.logs import change_level
from dicomnode.ops.permissions import private_files

log = logging.getLogger(__name__)

NOT_TAKEN_OVER = "configuration not taken over, the node goes on with the former one"


def serve(config: Config, role: Role, new_watcher: NewWatcher | None = None, *, file: Path | None = None) -> int:
    """Run a node until SIGTERM or SIGINT, or until it is drained after SIGUSR1; returns the exit code.

    Parameters
    ----------
    file : what SIGHUP reads again; None: SIGHUP does nothing.

    Raises
    ------
    ConfigError, EnvironmentFault : see :meth:`Node.start`.
    """
    if file is not None and (fault := open_password(file)):
        log.warning("the configuration is open to other users of this machine", extra={"reason": fault})
    node = Node(config, role, new_watcher)
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: node.request_stop())
    signal.signal(DRAIN_SIGNAL, lambda *_: node.request_drain())
    # Also while the node starts: without a handler SIGHUP would end it.
    signal.signal(signal.SIGHUP, lambda *_: asked.set())
    with private_files(), node:
        node.wait(asked, lambda: None if file is None else read_again(node, file))
    return 1 if node.failed.is_set() else 0


def read_again(node: Node, file: Path) -> None:
    """Have a node go by its file as it is now; one that is wrong, or needs a restart, changes nothing and is told."""
    try:
        config = load_config(file)
        found = changes(node.config, config)
        if fixed := [change.key for change in found if change.needs_restart]:
            raise ConfigError([f"{key}: needs a restart" for key in fixed])
        node.reload(config)
    except (NodeError, OSError) as fault:
        # Not in the message to people: a fault may quote what stands in the file.
        node.config_fault = "the file is wrong, or what changed in it needs a restart: the log says what"
        facts = {"action": "reload", "reason": said_by(fault) if isinstance(fault, OSError) else str(fault)}
        log.error(NOT_TAKEN_OVER, extra=facts)
        return
    node.config_fault = ""
    change_level(config.operations)
    log.info("configuration taken over", extra={"action": "reload", "changes": [str(change) for change in found]})
