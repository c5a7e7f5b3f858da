"""Objects that are small on the wire and large, deep or endless for whoever reads them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

from pydicom.datadict import DicomDictionary
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from tests.integration.receive.peers import ct_slice, encoded

MIB = 1 << 20


@dataclass(frozen=True)
class Bomb:
    """A data set as it goes over the network.

    Attributes
    ----------
    made : its bytes, which may take seconds to make.
    kept : whether its header can be read, so that it counts as a slice until its pixels are wanted.
    """

    name: str
    syntax: str
    sop_instance_uid: str
    made: Callable[[], bytes]
    kept: bool = True

    @cached_property
    def data_set(self) -> bytes:
        """Made when it is first asked for: whoever only lists tests does not wait for it."""
        return self.made()


def _head(uid: str, number: int = 1, **attributes: object) -> bytes:
    """A CT slice without its pixels."""
    ds = ct_slice(number=number, sop_uid=uid)
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    del ds.PixelData
    return encoded(ds)


def _pixel_head(length: int) -> bytes:
    return struct.pack("<HH2sHL", 0x7FE0, 0x10, b"OW", 0, length)


def element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    """One element of a short VR, explicit little endian."""
    return struct.pack("<HH2sH", group, number, vr, len(value)) + value


def deflated(head: bytes, zeros_mib: int) -> bytes:
    """Deflate of ``head`` and of so many zeros."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    parts = [packer.compress(head)]
    parts += [packer.compress(bytes(MIB)) for _ in range(zeros_mib)]
    return b"".join([*parts, packer.flush()])


def deflated_pixels(uid: str, zeros_mib: int = 512) -> Bomb:
    head = _head(uid) + _pixel_head(min(zeros_mib * MIB, 0xFFFFFFF0))
    return Bomb("deflated pixels", DeflatedExplicitVRLittleEndian, uid, lambda: deflated(head, zeros_mib))


def deflated_header(uid: str, zeros_mib: int = 256) -> Bomb:
    """What is inflated is a header that never comes to its end."""
    endless = _head(uid) + struct.pack("<HH2sHL", 0x7FDF, 0x1010, b"UN", 0, zeros_mib * MIB)
    syntax = DeflatedExplicitVRLittleEndian
    return Bomb("deflated header", syntax, uid, lambda: deflated(endless, zeros_mib), kept=False)


