"""What the node negotiates under a configuration, as acceptor and as requestor; a test tries what is listed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pydicom.uid import RLELossless

from dicomnode.config.destinations import Destination
from dicomnode.config.whole import Config
from dicomnode.deliver.outgoing import NATIVE
from dicomnode.deliver.query import STUDY_ROOT_FIND
from dicomnode.deliver.retrieving import STUDY_ROOT_MOVE
from dicomnode.dicom.commitment import STORAGE_COMMITMENT
from dicomnode.dicom.contexts import STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES, UNCOMPRESSED, VERIFICATION
from dicomnode.kinds import KINDS, Kind, stand_ins


class Role(StrEnum):
    """Of the node, for one SOP class."""

    SCU = "SCU"
    SCP = "SCP"


@dataclass(frozen=True, slots=True)
class Service:
    """A SOP class with the transfer syntaxes that are negotiated for it, and the node's role in it."""

    sop_class_uid: str
    transfer_syntax_uids: tuple[str, ...]
    role: Role


def accepted_services(config: Config) -> list[Service]:
    """What peers may propose: Verification, every Storage SOP class, and reports about storage commitment."""
    services = [Service(VERIFICATION, UNCOMPRESSED, Role.SCP)]
    if any(isinstance(destination, Destination) for destination in config.destination):
        services.append(Service(STORAGE_COMMITMENT, UNCOMPRESSED[:2], Role.SCU))
    return [*services, *(Service(uid, TRANSFER_SYNTAXES, Role.SCP) for uid in STORAGE_SOP_CLASSES)]


def proposed_services(destination: Destination, *, retrieves: bool = False) -> list[Service]:
    """What the node proposes to a destination: C-ECHO, its results, and the questions about them.

    Parameters
    ----------
    retrieves : earlier CTs are asked for there.
    """
    kinds = {one for kind in destination.results for one in (kind, *stand_ins(kind))}
    syntaxes: dict[str, set[str]] = {}
    for kind in kinds:
        syntaxes.setdefault(KINDS[kind].sop_class_uid, set()).update(syntaxes_of(kind))
    services = [Service(VERIFICATION, UNCOMPRESSED, Role.SCU)]
    services += [Service(uid, tuple(sorted(found)), Role.SCU) for uid, found in sorted(syntaxes.items())]
    if destination.identity == "query" or destination.proof != "status" or retrieves:
        services.append(Service(STUDY_ROOT_FIND, NATIVE, Role.SCU))
    if retrieves:
        services.append(Service(STUDY_ROOT_MOVE, NATIVE, Role.SCU))
    if destination.proof == "commitment":
        services.append(Service(STORAGE_COMMITMENT, NATIVE, Role.SCU))
    return services


def syntaxes_of(kind: Kind) -> tuple[str, ...]:
    """Transfer syntaxes in which a kind is sent: its own first, then those that it is transcoded into."""
    return (str(RLELossless), *NATIVE) if kind is Kind.SC else NATIVE
