"""The audit trail: DICOM audit messages (PS3.15 A.5) to a syslog server over TLS."""
