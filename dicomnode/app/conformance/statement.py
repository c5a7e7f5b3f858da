"""The statement as Markdown, in the order of PS3.2 annex A; every table is made from what the node negotiates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pydicom.uid import UID

from dicomnode import __version__
from dicomnode.app.conformance.services import Service, accepted_services, proposed_services
from dicomnode.config.destinations import Destination, WebDestination
from dicomnode.config.whole import Config
from dicomnode.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicomnode.kinds import KINDS
from dicomnode.receive.admission import Rejection
from dicomnode.receive.serving import MAX_PDU_BYTES


def statement(config: Config) -> str:
    """The DICOM conformance statement of a node with this configuration."""
    parts = (_cover(config), _overview(config), _introduction(), _networking(config), _rest(config))
    return "\n".join(line for part in parts for line in part) + "\n"


def _cover(config: Config) -> Iterator[str]:
    yield f"# DICOM Conformance Statement: dicomnode {__version__}"
    yield ""
    yield f"Of the node `{config.node.ae_title}`, generated from its configuration by `dicomnode conformance`."
    yield "Research, not for diagnosis."


def _overview(config: Config) -> Iterator[str]:
    yield from _head(2, "1 Conformance Statement Overview")
    yield "The node receives images, runs models on head CT, and sends results to the destinations that are configured."
    yield "It supports no media interchange."
    yield ""
    rows = [["accepted", *_row(service)] for service in accepted_services(config)]
    for destination in _dimse(config):
        rows += [[f"to {destination.name}", *_row(service)] for service in _proposed(config, destination)]
    yield from _table(["network service", "SOP class", "UID", "role"], rows)


def _row(service: Service) -> list[str]:
    return [_name(service.sop_class_uid), service.sop_class_uid, str(service.role)]


def _introduction() -> Iterator[str]:
    yield from _head(2, "3 Introduction")
    yield "For those who connect the node to scanners, archives and viewers. Conformance alone does not guarantee that"
    yield "two systems work together: `dicomnode check` tries it. Terms are those of DICOM PS3.1 and PS3.7."


def _networking(config: Config) -> Iterator[str]:
    yield from _head(2, "4 Networking")
    yield from _head(3, "4.1 Implementation Model")
    yield "One application entity receives (Storage SCP), and sends by itself what it made of the images (Storage SCU),"
    yield "after it asked whose study it is (Query SCU). A C-STORE is answered with Success when the image is on disk"
    yield "and indexed."
    yield from _head(3, "4.2 AE Specifications")
    yield from _head(4, f"4.2.1 {config.node.ae_title}")
    yield from _policies(config)
    yield from _initiation(config)
    yield from _acceptance(config)
    yield from _head(3, "4.3 Network Interfaces")
    yield f"TCP/IP, IPv4 and IPv6; the node listens on {config.node.host}, port {config.node.port}."
    yield from _head(3, "4.4 Configuration")
    yield "AE titles, addresses and ports of the node and of its peers are configured in `config.toml`:"
    yield ""
    peers = [[one.name, one.ae_title, f"{one.host}:{one.port}", one.proof] for one in _dimse(config)]
    yield from _table(["destination", "AE title", "address", "proof"], peers)
    senders = [[one.ae_title, one.host or "any"] for one in config.sender] or [["any", "any"]]
    yield ""
    yield from _table(["sender", "address"], senders)


def _policies(config: Config) -> Iterator[str]:
    reception = config.reception
    yield ""
    yield from _table(
        ["association policy", "value"],
        [
            ["application context", "1.2.840.10008.3.1.1.1"],
            ["maximum PDU received", f"{MAX_PDU_BYTES} bytes"],
            ["associations accepted at a time", str(reception.max_associations)],
            ["associations initiated at a time", "one to each destination"],
            ["asynchronous operations", "not supported"],
            ["idle association closed after", f"{reception.idle_timeout_s:g} s"],
            ["longest association", f"{reception.max_association_s:g} s"],
            ["implementation class UID", IMPLEMENTATION_CLASS_UID],
            ["implementation version name", IMPLEMENTATION_VERSION_NAME],
        ],
    )


def _initiation(config: Config) -> Iterator[str]:
    yield from _head(5, "4.2.1.3 Association Initiation Policy")
    for destination in _dimse(config):
        yield f"To {destination.name} ({destination.ae_title}): C-ECHO, C-FIND, C-STORE of results and, where"
        yield "configured, N-ACTION of storage commitment. A class that is refused is replaced by another."
        if destination.name == config.priors.destination:
            yield "After a bleed: C-FIND at STUDY level by PatientID and StudyDate, C-FIND at SERIES level, and C-MOVE"
            yield f"of series to {config.node.ae_title}, of CT of the {config.priors.hours_before:g} hours before."
        yield ""
        yield from _contexts(_proposed(config, destination))
        yield ""
    kinds = [[str(kind), row.title, row.sop_class_uid, str(row.made)] for kind, row in KINDS.items()]
    yield from _table(["result", "is", "SOP class", "made"], kinds)
    for web in config.destination:
        if isinstance(web, WebDestination):
            yield ""
            retrieves = ", WADO-RS (10.4) of earlier CTs" if web.name == config.priors.destination else ""
            yield f"To {web.name}: STOW-RS (PS3.18 10.5) and QIDO-RS (10.6){retrieves} at {web.url}."


def _acceptance(config: Config) -> Iterator[str]:
    yield from _head(5, "4.2.1.4 Association Acceptance Policy")
    yield "Of several transfer syntaxes in a presentation context the first in the order of this table is accepted."
    yield "Storage SOP classes that the table does not know are accepted, too, private ones included. Extended"
    yield "negotiation: none. Storage level 2 (full): all attributes are kept as they came; nothing is coerced."
    yield ""
    yield from _contexts(accepted_services(config))
    yield ""
    rejections = [[one.reason.replace("_", " "), *(str(number) for number in one.of_pdu)] for one in Rejection]
    yield from _table(["association rejected", "result", "source", "reason"], rejections)
    yield ""
    statuses = [
        ["0x0000", "the image is on disk and indexed; also one that came before"],
        ["0xA700", "no room, or the database or spool is away: send it again later"],
        ["0xC000", "the data set cannot be stored"],
    ]
    yield from _table(["C-STORE status", "when"], statuses)


def _rest(config: Config) -> Iterator[str]:
    yield from _head(2, "5 Media Interchange")
    yield "None."
    yield from _head(2, "6 Support of Character Sets")
    yield "All character sets of PS3.3 C.12.1.1.2 are read. Results are written in ISO_IR 192."
    yield from _head(2, "7 Security")
    tls = config.reception.tls
    said = "not configured: plain DICOM" if not tls.cert else "TLS 1.2 or newer (BCP 195)"
    asks = ", client certificate required" if tls.cert and tls.require_client_cert else ""
    yield f"Reception: {said}{asks}. "
    for destination in _dimse(config):
        yield f"To {destination.name}: {'TLS 1.2 or newer (BCP 195)' if destination.tls.enabled else 'plain DICOM'}. "
    yield from _head(2, "8 Annexes")
    yield "Results: `docs/results.md` (IODs, coded concepts, contents). The node makes no private SOP classes, transfer"
    yield "syntaxes or attributes."


def _contexts(services: Iterable[Service]) -> Iterator[str]:
    """One row for each SOP class; transfer syntaxes that many classes share are listed once, below."""
    listed = list(services)
    sets = list(dict.fromkeys(service.transfer_syntax_uids for service in listed))
    rows = [[*_row(one), f"T{sets.index(one.transfer_syntax_uids) + 1}"] for one in listed]
    yield from _table(["SOP class", "UID", "role", "transfer syntaxes"], rows)
    yield ""
    syntaxes = [[f"T{i + 1}", _name(uid), uid] for i, uids in enumerate(sets) for uid in uids]
    yield from _table(["set", "transfer syntax", "UID"], syntaxes)


def _proposed(config: Config, destination: Destination) -> list[Service]:
    return proposed_services(destination, retrieves=destination.name == config.priors.destination)


def _dimse(config: Config) -> Sequence[Destination]:
    return [destination for destination in config.destination if isinstance(destination, Destination)]


def _name(uid: str) -> str:
    return str(UID(uid).name)


def _head(level: int, text: str) -> Iterator[str]:
    yield ""
    yield f"{'#' * level} {text}"
    yield ""


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', ' ') for cell in row)} |"
