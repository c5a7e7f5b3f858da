"""DICOM peers for the tests: one that plays by its own script, byte by byte, and data sets to send.

``ScriptedPeer`` speaks the upper layer protocol itself (DICOM PS3.8 chapter 9), because a library would refuse to send
what field devices and attackers send.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.uid import UID, generate_uid

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
DOSE_REPORT = "1.2.840.10008.5.1.4.1.1.88.67"
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
PRIVATE_STORAGE = "1.3.12.2.1107.5.9.1"
VERIFICATION = "1.2.840.10008.1.1"
EXPLICIT_LE = "1.2.840.10008.1.2.1"
IMPLICIT_LE = "1.2.840.10008.1.2"

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)


@dataclass(frozen=True)
class Pdu:
    """One protocol data unit; ``body`` without the six bytes of type and length."""

    type: int
    body: bytes


class Closed(Exception):
    """The other side closed the connection."""


class Aborted(Exception):
    """The other side sent A-ABORT."""


class ScriptedPeer:
    """A requestor on a raw socket.

    Parameters
    ----------
    address : it comes from; all of 127.0.0.0/8 are of this machine.
    """

    def __init__(
        self,
        port: int,
        *,
        calling: str = "SCANNER",
        called: str = "NODE",
        timeout_s: float = 60.0,
        address: str = "127.0.0.1",
    ) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s, source_address=(address, 0))
        self.calling, self.called = calling, called
        self.accepted: dict[int, str] = {}
        self._contexts: dict[str, int] = {}
        self._message = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.socket.close()

    def request(self, sop_classes: Sequence[str] = (CT_IMAGE,), syntaxes: Sequence[str] = (EXPLICIT_LE,)) -> Pdu:
        """Ask for an association; the answer, accepted or not."""
        items = _item(0x10, b"1.2.840.10008.3.1.1.1")
        for index, uid in enumerate(sop_classes):
            context_id = 2 * index + 1
            self._contexts[uid] = context_id
            syntax_items = b"".join(_item(0x40, syntax.encode()) for syntax in syntaxes)
            items += _item(0x20, bytes([context_id, 0, 0, 0]) + _item(0x30, uid.encode()) + syntax_items)
        items += _item(0x50, _item(0x51, struct.pack(">L", 0)) + _item(0x52, b"1.2.3.4"))
        titles = self.called.ljust(16).encode() + self.calling.ljust(16).encode()
        self.send(ASSOCIATE_RQ, struct.pack(">HH", 1, 0) + titles + bytes(32) + items)
        answer = self.receive()
        if answer.type == ASSOCIATE_AC:
            self.accepted = dict(_accepted(answer.body[68:]))
        return answer

    def associate(self, sop_classes: Sequence[str] = (CT_IMAGE,), syntaxes: Sequence[str] = (EXPLICIT_LE,)) -> Self:
        assert self.request(sop_classes, syntaxes).type == ASSOCIATE_AC
        return self

    def store(self, sop_class: str, sop_instance: str, data_set: bytes, *, context: str = "") -> int:
        """C-STORE of encoded bytes; the status of the response."""
        self.begin_store(sop_class, sop_instance, context=context)
        self.send_data(data_set, sop_class=context or sop_class, last=True)
        return self.receive_status()

    def begin_store(self, sop_class: str, sop_instance: str, *, context: str = "") -> None:
        """The command of a C-STORE, whose data set is to follow."""
        self._message += 1
        command = _command(
            (0x0002, sop_class.encode()),
            (0x0100, struct.pack("<H", 0x0001)),
            (0x0110, struct.pack("<H", self._message)),
            (0x0700, struct.pack("<H", 0)),
            (0x0800, struct.pack("<H", 1)),
            (0x1000, sop_instance.encode()),
        )
        self._send_value(self._contexts[context or sop_class], 0x03, command)

    def send_data(self, data: bytes, *, sop_class: str = CT_IMAGE, last: bool, part_bytes: int = 60_000) -> None:
        """A part of a data set, in presentation data values of at most ``part_bytes``."""
        for start in range(0, len(data), part_bytes):
            is_last = last and start + part_bytes >= len(data)
            self._send_value(self._contexts[sop_class], 0x02 if is_last else 0x00, data[start : start + part_bytes])

    def receive_status(self) -> int:
        """Status of the next response.

        Raises
        ------
        Aborted, Closed : the association ended instead.
        """
        pdu = self.receive()
        if pdu.type == ABORT:
            raise Aborted
        assert pdu.type == P_DATA, f"PDU of type {pdu.type} instead of a response"
        response = read_dataset(BytesIO(pdu.body[6:]), is_implicit_VR=True, is_little_endian=True)
        return int(response.Status)

    def echo(self) -> int:
        command = _command(
            (0x0002, VERIFICATION.encode()),
            (0x0100, struct.pack("<H", 0x0030)),
            (0x0110, struct.pack("<H", 1)),
            (0x0800, struct.pack("<H", 0x0101)),
        )
        self._send_value(self._contexts[VERIFICATION], 0x03, command)
        return self.receive_status()

    def send_command(self, sop_class: str, field: int) -> None:
        """A command of any kind, without a data set."""
        command = _command(
            (0x0002, sop_class.encode()),
            (0x0100, struct.pack("<H", field)),
            (0x0110, struct.pack("<H", 7)),
            (0x0120, struct.pack("<H", 7)),
            (0x0800, struct.pack("<H", 0x0101)),
            (0x0900, struct.pack("<H", 0)),
            (0x1000, b"1.2.3"),
        )
        self._send_value(self._contexts[sop_class], 0x03, command)

    def release(self) -> None:
        self.send(RELEASE_RQ, bytes(4))
        assert self.receive().type == RELEASE_RP
        self.socket.close()

    def abort(self) -> None:
        self.send(ABORT, bytes(4))
        self.socket.close()

    def send(self, pdu_type: int, body: bytes) -> None:
        self.socket.sendall(struct.pack(">BBL", pdu_type, 0, len(body)) + body)

    def receive(self) -> Pdu:
        """The next PDU.

        Raises
        ------
        Closed : there is none.
        """
        pdu_type, _, length = struct.unpack(">BBL", self._read(6))
        return Pdu(pdu_type, self._read(length))

    def wait_for_end(self) -> None:
        """Until the other side aborts or closes; TimeoutError where it does neither."""
        try:
            while self.receive().type != ABORT:
                pass
        except (Closed, ConnectionError):
            return

    def _read(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            part = self.socket.recv(length - len(data))
            if not part:
                raise Closed
            data += part
        return data

    def _send_value(self, context_id: int, control: int, data: bytes) -> None:
        self.send(P_DATA, struct.pack(">LBB", len(data) + 2, context_id, control) + data)


def _item(kind: int, data: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(data)) + data


def _command(*elements: tuple[int, bytes]) -> bytes:
    body = b""
    for element, value in elements:
        padded = value + b"\x00" * (len(value) % 2)
        body += struct.pack("<HHL", 0, element, len(padded)) + padded
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


def _accepted(items: bytes) -> list[tuple[int, str]]:
    """Context id and transfer syntax of each accepted presentation context."""
    accepted = []
    while items:
        kind, _, length = struct.unpack(">BBH", items[:4])
        body, items = items[4 : 4 + length], items[4 + length :]
        if kind == 0x21 and body[2] == 0:
            accepted.append((body[0], body[8:].decode()))
    return accepted


def ct_slice(
    study_uid: str = "1.2.3.1", series_uid: str = "1.2.3.1.1", number: int = 1, *, sop_uid: str = "", rows: int = 32
) -> Dataset:
    """A small CT image; the same arguments give the same bytes but for the UID, which is new where not given."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID = CT_IMAGE
    ds.SOPInstanceUID = sop_uid or generate_uid()
    ds.AccessionNumber = "A1"
    ds.Modality = "CT"
    ds.Manufacturer = "ACME"
    ds.PatientName = "Muster^Erika"
    ds.PatientID = "P4711"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study_uid, series_uid
    ds.InstanceNumber = number
    ds.ImagePositionPatient = [0, 0, 5 * number]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows = ds.Columns = rows
    ds.PixelSpacing = [1, 1]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.RescaleIntercept, ds.RescaleSlope = 0, 1
    ds.PixelData = np.full((rows, rows), number, "<i2").tobytes()
    ds["PixelData"].VR = "OW"
    return ds


