"""Every audit message that the node makes is one by the schema of DICOM PS3.15 A.5.1, whatever a peer called itself."""

from __future__ import annotations

import base64

import pytest

from dicomnode.config.audit import Audit
from dicomnode.config.whole import Config
from dicomnode.ops.audit import events
from dicomnode.ops.audit.events import Who
from dicomnode.ops.audit.message import AuditEvent, xml_of
from dicomnode.ops.audit.syslog import Waiting, frame
from dicomnode.store.ops.audit import Deed, Transfer
from tests.tools.audit_schema import judged

NODE = Who("AINODE", "AINODE@host")
AT = 1767225600.25
COMING = Transfer(
    study_uid="1.2.3",
    accession_number="ACC<7>",
    peer='CT"1\x00&',
    address="10.0.0.1",
    classes={"1.2.840.10008.5.1.4.1.1.2": 24},
    is_incoming=True,
    is_over=True,
    outcome="released",
    at=AT,
)
PAUSED = Deed(did="pause", by="anna", at=AT, study_uid="", detail={"part": "queue", "name": ""})
RETRIED = Deed(did="retry", by="anna", at=AT, study_uid="1.2.3")


def every_event() -> dict[str, AuditEvent]:
    """One of each, by what it is."""
    return {
        "start": events.application(NODE, AT, starts=True),
        "stop": events.application(NODE, AT, starts=False),
        "rejected": events.rejected(NODE, AT, calling_ae="", address="10.0.0.1", reason="no", times=3),
        "received": events.transferred(NODE, COMING, "47<11>"),
        "queried": events.queried(NODE, AT, destination="pacs", level="STUDY", keys=["1.2.3", "1.2.4"]),
        "login": events.login(NODE, AT, did="login", user="anna", address="::1", outcome="refused"),
        "logout": events.login(NODE, AT, did="logout", user="anna", address="::1", outcome="ok"),
        "pause": events.deed(NODE, PAUSED),
        "retry": events.deed(NODE, RETRIED),
        "export": events.deed(NODE, Deed(did="export", by="root", at=AT, study_uid="1.2.3")),
        "configured": events.configured(NODE, AT, changes=["a: 1 -> 2"], refused=""),
        "not configured": events.configured(NODE, AT, changes=[], refused="node.port: needs a restart"),
    }


@pytest.mark.parametrize("what", every_event())
def test_every_message_is_one_by_the_schema(what: str) -> None:
    root = judged(xml_of(every_event()[what], source=NODE.process, site="Hospital & Sons"))
    assert root.find("AuditSourceIdentification").get("AuditEnterpriseSiteID") == "Hospital & Sons"
    assert root.find("EventIdentification").get("EventDateTime") == "2026-01-01T00:00:00.250+00:00"


def test_a_received_study_names_both_ends_the_study_and_the_patient() -> None:
    root = judged(xml_of(every_event()["received"], source="s", site=""))
    assert root.find("EventIdentification/EventID").get("csd-code") == "110104"
    users = {one.get("UserID"): one.find("RoleIDCode").get("csd-code") for one in root.findall("ActiveParticipant")}
    assert users == {'CT"1?&': "110153", "AINODE": "110152"}
    patient, study = root.findall("ParticipantObjectIdentification")
    assert (patient.get("ParticipantObjectID"), study.get("ParticipantObjectID")) == ("47<11>", "1.2.3")
    assert study.find("ParticipantObjectDescription/SOPClass").get("NumberOfInstances") == "24"
    assert study.find("ParticipantObjectDescription/Accession").get("Number") == "ACC<7>"


def test_what_was_asked_and_what_changed_stand_in_base64_as_the_standard_has_it() -> None:
    query = judged(xml_of(every_event()["queried"], source="s", site="")).find(".//ParticipantObjectQuery")
    assert base64.b64decode(query.text) == b"1.2.3\n1.2.4"
    detail = judged(xml_of(every_event()["configured"], source="s", site="")).find(".//ParticipantObjectDetail")
    assert base64.b64decode(detail.get("value")) == b"a: 1 -> 2"


def test_a_frame_counts_octets_and_its_header_is_that_of_rfc_5424() -> None:
    length, _, octets = frame(Waiting(AT, "<AuditMessage>ä</AuditMessage>"), "host").partition(b" ")
    assert int(length) == len(octets)
    header, _, message = octets.partition(b" - ")
    assert header.startswith(b"<85>1 2026-01-01T00:00:00.250Z host dicomnode ")
    assert header.endswith(b" DICOM+RFC3881")
    assert message.decode("utf-8") == "\ufeff<AuditMessage>ä</AuditMessage>"


def test_there_is_no_audit_trail_unless_a_server_is_named() -> None:
    assert not Config().operations.audit.is_on
    assert Audit(host="syslog").is_on
