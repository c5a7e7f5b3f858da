"""HL7 v2 messages as laboratories, information systems and reporting systems send them, and a peer that sends them."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

VT, FS, CR = b"\x0b", b"\x1c", b"\r"


def message(
    *segments: str,
    kind: str = "ORU^R01^ORU_R01",
    control_id: str = "M1",
    at: str = "20260101101500+0000",
    charset: str = "UNICODE UTF-8",
    version: str = "2.5.1",
    acks: tuple[str, str] = ("", ""),
    application: str = "LAB",
    processing: str = "P",
) -> str:
    """A message with its header, segments ended by CR."""
    header = f"MSH|^~\\&|{application}|HOSPITAL|DICOMNODE|RADIOLOGY|{at}||{kind}|{control_id}|{processing}|{version}"
    header += f"|||{acks[0]}|{acks[1]}||{charset}"
    return "".join(f"{segment}\r" for segment in (header, *segments))


def pid(number: str = "4711", *, born: str = "19440502", sex: str = "F", authority: str = "HOSPITAL") -> str:
    return f"PID|1||{number}^^^{authority}^MR||DOE^JANE||{born}|{sex}"


def obr(order: str = "F1", *, at: str = "202601011000", section: str = "LAB") -> str:
    cells = ["OBR", "1", f"P{order}", order, "24323-8^Panel^LN", "", "", at, *[""] * 14, "", "", section]
    return "|".join(cells)


def obx(
    code: str,
    value: str,
    unit: str = "",
    *,
    kind: str = "NM",
    status: str = "F",
    at: str = "",
    number: int = 1,
    sub: str = "",
) -> str:
    return f"OBX|{number}|{kind}|{code}|{sub}|{value}|{unit}|||||{status}|||{at}"


GLUCOSE, INR, D_DIMER, GCS = "2345-7^Glucose^LN", "6301-6^INR^LN", "48065-7^D-dimer^LN", "9269-2^GCS^LN"


@dataclass
class Ack:
    """An answer, read without the node's own code."""

    content: bytes
    segments: list[list[str]] = field(init=False)

    def __post_init__(self) -> None:
        self.segments = [line.split("|") for line in self.content.decode("latin-1").split("\r") if line]

    @property
    def code(self) -> str:
        """MSA-1."""
        return self.named("MSA")[0][1]

    @property
    def control_id(self) -> str:
        """MSA-2."""
        return self.named("MSA")[0][2]

    @property
    def reasons(self) -> list[str]:
        """ERR-5.1 of each ERR."""
        return [error[5].partition("^")[0] for error in self.named("ERR")]

    def named(self, name: str) -> Sequence[list[str]]:
        """The segments of a name."""
        return [segment for segment in self.segments if segment[0] == name]


class Hl7Peer:
    """A sender with one connection."""

    def __init__(self, port: int, *, context: ssl.SSLContext | None = None, timeout_s: float = 60.0) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self.socket = plain if context is None else context.wrap_socket(plain, server_hostname="localhost")
        self._left = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self.socket.close()

    def send(self, text: str | bytes, encoding: str = "utf-8") -> Ack:
        """Send a message and wait for its answer."""
        self.socket.sendall(framed(text, encoding))
        return self.answer()

    def answer(self) -> Ack:
        """The next answer.

        Raises
        ------
        ConnectionError : the node hung up.
        """
        while FS + CR not in self._left:
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError("the node hung up")
            self._left += more
        frame, self._left = self._left.split(FS + CR, 1)
        assert frame.startswith(VT)
        return Ack(frame[1:])


def framed(text: str | bytes, encoding: str = "utf-8") -> bytes:
    """A message in its frame."""
    return VT + (text if isinstance(text, bytes) else text.encode(encoding)) + FS + CR
