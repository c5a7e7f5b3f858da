"""What a node says at its start of results that nobody sends."""

from __future__ import annotations

import logging

from dicomnode.config.whole import Config
from dicomnode.store.deliver import holding, outbox
from dicomnode.store.engine import Store

log = logging.getLogger(__name__)


def tell_of_what_waits(store: Store, config: Config) -> None:
    """Say at start which results nobody sends: for destinations that are not configured any more, and held ones."""
    with store.read() as session:
        orphaned = outbox.orphaned(session, [destination.name for destination in config.destination])
        held = holding.count_held(session)
    for name, count in orphaned.items():
        log.error(
            "results wait for a destination that is not configured any more (dicomnode jobs withdraw ends that)",
            extra={"destination": name, "count": count},
        )
    for name, count in held.items():
        message = "results are held until somebody decides (dicomnode jobs held)"
        log.error(message, extra={"destination": name, "count": count})
