"""What happens at a node as audit events (DICOM PS3.15 A.5.3): who, what, of which study, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dicomnode.ops.audit import codes
from dicomnode.ops.audit.message import AuditEvent, Code, Participant, Thing
from dicomnode.store.ops.audit import Deed, Transfer

PERSON, SYSTEM = "1", "2"
PATIENT, REPORT, RESOURCE = "1", "3", "13"
MINOR, SERIOUS = 4, 8
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
SENDS = "claim"


@dataclass(frozen=True, slots=True)
class Who:
    """The node itself. ``ae_title``: what peers know it by."""

    ae_title: str
    process: str

    def as_participant(self, role: Code = codes.APPLICATION, *, is_requestor: bool = False) -> Participant:
        """The node, in a role."""
        return Participant(user=self.ae_title, role=role, is_requestor=is_requestor)


def application(node: Who, at: float, *, starts: bool) -> AuditEvent:
    """The node started, or stops (A.5.3.1)."""
    kind = codes.START if starts else codes.STOP
    participants = [node.as_participant(is_requestor=True)]
    return AuditEvent(event=codes.APPLICATION_ACTIVITY, types=[kind], action="E", at=at, participants=participants)


def rejected(node: Who, at: float, *, calling_ae: str, address: str, reason: str, times: int) -> AuditEvent:
    """An association was rejected (A.5.3.11: a node that failed to authenticate)."""
    peer = Participant(user=calling_ae or "unknown", role=codes.SOURCE, is_requestor=True, address=address)
    thing = Thing(
        uid=address or "unknown",
        kind=codes.NODE_ID,
        type_code=SYSTEM,
        role=RESOURCE,
        details={"Alert Description": f"association rejected: {reason}", "Times": str(times)},
    )
    return AuditEvent(
        event=codes.SECURITY_ALERT,
        types=[codes.NODE_AUTHENTICATION],
        action="E",
        at=at,
        outcome=MINOR,
        participants=[peer, node.as_participant(codes.DESTINATION)],
        things=[thing],
        says=reason,
    )


def transferred(node: Who, one: Transfer, patient_id: str) -> AuditEvent:
    """Instances are about to come or to be sent, or have (A.5.3.3, A.5.3.7)."""
    peer_role = codes.SOURCE if one.is_incoming else codes.DESTINATION
    own_role = codes.DESTINATION if one.is_incoming else codes.SOURCE
    peer = Participant(user=one.peer, role=peer_role, is_requestor=one.is_incoming, address=one.address)
    failed = one.is_over and one.outcome in ("aborted", "lost")
    return AuditEvent(
        event=codes.TRANSFERRED if one.is_over else codes.BEGIN_TRANSFERRING,
        action=("C" if one.is_incoming else "R") if one.is_over else "E",
        at=one.at,
        outcome=MINOR if failed else 0,
        participants=[peer, node.as_participant(own_role, is_requestor=not one.is_incoming)],
        things=[*patient(patient_id), study(one)],
        says=f"association {one.outcome}" if failed else "",
    )


def study(one: Transfer) -> Thing:
    """The study of a transfer, with how many instances of which class."""
    return Thing(
        uid=one.study_uid,
        kind=codes.STUDY,
        type_code=SYSTEM,
        role=REPORT,
        classes=one.classes,
        accession_number=one.accession_number,
    )


def patient(patient_id: str) -> Sequence[Thing]:
    """Whose it is; nobody where no ID may be told, or none is known."""
    kind = codes.PATIENT_NUMBER
    return [Thing(uid=patient_id, kind=kind, type_code=PERSON, role=PATIENT)] if patient_id else []


def queried(node: Who, at: float, *, destination: str, level: str, keys: Sequence[str]) -> AuditEvent:
    """The node asked a destination what it has (A.5.3.10). The keys stand in the query as text."""
    thing = Thing(
        uid=STUDY_ROOT_FIND,
        kind=codes.SOP_CLASS,
        type_code=SYSTEM,
        role=REPORT,
        query="\n".join(keys).encode("utf-8"),
        details={"QueryRetrieveLevel": level},
    )
    asked = Participant(user=destination, role=codes.DESTINATION)
    participants = [node.as_participant(codes.SOURCE, is_requestor=True), asked]
    return AuditEvent(event=codes.QUERY, action="E", at=at, participants=participants, things=[thing])


def login(node: Who, at: float, *, did: str, user: str, address: str, outcome: str) -> AuditEvent:
    """Somebody logged in to the status page, tried to, or logged out (A.5.3.12)."""
    kind = codes.LOGOUT if did == "logout" else codes.LOGIN
    weight = {"ok": 0, "refused": MINOR}.get(outcome, SERIOUS)
    who = Participant(user=user, role=codes.USER, is_requestor=True, address=address)
    return AuditEvent(
        event=codes.USER_AUTHENTICATION,
        types=[kind],
        action="E",
        at=at,
        outcome=weight,
        participants=[who, node.as_participant()],
        says="" if outcome == "ok" else outcome,
    )


_MOVES = {
    "export": (codes.EXPORT, "R", codes.SOURCE),
    "backup": (codes.EXPORT, "R", codes.SOURCE),
    "restore": (codes.IMPORT, "C", codes.DESTINATION),
}
"""What operators do that puts patients into a file which leaves the node, or takes them from one: event, action and
the part of the node in it."""
_CONFIGURES = frozenset({"import"})
"""What operators do that brings in software: its kind is told in DICOM's own code, too."""


