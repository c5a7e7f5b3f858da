"""The files of a case, each read, cleaned, looked through once more, and written as bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID

from dicomnode.dicom.deidentify.leftovers import clean_texts, names_in, still_named
from dicomnode.dicom.deidentify.profile import Deidentifier, Requires
from dicomnode.dicom.equipment import MANUFACTURER, MODEL_NAME
from dicomnode.dicom.received import BAD_FILE, read_received
from dicomnode.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicomnode.encode.standard import requirements
from dicomnode.errors import ExportRefusal, ExportRefused, SeriesError

OWN_NAMES = frozenset({MANUFACTURER.lower(), MODEL_NAME.lower()})
"""What the node calls itself in its results."""
_NUMBERS, _IS_NUMBER = re.compile(rb"[0-9][0-9.]{7,}"), re.compile(r"[0-9][0-9.]{7,}")
"""UIDs, dates, and IDs of digits, in a file and by themselves."""
_SURELY_LONG = 8
"""From so many characters on a name is also looked for in the bytes of a whole file, pixels and all."""


@dataclass
class Cleaner:
    """Cleans the files of one case, and remembers whom they named."""

    deidentifier: Deidentifier
    names: set[str] = field(default_factory=set)

    def learn(self, path: Path) -> None:
        """Remember whom a file names, before any is cleaned: one may name what another must not.

        Raises
        ------
        ExportRefused : it cannot be read.
        """
        self.names |= {name for name in names_in(read_whole(path)) if name not in OWN_NAMES}

    def cleaned(self, path: Path, *, is_source: bool) -> bytes:
        """A file without what names the patient.

        Parameters
        ----------
        is_source : an image that others made; what is drawn into the pixels of the node's own results is known.

        Raises
        ------
        ExportRefused : it cannot be read, its pixels may name the patient, or a name is left.
        """
        ds = read_whole(path)
        if is_source:
            _refuse_telling_pixels(ds)
        self.deidentifier.clean(ds, _requirements_of(ds))
        clean_texts(ds, self.names)
        if keyword := still_named(ds, self.names):
            raise ExportRefused(ExportRefusal.STILL_NAMED, keyword)
        try:
            written = _written(ds)
        except BAD_FILE as fault:
            raise ExportRefused(ExportRefusal.UNREADABLE, f"({type(fault).__name__})") from fault
        self.refuse_named(written, path.suffix)
        return written

    def refuse_named(self, content: bytes, where: str) -> None:
        """Do nothing where bytes hold no name.

        Raises
        ------
        ExportRefused : they do.
        """
        lowered = content.lower()
        numbers = {found.decode("ascii").strip(".") for found in _NUMBERS.findall(lowered)}
        long = [name for name in self.names if len(name) >= _SURELY_LONG]
        # a series names thousands of instances: these are looked up, not looked for one by one
        words = [name for name in long if not _IS_NUMBER.fullmatch(name)]
        if numbers.intersection(long) or any(form in lowered for name in words for form in _forms(name)):
            raise ExportRefused(ExportRefusal.STILL_NAMED, f"the bytes of a {where or 'file'}")


def read_whole(path: Path) -> FileDataset:
    """A file with its pixels.

    Raises
    ------
    ExportRefused : it cannot be read.
    """
    try:
        return read_received(path)
    except (SeriesError, *BAD_FILE) as fault:
        raise ExportRefused(ExportRefusal.UNREADABLE, f"({type(fault).__name__})") from fault


def _forms(name: str) -> Iterator[bytes]:
    yield name.encode("utf-8")
    if not name.isascii():
        yield name.encode("latin-1", "ignore")


def _refuse_telling_pixels(ds: Dataset) -> None:
    if str(ds.get("BurnedInAnnotation", "")).strip().upper() == "YES":
        raise ExportRefused(ExportRefusal.BURNED_IN)
    embedded = [element for element in ds if element.tag.group >> 8 == 0x60 and element.tag.element == 0x0102]
    if any(element.value for element in embedded):
        raise ExportRefused(ExportRefusal.HIDDEN_OVERLAY)


def _requirements_of(ds: Dataset) -> Requires:
    try:
        return requirements(str(ds.get("SOPClassUID", "")))
    except KeyError:
        # an object that the tables do not know keeps a dummy wherever one is allowed
        return lambda _path, _keyword: 1


def _written(ds: FileDataset) -> bytes:
    """Part 10 bytes with file meta information of the node's own: the sender's names AE titles and systems."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    meta.TransferSyntaxUID = ds.file_meta.TransferSyntaxUID
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    ds.file_meta, ds.preamble = meta, bytes(128)
    buffer = BytesIO()
    dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()
