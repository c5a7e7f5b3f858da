"""The node's port for HL7: what it receives goes to the intake, what that answers goes back."""

from __future__ import annotations

from functools import partial

from dicomnode.clinical.sources.hl7.intake import Intake
from dicomnode.clinical.sources.hl7.rules import WHERE, rules_of
from dicomnode.config.tls import server_context
from dicomnode.config.whole import Config
from dicomnode.receive.mllp.connection import Handler, Peer, Reply
from dicomnode.receive.mllp.framing import Frame
from dicomnode.receive.mllp.listener import MllpListener
from dicomnode.receive.mllp.peers import may_send
from dicomnode.store.engine import Store


def require_hl7(config: Config) -> None:
    """Find what is wrong with the port's configuration before anything is started.

    Raises
    ------
    ConfigError : a certificate that cannot be used, or a character set, variable, section or unit that is not known.
    """
    if config.clinical.hl7.is_on:
        server_context(config.clinical.hl7.tls, f"{WHERE}.tls")
        rules_of(config)


def hl7_listener(config: Config, store: Store) -> MllpListener | None:
    """The listener of a configuration, not started; None where it has none.

    Raises
    ------
    ConfigError : a character set, variable, section or unit that the node does not know.
    """
    hl7 = config.clinical.hl7
    return MllpListener(hl7, hl7_handler(config, store)) if hl7.is_on else None


def hl7_handler(config: Config, store: Store) -> Handler:
    """What takes the messages.

    Raises
    ------
    ConfigError : a character set, variable, section or unit that the node does not know.
    """
    hl7 = config.clinical.hl7
    intake = Intake(store, rules_of(config))

    def handle(frame: Frame, peer: Peer) -> Reply:
        is_listed = partial(may_send, hl7.senders, peer)
        answer = intake.take(frame.content, peer.address, is_listed, is_whole=frame.is_whole)
        return Reply(answer.content, answer.hangs_up)

    return handle
