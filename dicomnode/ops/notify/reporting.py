"""Hands the report of a finding to a system over MLLP and reads what it answers (HL7 v2.5 2.9.2, appendix C).

The same report has the same control ID, however often it is sent: a receiver that has it answers, and takes no second.
"""

from __future__ import annotations

import socket
import time
from contextlib import closing

from dicomnode.config.notify import Hl7Receiver
from dicomnode.config.tls import client_context
from dicomnode.errors import ConfigError, NotifyError, ReportRefused
from dicomnode.ops.notify.oru import Report, control_id, oru
from dicomnode.receive.mllp.framing import Framer, framed

WHERE = "operations.notify.hl7"
MAX_ANSWER_BYTES = 1 << 16
READ_BYTES = 4096
TAKEN, FAULTY, LATER = ("AA", "CA"), ("AE", "CE"), ("AR", "CR")
"""Answers (table 0008): it is taken; it has a fault, and would have it again; the receiver cannot take it now."""


class Reporter:
    """A system that gets findings."""

    name = "hl7"

    def __init__(self, receiver: Hl7Receiver) -> None:
        self._receiver = receiver

    def send(self, report: Report) -> None:
        """Send it, and read its acknowledgement.

        Raises
        ------
        ReportRefused : the receiver answers that the message is at fault.
        NotifyError : there was no answer, or it was that the receiver cannot take it now: it is to be sent again.
        """
        if not report.patient.patient_id:
            raise ReportRefused("the images name no patient")
        try:
            answer = self._asked(framed(oru(report, self._receiver)))
        except (OSError, ConfigError) as fault:
            raise NotifyError(f"{WHERE}: {self._receiver.host}: {type(fault).__name__}") from fault
        _judge(answer, control_id(report))

    def _asked(self, message: bytes) -> bytes:
        """Send bytes and wait for one message.

        Raises
        ------
        OSError, ConfigError : the receiver cannot be reached, or says nothing in time.
        """
        to = self._receiver
        context = client_context(to.tls, WHERE)
        connection = socket.create_connection((to.host, to.port), timeout=to.timeout_s)
        if context is not None:
            connection = context.wrap_socket(connection, server_hostname=to.tls.server_name or to.host)
        with closing(connection):
            connection.sendall(message)
            return _read(connection, time.monotonic() + to.timeout_s)


def _read(connection: socket.socket, until: float) -> bytes:
    framer = Framer(MAX_ANSWER_BYTES)
    while (left_s := until - time.monotonic()) > 0:
        connection.settimeout(left_s)
        data = connection.recv(READ_BYTES)
        if not data:
            raise ConnectionResetError("closed without an answer")
        for frame in framer.feed(data):
            return frame.content
    raise TimeoutError("no answer in time")


def _judge(answer: bytes, control: str) -> None:
    """Do nothing where an answer says that the message is taken. No text of it is quoted: it may name a patient."""
    segments = [segment.split("|") for segment in answer.decode("utf-8", errors="replace").split("\r")]
    said = next((one for one in segments if one[0] == "MSA" and len(one) > 2), None)
    if said is None or said[2] != control:
        raise NotifyError(f"{WHERE}: the answer acknowledges another message, or none")
    if said[1] in FAULTY:
        raise ReportRefused(f"the receiver answers {said[1]}")
    if said[1] not in TAKEN:
        raise NotifyError(f"{WHERE}: the receiver answers {said[1] if said[1] in LATER else 'with an unknown code'}")
