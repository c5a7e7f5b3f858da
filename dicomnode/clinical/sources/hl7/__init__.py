"""HL7 v2 messages with results and facts of patients: read, stored, acknowledged."""
