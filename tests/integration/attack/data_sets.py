"""Data sets of CT slices in several encodings, spoiled at random, and sent by a peer that keeps the rules."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable

from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence

from tests.integration.receive.peers import CT_IMAGE, EXPLICIT_LE, IMPLICIT_LE, ScriptedPeer, ct_slice, encoded

BIG_ENDIAN, DEFLATED, RLE = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5"
SYNTAXES = (EXPLICIT_LE, IMPLICIT_LE, BIG_ENDIAN, DEFLATED, RLE)


def whole(number: int, syntax: str) -> tuple[str, bytes]:
    """SOP instance UID and bytes of a slice with sequences, names and private elements."""
    uid = f"1.2.826.0.2.{number}.1"
    ds = ct_slice(f"1.2.826.0.2.{number // 20}", f"1.2.826.0.2.{number // 20}.0", number % 20, sop_uid=uid)
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "T-1", "SRT", "Head"
    step = Dataset()
    step.ScheduledProcedureStepID, step.ScheduledProtocolCodeSequence = "S1", Sequence([code])
    ds.RequestAttributesSequence = Sequence([step])
    ds.add_new(0x00290010, "LO", "ACME")
    ds.add_new(0x00291010, "OB", bytes(range(256)))
    if syntax == RLE:
        ds.PixelData = encapsulate([struct.pack("<16L", 2, 64, 80, *[0] * 13) + b"\x81\0" * 8 * 2])
        ds["PixelData"].is_undefined_length = True
        return uid, encoded(ds, EXPLICIT_LE)
    plain = encoded(ds, EXPLICIT_LE if syntax == DEFLATED else syntax)
    if syntax != DEFLATED:
        return uid, plain
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return uid, packer.compress(plain) + packer.flush()


def _flip(rng: random.Random, data: bytearray) -> None:
    for _ in range(rng.choice((1, 1, 4, 32, 256))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _cut(rng: random.Random, data: bytearray) -> None:
    del data[rng.randrange(len(data)) :]


def _insert(rng: random.Random, data: bytearray) -> None:
    at = rng.randrange(len(data) + 1)
    data[at:at] = rng.randbytes(rng.choice((1, 2, 7, 100)))


def _remove(rng: random.Random, data: bytearray) -> None:
    at = rng.randrange(len(data))
    del data[at : at + rng.choice((1, 2, 8, 100))]


def _lengths(rng: random.Random, data: bytearray) -> None:
    """Numbers that lengths are spoiled with."""
    for _ in range(rng.choice((1, 2, 5))):
        at = rng.randrange(len(data))
        data[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\xff\xff", b"\0\1"))


def _vr(rng: random.Random, data: bytearray) -> None:
    """Another VR somewhere, one that exists or none."""
    known = (b"SQ", b"UN", b"OB", b"US", b"PN", b"DS", b"UT", b"XX", b"--", b"\0\0")
    places = [at for at in range(4, len(data) - 2) if data[at : at + 2] in (b"CS", b"UI", b"DS", b"LO", b"SH", b"US")]
    if places:
        at = rng.choice(places)
        data[at : at + 2] = rng.choice(known)


def _double(rng: random.Random, data: bytearray) -> None:
    start = rng.randrange(len(data))
    part = bytes(data[start : start + rng.randrange(1, 400)])
    data[start:start] = part * rng.choice((1, 2, 50))


def _nest(rng: random.Random, data: bytearray) -> None:
    """Sequences in sequences, in front or in the middle."""
    nest = struct.pack("<HH2sHLHHL", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF, 0xFFFE, 0xE000, 0xFFFFFFFF)
    at = rng.choice((0, rng.randrange(len(data))))
    data[at:at] = nest * rng.choice((1, 20, 2_000))


MUTATIONS: tuple[Callable[[random.Random, bytearray], None], ...] = (
    _flip,
    _flip,
    _cut,
    _insert,
    _remove,
    _lengths,
    _lengths,
    _vr,
    _double,
    _nest,
)


def spoiled(seed: str, number: int) -> tuple[str, str, bytes]:
    """Transfer syntax, SOP instance UID and bytes; the same for the same arguments."""
    rng = random.Random(f"{seed}-data-set-{number}")
    syntax = rng.choice(SYNTAXES)
    uid, plain = whole(number, syntax)
    data = bytearray(plain)
    for _ in range(rng.choice((1, 1, 2, 3))):
        if data:
            rng.choice(MUTATIONS)(rng, data)
    return syntax, uid, bytes(data) or b"\0"


def send(port: int, syntax: str, uid: str, data: bytes) -> int:
    """C-STORE of any bytes; the status.

    Raises
    ------
    Aborted, Closed, OSError : the association was lost for what the data set holds.
    """
    with ScriptedPeer(port, calling="FUZZ", timeout_s=60) as peer:
        status = peer.associate(syntaxes=[syntax]).store(CT_IMAGE, uid, data)
        peer.release()
    return status
