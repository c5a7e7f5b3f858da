"""``config.toml`` -> frozen models. Every fault is reported at once, with its line; an unknown key is a fault."""

from dicomnode.config.destinations import (
    AnyDestination,
    BaseDestination,
    Destination,
    DestinationTls,
    WebAuth,
    WebDestination,
    WebTls,
)
from dicomnode.config.load import load_config, parse_config
from dicomnode.config.protocols import HEAD_CT, Match, Protocol, Range
from dicomnode.config.sections import PROVISIONAL_NAMES, Database, Node, Operations, Reception, ReceptionTls, Sender
from dicomnode.config.whole import Config, built_in_config, holds_bundles

__all__ = [
    "HEAD_CT",
    "PROVISIONAL_NAMES",
    "AnyDestination",
    "BaseDestination",
    "Config",
    "Database",
    "Destination",
    "DestinationTls",
    "Match",
    "Node",
    "Operations",
    "Protocol",
    "Range",
    "Reception",
    "ReceptionTls",
    "Sender",
    "WebAuth",
    "WebDestination",
    "WebTls",
    "built_in_config",
    "holds_bundles",
    "load_config",
    "parse_config",
]
