"""Where images and messages come in, and what is said where a port cannot be had."""

from __future__ import annotations

from sqlalchemy.exc import SQLAlchemyError

from dicomnode.app.data_folder import folder_fault
from dicomnode.app.hl7 import hl7_listener
from dicomnode.config.whole import Config
from dicomnode.errors import EnvironmentFault
from dicomnode.receive.mllp.listener import MllpListener
from dicomnode.receive.scp import StorageScp
from dicomnode.receive.spool import Spool
from dicomnode.store.engine import Store
from dicomnode.store.opening import database_fault


def open_scp(config: Config, scp: StorageScp, spool: Spool) -> None:
    """Start the SCP over its spool.

    Raises
    ------
    EnvironmentFault : its folder, its port or the database cannot be used.
    """
    try:
        spool.prepare()
    except OSError as fault:
        raise folder_fault(spool.root, fault) from fault
    try:
        scp.start()
    except SQLAlchemyError as fault:
        raise database_fault(config.database_url, fault) from fault
    except OSError as fault:
        where = f"{config.node.host}:{config.node.port}"
        raise EnvironmentFault(f"node.port: cannot listen on {where} ({fault.strerror or fault})") from fault


def opened_hl7(config: Config, store: Store) -> MllpListener | None:
    """The port for HL7; None where the configuration has none.

    Raises
    ------
    ConfigError : a character set, variable, section or unit that the node does not know.
    EnvironmentFault : the port cannot be used.
    """
    listener = hl7_listener(config, store)
    if listener is None:
        return None
    try:
        listener.start()
    except OSError as fault:
        where = f"{config.clinical.hl7.host}:{config.clinical.hl7.port}"
        raise EnvironmentFault(f"clinical.hl7.port: cannot listen on {where} ({fault.strerror or fault})") from fault
    return listener
