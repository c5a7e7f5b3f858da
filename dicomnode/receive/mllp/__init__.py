"""MLLP, the transport of HL7 v2: frames from sockets, handed on one by one, and answers back."""