def encoded(ds: Dataset, syntax: str = EXPLICIT_LE) -> bytes:
    """Bytes of a data set as they go over the network; uncompressed transfer syntaxes."""
    buffer = DicomBytesIO()
    buffer.is_little_endian = UID(syntax).is_little_endian
    buffer.is_implicit_VR = UID(syntax).is_implicit_VR
    write_dataset(buffer, ds)
    return buffer.getvalue()


@dataclass(frozen=True)
class EncodedFile:
    """A DICOM file taken apart without being parsed."""

    sop_class: str
    sop_instance: str
    syntax: str
    data_set: bytes


def file_parts(path: Path) -> EncodedFile:
    """File meta information and the untouched bytes of the data set."""
    with path.open("rb") as file:
        file.seek(132)
        meta = read_dataset(file, False, True, stop_when=lambda tag, *_: tag.group != 2)
        return EncodedFile(
            sop_class=str(meta.MediaStorageSOPClassUID),
            sop_instance=str(meta.MediaStorageSOPInstanceUID),
            syntax=str(meta.TransferSyntaxUID),
            data_set=file.read(),
        )


def sent(peer: ScriptedPeer, ds: Dataset) -> int:
    """C-STORE of a data set in Explicit VR Little Endian; the status."""
    return peer.store(str(ds.SOPClassUID), str(ds.SOPInstanceUID), encoded(ds))