def deed(node: Who, one: Deed) -> AuditEvent:
    """What an operator did, on the page or by a command."""
    who = Participant(user=one.by or "unknown", role=codes.USER, is_requestor=True)
    details = {key: str(value) for key, value in one.detail.items() if str(value)}
    if one.study_uid:
        kind, uid, role = codes.STUDY, one.study_uid, REPORT
    else:
        kind, uid, role = codes.PART, str(one.detail.get("name") or one.detail.get("alarm") or "queue"), RESOURCE
    other = codes.ACCESSED if one.study_uid else codes.SECURITY_ALERT
    done = {"discard": "D"}.get(one.did, "U" if one.study_uid else "E")
    event, action, part = _MOVES.get(one.did, (other, done, codes.APPLICATION))
    return AuditEvent(
        event=event,
        types=[*([codes.SOFTWARE_CONFIGURATION] if one.did in _CONFIGURES else []), codes.operator_action(one.did)],
        action=action,
        at=one.at,
        participants=[who, node.as_participant(part)],
        things=[Thing(uid=uid, kind=kind, type_code=SYSTEM, role=role, details=details)],
    )


def configured(node: Who, at: float, *, changes: Sequence[str], refused: str) -> AuditEvent:
    """The configuration was read again (A.5.3.11: software configuration); what changed, or why it was not taken."""
    told = refused or "; ".join(changes) or "nothing changed"
    return _changed(node, at, codes.SOFTWARE_CONFIGURATION, "configuration", told, is_refused=bool(refused))


def accounts_changed(node: Who, at: float, *, changes: Sequence[str]) -> AuditEvent:
    """Who may log in has changed (A.5.3.11: user security attributes); by whom is not known to the node."""
    return _changed(node, at, codes.USER_SECURITY, "accounts", "; ".join(changes))


def _changed(node: Who, at: float, kind: Code, part: str, told: str, *, is_refused: bool = False) -> AuditEvent:
    details = {"Alert Description": told}
    thing = Thing(uid=part, kind=codes.PART, type_code=SYSTEM, role=RESOURCE, details=details)
    return AuditEvent(
        event=codes.SECURITY_ALERT,
        types=[kind],
        action="E",
        at=at,
        outcome=MINOR if is_refused else 0,
        participants=[node.as_participant(is_requestor=True)],
        things=[thing],
        says="not taken over" if is_refused else "",
    )
