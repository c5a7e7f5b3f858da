"""An audit message as XML (DICOM PS3.15 A.5.1, the schema that grew from RFC 3881)."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from xml.etree.ElementTree import Element, SubElement, tostring

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no character for; a peer may send it in an AE title."""
APPLICATION_SERVER = "4"
IP_ADDRESS = "2"


@dataclass(frozen=True, slots=True)
class Code:
    """A coded value: code, meaning, and the scheme (PS3.16)."""

    value: str
    meaning: str
    scheme: str = "DCM"


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """Who took part. ``user``: an AE title, an account, or the name of the node. ``address``: of IP, where known."""

    user: str
    role: Code
    is_requestor: bool = False
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """What it was about (ParticipantObjectIdentification).

    Attributes
    ----------
    type_code, role : tables of A.5.1.2: 1 a person, 2 a system object; 1 a patient, 3 a report, 13 a security resource.
    query : bytes of a query, in place of a name.
    details : what else there is to say, by its type.
    classes : SOP class -> how many instances, of a study.
    """

    uid: str
    kind: Code
    type_code: str
    role: str
    name: str = ""
    query: bytes | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    classes: Mapping[str, int] = field(default_factory=dict)
    accession_number: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One event. ``outcome``: 0 success, 4 minor, 8 serious, 12 major failure. ``at``: seconds since the epoch."""

    event: Code
    action: str
    at: float
    participants: Sequence[Participant]
    types: Sequence[Code] = ()
    outcome: int = 0
    says: str = ""
    things: Sequence[Thing] = ()


def xml_of(event: AuditEvent, *, source: str, site: str) -> str:
    """The message.

    Parameters
    ----------
    source, site : AuditSourceID and AuditEnterpriseSiteID; an empty site is left out.
    """
    root = Element("AuditMessage")
    _identify(root, event)
    for participant in event.participants:
        _participant(root, participant)
    of = _put(root, "AuditSourceIdentification", AuditEnterpriseSiteID=site, AuditSourceID=source)
    SubElement(of, "AuditSourceTypeCode", {"csd-code": APPLICATION_SERVER})
    for thing in event.things:
        _thing(root, thing)
    return tostring(root, encoding="unicode")


def _identify(root: Element, event: AuditEvent) -> None:
    at = datetime.fromtimestamp(event.at, UTC).isoformat(timespec="milliseconds")
    outcome = str(event.outcome)
    about = _put(
        root, "EventIdentification", EventActionCode=event.action, EventDateTime=at, EventOutcomeIndicator=outcome
    )
    _code(about, "EventID", event.event)
    for kind in event.types:
        _code(about, "EventTypeCode", kind)
    if event.says:
        SubElement(about, "EventOutcomeDescription").text = _clean(event.says)


def _participant(root: Element, one: Participant) -> None:
    is_requestor = "true" if one.is_requestor else "false"
    made = _put(root, "ActiveParticipant", UserIsRequestor=is_requestor)
    made.set("UserID", _clean(one.user))
    if one.address:
        made.set("NetworkAccessPointID", _clean(one.address))
        made.set("NetworkAccessPointTypeCode", IP_ADDRESS)
    _code(made, "RoleIDCode", one.role)


def _thing(root: Element, thing: Thing) -> None:
    made = _put(
        root,
        "ParticipantObjectIdentification",
        ParticipantObjectTypeCode=thing.type_code,
        ParticipantObjectTypeCodeRole=thing.role,
    )
    made.set("ParticipantObjectID", _clean(thing.uid))
    _code(made, "ParticipantObjectIDTypeCode", thing.kind)
    if thing.query is None:
        SubElement(made, "ParticipantObjectName").text = _clean(thing.name or thing.uid)
    else:
        SubElement(made, "ParticipantObjectQuery").text = base64.b64encode(thing.query).decode("ascii")
    for kind, value in thing.details.items():
        encoded = base64.b64encode(value.encode("utf-8")).decode("ascii")
        SubElement(made, "ParticipantObjectDetail", {"type": kind, "value": encoded})
    if thing.classes or thing.accession_number:
        _describe(SubElement(made, "ParticipantObjectDescription"), thing)


def _describe(made: Element, thing: Thing) -> None:
    if thing.accession_number:
        _put(made, "Accession", Number=thing.accession_number)
    for uid, count in thing.classes.items():
        _put(made, "SOPClass", UID=uid, NumberOfInstances=str(count))


def _code(parent: Element, name: str, code: Code) -> None:
    attributes = {"csd-code": code.value, "codeSystemName": code.scheme, "originalText": code.meaning}
    SubElement(parent, name, attributes)


def _put(parent: Element, name: str, **attributes: str) -> Element:
    return SubElement(parent, name, {key: _clean(value) for key, value in attributes.items() if value})


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("?", text)
