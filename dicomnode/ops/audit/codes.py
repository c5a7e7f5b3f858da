"""Codes of audit messages (DICOM PS3.16 CID 400 to 403, PS3.15 A.5.3)."""

from __future__ import annotations

from dicomnode.ops.audit.message import Code

APPLICATION_ACTIVITY = Code("110100", "Application Activity")
BEGIN_TRANSFERRING = Code("110102", "Begin Transferring DICOM Instances")
ACCESSED = Code("110103", "DICOM Instances Accessed")
TRANSFERRED = Code("110104", "DICOM Instances Transferred")
EXPORT = Code("110106", "Export")
IMPORT = Code("110107", "Import")
QUERY = Code("110112", "Query")
SECURITY_ALERT = Code("110113", "Security Alert")
USER_AUTHENTICATION = Code("110114", "User Authentication")

START, STOP = Code("110120", "Application Start"), Code("110121", "Application Stop")
LOGIN, LOGOUT = Code("110122", "Login"), Code("110123", "Logout")
NODE_AUTHENTICATION = Code("110126", "Node Authentication")
SOFTWARE_CONFIGURATION = Code("110131", "Software Configuration")
USER_SECURITY = Code("110137", "User Security Attributes Changed")

APPLICATION, DESTINATION, SOURCE = (
    Code("110150", "Application"),
    Code("110152", "Destination Role ID"),
    Code("110153", "Source Role ID"),
)
USER = Code("USER", "User", "99DICOMNODE")

STUDY, SOP_CLASS = Code("110180", "Study Instance UID"), Code("110181", "SOP Class UID")
NODE_ID, PATIENT_NUMBER = Code("110182", "Node ID"), Code("2", "Patient Number", "RFC-3881")
PART = Code("PART", "Part of the node", "99DICOMNODE")


def operator_action(did: str) -> Code:
    """What an operator did: codes of this project, since DICOM has none."""
    return Code(did.upper()[:16], did, "99DICOMNODE")
