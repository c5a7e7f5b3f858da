"""Presentation contexts that the node accepts: every Storage SOP Class in every transfer syntax it can keep or decode.

UIDs only, as strings: the stages build the contexts of their network library from them.
"""

from __future__ import annotations

import re

from pydicom.uid import UID_dictionary  # type: ignore[attr-defined]

VERIFICATION = "1.2.840.10008.1.1"
STORAGE_SERVICE = "1.2.840.10008.4.2"
"""Service class that all Storage SOP Classes belong to (DICOM PS3.4 annex B)."""

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
MULTI_FRAME_CT = frozenset({"1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2"})
"""Enhanced CT and Legacy Converted Enhanced CT."""

DEFLATED = "1.2.840.10008.1.2.1.99"

UNCOMPRESSED = (
    "1.2.840.10008.1.2.1",  # Explicit VR Little Endian
    "1.2.840.10008.1.2",  # Implicit VR Little Endian
    "1.2.840.10008.1.2.2",  # Explicit VR Big Endian
    DEFLATED,
)
LOSSLESS = (
    "1.2.840.10008.1.2.4.80",  # JPEG-LS Lossless
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 Lossless
    "1.2.840.10008.1.2.4.70",  # JPEG Lossless, First-Order Prediction
    "1.2.840.10008.1.2.4.57",  # JPEG Lossless
    "1.2.840.10008.1.2.5",  # RLE Lossless
    "1.2.840.10008.1.2.4.201",  # HTJ2K Lossless
    "1.2.840.10008.1.2.4.202",  # HTJ2K Lossless RPCL
)
LOSSY_POSSIBLE = (
    "1.2.840.10008.1.2.4.91",  # JPEG 2000
    "1.2.840.10008.1.2.4.81",  # JPEG-LS Near-Lossless
    "1.2.840.10008.1.2.4.203",  # HTJ2K
    "1.2.840.10008.1.2.4.51",  # JPEG Extended, 12 bit
    "1.2.840.10008.1.2.4.50",  # JPEG Baseline, 8 bit
)
TRANSFER_SYNTAXES = (*UNCOMPRESSED, *LOSSLESS, *LOSSY_POSSIBLE)
"""In the order of preference: of several in one presentation context the acceptor takes the first of this list, so that
pixels are never compressed for the way, and never lossily where the sender has a choice."""

_STORAGE_ROOT = "1.2.840.10008.5.1.4.1.1."
_STANDARD_ROOT = "1.2.840.10008."
_NO_STORAGE = re.compile(r"Storage Commitment|Storage Management|Media Storage Directory")


def _standard_storage_classes() -> tuple[str, ...]:
    named = {
        uid
        for uid, (name, kind, *_) in UID_dictionary.items()
        if kind == "SOP Class" and "Storage" in name and not _NO_STORAGE.search(name)
    }
    return tuple(sorted(named))


STORAGE_SOP_CLASSES = _standard_storage_classes()
"""Storage SOP Classes of the data dictionary, retired ones included (archives send what scanners once made)."""


def is_storage(sop_class_uid: str) -> bool:
    """Whether instances of this SOP Class are accepted: the known Storage classes, newer ones and private ones.

    A class that the dictionary does not know is accepted when it stands below the root of the Storage classes or is
    private: a scanner's whole transfer fails where one of its proprietary objects is refused.

    >>> is_storage("1.2.840.10008.5.1.4.1.1.66.7"), is_storage("1.3.12.2.1107.5.9.1")
    (True, True)
    >>> is_storage("1.2.840.10008.5.1.4.1.2.1.1"), is_storage(VERIFICATION)
    (False, False)
    """
    if sop_class_uid in UID_dictionary:
        return sop_class_uid in STORAGE_SOP_CLASSES
    return sop_class_uid.startswith(_STORAGE_ROOT) or not sop_class_uid.startswith(_STANDARD_ROOT)
