"""A recorded session (association, C-ECHO, C-STORE, release), spoiled at random: as a broken or hostile peer has it."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO

from pydicom.filereader import read_dataset

from tests.integration.receive.peers import ABORT, CT_IMAGE, P_DATA, VERIFICATION, ct_slice, encoded
from tests.unit.receive.test_requests import body, context, item, user

Pdus = list[bytes]

ANSWER_S = 1.0
"""How long an answer is waited for after the last byte; a spoiled session may have none."""


@dataclass
class Heard:
    """What the node said in one session.

    Attributes
    ----------
    acknowledged : SOP instance UIDs of the C-STORE responses with Success.
    held : the connection, where the peer fell silent in the middle; to be closed by whoever counts connections.
    """

    acknowledged: list[str] = field(default_factory=list)
    types: list[int] = field(default_factory=list)
    held: socket.socket | None = None


def recorded(number: int) -> Pdus:
    """The PDUs of a session that every rule keeps; ``number`` makes its UIDs."""
    pdus = [pdu(1, body(*_items(), called=b"NODE", calling=b"FUZZ"))]
    pdus += _message(3, _echo())
    for image in (1, 2):
        uid = f"1.2.826.0.1.{number}.{image}"
        ds = ct_slice(f"1.2.826.0.1.{number}", f"1.2.826.0.1.{number}.0", image, sop_uid=uid)
        pdus += _message(1, _store(uid, image), encoded(ds))
    return [*pdus, pdu(5, bytes(4))]


def _items() -> tuple[bytes, ...]:
    contexts = (context(1), context(3, VERIFICATION.encode(), b"1.2.840.10008.1.2"))
    about = user(item(0x51, struct.pack(">L", 16_384)), item(0x52, b"1.2.3.4"), item(0x55, b"FUZZ_1"))
    return (item(0x10, b"1.2.840.10008.3.1.1.1"), *contexts, about)


def pdu(kind: int, content: bytes) -> bytes:
    """One PDU."""
    return struct.pack(">BBL", kind, 0, len(content)) + content


def _message(number: int, command: bytes, data: bytes = b"") -> Pdus:
    values = [(0x03, command)]
    values += [(0x00, data[at : at + 1500]) for at in range(0, len(data), 1500)]
    if data:
        values[-1] = (0x02, values[-1][1])
    return [pdu(4, struct.pack(">LBB", len(value) + 2, number, control) + value) for control, value in values]


def _command(*elements: tuple[int, bytes]) -> bytes:
    content = b"".join(
        struct.pack("<HHL", 0, element, len(value) + len(value) % 2) + value + b"\0" * (len(value) % 2)
        for element, value in elements
    )
    return struct.pack("<HHLL", 0, 0, 4, len(content)) + content


def _echo() -> bytes:
    return _command((0x0002, VERIFICATION.encode()), (0x0100, b"\x30\0"), (0x0110, b"\1\0"), (0x0800, b"\1\1"))


def _store(uid: str, message: int) -> bytes:
    return _command(
        (0x0002, CT_IMAGE.encode()),
        (0x0100, b"\1\0"),
        (0x0110, struct.pack("<H", message)),
        (0x0700, b"\0\0"),
        (0x0800, b"\0\0"),
        (0x1000, uid.encode()),
    )


def _flip(rng: random.Random, pdus: Pdus) -> None:
    at = rng.randrange(len(pdus))
    spoiled = bytearray(pdus[at])
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        spoiled[rng.randrange(len(spoiled))] ^= 1 << rng.randrange(8)
    pdus[at] = bytes(spoiled)


def _cut(rng: random.Random, pdus: Pdus) -> None:
    """The end is missing, the length stands."""
    at = rng.randrange(len(pdus))
    pdus[at] = pdus[at][: rng.randrange(len(pdus[at]))]


def _cut_whole(rng: random.Random, pdus: Pdus) -> None:
    """The end is missing, and the length says so."""
    at = rng.randrange(len(pdus))
    content = pdus[at][6:]
    pdus[at] = pdu(pdus[at][0], content[: rng.randrange(len(content) + 1)])


def _other_length(rng: random.Random, pdus: Pdus) -> None:
    at = rng.randrange(len(pdus))
    length = rng.choice((0, 1, 3, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, max(0, len(pdus[at]) - 7), len(pdus[at])))
    pdus[at] = pdus[at][:2] + struct.pack(">L", length) + pdus[at][6:]


def _inner_length(rng: random.Random, pdus: Pdus) -> None:
    """Another length of an item, a value or an element."""
    at = rng.randrange(len(pdus))
    if len(pdus[at]) < 12:
        return
    place = rng.randrange(6, len(pdus[at]) - 4)
    number = rng.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\xff\xff", b"\xff\xff\0\0", rng.randbytes(4)))
    pdus[at] = pdus[at][:place] + number + pdus[at][place + 4 :]


def _swap(rng: random.Random, pdus: Pdus) -> None:
    one, other = rng.randrange(len(pdus)), rng.randrange(len(pdus))
    pdus[one], pdus[other] = pdus[other], pdus[one]


def _drop(rng: random.Random, pdus: Pdus) -> None:
    del pdus[rng.randrange(len(pdus))]


def _double(rng: random.Random, pdus: Pdus) -> None:
    at = rng.randrange(len(pdus))
    pdus[at:at] = [pdus[at]] * rng.choice((1, 1, 2, 30))


def _insert(rng: random.Random, pdus: Pdus) -> None:
    """A PDU of any type, or noise."""
    noise = rng.randbytes(rng.choice((0, 4, 20, 300)))
    pdus.insert(rng.randrange(len(pdus) + 1), rng.choice((noise, pdu(rng.randrange(9), noise))))


def _other_type(rng: random.Random, pdus: Pdus) -> None:
    at = rng.randrange(len(pdus))
    pdus[at] = bytes([rng.randrange(9)]) + pdus[at][1:]


MUTATIONS: tuple[Callable[[random.Random, Pdus], None], ...] = (
    _flip,
    _flip,
    _cut,
    _cut_whole,
    _other_length,
    _inner_length,
    _swap,
    _drop,
    _double,
    _insert,
    _other_type,
)


def spoiled(seed: str, number: int) -> tuple[Pdus, bool]:
    """A session and whether its peer falls silent in the middle of a PDU; the same for the same arguments."""
    rng = random.Random(f"{seed}-session-{number}")
    pdus = recorded(number)
    for _ in range(rng.choice((1, 1, 2, 4))):
        if pdus:
            rng.choice(MUTATIONS)(rng, pdus)
        pdus = [one for one in pdus if one]
    falls_silent = rng.random() < 0.05
    if falls_silent and pdus:
        at = rng.randrange(len(pdus))
        pdus = [*pdus[:at], pdus[at][: len(pdus[at]) // 2]]
    return pdus, falls_silent


def play(port: int, pdus: Sequence[bytes], *, falls_silent: bool = False) -> Heard:
    """Send a session and listen; what the node does with it is its business."""
    heard = Heard()
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    with contextlib.suppress(OSError):
        for number, one in enumerate(pdus):
            # A request and a release wait for what came before; in between a peer may send on.
            if number == 1 or one[:1] == b"\x05":
                _listen(connection, heard, until_answers=1 if number == 1 else _commands(pdus[:number]) + 1)
            connection.sendall(one)
        _listen(connection, heard, until_answers=len(pdus) + 1)
    if falls_silent:
        heard.held = connection
    else:
        connection.close()
    return heard


def _commands(pdus: Sequence[bytes]) -> int:
    """How many of them end a message, which is answered."""
    return sum(len(one) > 11 and one[0] == P_DATA and bool(one[11] & 2) for one in pdus) - 2


def _listen(connection: socket.socket, heard: Heard, *, until_answers: int) -> None:
    """Take in what the node says, until it has said so much, or nothing more."""
    pending = b""
    connection.settimeout(ANSWER_S)
    while len(heard.types) < until_answers:
        part = b""
        with contextlib.suppress(TimeoutError):
            part = connection.recv(65_536)
        if not part:
            return
        pending += part
        while len(pending) >= 6:
            kind, _, length = struct.unpack(">BBL", pending[:6])
            if len(pending) < 6 + length:
                break
            _note(kind, pending[6 : 6 + length], heard)
            pending = pending[6 + length :]
            if kind in (6, ABORT):
                return


def _note(kind: int, content: bytes, heard: Heard) -> None:
    heard.types.append(kind)
    if kind != P_DATA:
        return
    response = read_dataset(BytesIO(content[6:]), is_implicit_VR=True, is_little_endian=True)
    uid = response.get("AffectedSOPInstanceUID")  # none for a command that named none
    if response.get("CommandField") == 0x8001 and response.get("Status") == 0 and uid:
        heard.acknowledged.append(str(uid))