def deflated_elements(uid: str, count: int = 3_000_000) -> Bomb:
    """Three million empty elements in a few kilobytes."""

    def made() -> bytes:
        flood = element(0x0009, 0x1001, b"LO", b"") * 1000
        packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        packed = b"".join([packer.compress(flood) for _ in range(count // 1000)] + [packer.compress(_head(uid))])
        return packed + packer.flush()

    return Bomb("deflated elements", DeflatedExplicitVRLittleEndian, uid, made, kept=False)


def compressed(name: str, uid: str, syntax: str, frame: bytes, **attributes: object) -> Bomb:
    """Encapsulated pixel data."""
    pixels = struct.pack("<HH2sHL", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF) + encapsulate([frame], has_bot=False)
    pixels += b"" if pixels.endswith(b"\xfe\xff\xdd\xe0\0\0\0\0") else b"\xfe\xff\xdd\xe0\0\0\0\0"
    return Bomb(name, syntax, uid, lambda: _head(uid, **attributes) + pixels)


def jpeg_2000(uid: str, side: int = 60_000) -> Bomb:
    """SIZ that speaks of ``side`` x ``side`` pixels, where the header has 32 x 32."""
    siz = struct.pack(">HHLLLLLLLLH", 41, 0, side, side, 0, 0, side, side, 0, 0, 1) + b"\x0f\x01\x01"
    cod = bytes.fromhex("ff52000c00000001000104040001") + bytes.fromhex("ff5c000440400000")
    frame = b"\xff\x4f\xff\x51" + siz + cod + bytes.fromhex("ff90000a0000000000000001ff93") + bytes(64) + b"\xff\xd9"
    return compressed("JPEG 2000 of other size", uid, JPEG2000Lossless, frame)


def jpeg(uid: str, syntax: str = JPEGLosslessSV1, marker: int = 0xC3) -> Bomb:
    frame = b"\xff\xd8" + struct.pack(">BBHBHHB", 0xFF, marker, 11, 16, 65_535, 65_535, 1) + b"\x01\x11\x00"
    frame += bytes.fromhex("ffc4001500010101010100000000000000000000000001020304ffda0008010100010000") + bytes(64)
    return compressed(f"JPEG {marker:X} of other size", uid, syntax, frame + b"\xff\xd9")


def jpeg_ls(uid: str) -> Bomb:
    return jpeg(uid, JPEGLSLossless, 0xF7)


def rle(uid: str, packed_mib: int = 8) -> Bomb:
    """Runs of 128 bytes in two: 64 times its size."""
    header = struct.pack("<16L", 2, 64, 64 + packed_mib * MIB // 2, *[0] * 13)
    return compressed("RLE runs", uid, RLELossless, header + b"\x81\x00" * (packed_mib * MIB // 2))


def rle_segments(uid: str) -> Bomb:
    header = struct.pack("<16L", 15, *range(64, 64 + 15))
    return compressed("RLE of 15 segments", uid, RLELossless, header + bytes(64))


def huge_matrix(uid: str) -> Bomb:
    body = _head(uid, Rows=65_535, Columns=65_535, NumberOfFrames=1) + _pixel_head(2048) + bytes(2048)
    return Bomb("65535 x 65535", ExplicitVRLittleEndian, uid, lambda: body)


def many_elements(uid: str, count: int = 400_000) -> Bomb:
    flood = b"".join(element(0x0009, 0x1000 | number & 0xFF, b"LO", b"") for number in range(256))
    return Bomb(
        "private elements", ExplicitVRLittleEndian, uid, lambda: flood * (count // 256) + _head(uid), kept=False
    )


def many_keywords(uid: str) -> Bomb:
    """Each keyword of the dictionary once, 60 kB each: megabytes for the database."""

    def made() -> bytes:
        long = [tag for tag, (vr, *_, keyword) in DicomDictionary.items() if vr == "LO" and keyword]
        tags = sorted(tag for tag in long if tag >> 16 == 0x0018)
        flood = b"".join(element(tag >> 16, tag & 0xFFFF, b"LO", b"\\".join([b"x" * 900] * 60)) for tag in tags)
        body = _head(uid)
        at = body.index(struct.pack("<HH", 0x0020, 0x000D))
        return body[:at] + flood * 4 + body[at:]

    return Bomb("long texts", ExplicitVRLittleEndian, uid, made, kept=False)


def deep(uid: str, depth: int = 50_000) -> Bomb:
    """Sequences of undefined length, each in an item of the other."""
    nest = struct.pack("<HH2sHL", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    return Bomb("deep sequences", ExplicitVRLittleEndian, uid, lambda: nest * depth + _head(uid), kept=False)


def many_items(uid: str, count: int = 400_000, *, defined: bool = False) -> Bomb:
    """One sequence of empty items."""

    def made() -> bytes:
        items = struct.pack("<HHL", 0xFFFE, 0xE000, 0) * count
        length = len(items) if defined else 0xFFFFFFFF
        end = b"" if defined else struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
        opened = struct.pack("<HH2sHL", 0x0008, 0x1140, b"SQ", 0, length)
        return opened + items + end + _head(uid) + _pixel_head(2048) + bytes(2048)

    # A sequence of defined length is passed over in one step.
    return Bomb(f"{'defined' if defined else 'undefined'} items", ExplicitVRLittleEndian, uid, made, kept=defined)


@cache
def all_bombs() -> list[Bomb]:
    """One of each kind; their bytes are made once a process."""
    makers = (
        deflated_pixels,
        deflated_header,
        deflated_elements,
        jpeg_2000,
        jpeg,
        jpeg_ls,
        rle,
        rle_segments,
        huge_matrix,
        many_elements,
        many_keywords,
        deep,
        many_items,
    )
    bombs = [make(f"1.2.3.1.1.{number}") for number, make in enumerate(makers, 1)]
    return [*bombs, many_items(f"1.2.3.1.1.{len(bombs) + 1}", defined=True)]
