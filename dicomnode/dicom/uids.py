"""Unique identifiers: validation, and derivation under the UUID root (DICOM PS3.5 chapter 9 and annex B.2)."""

from __future__ import annotations

import json
import re
import uuid

IMPLEMENTATION_CLASS_UID = "2.25.189315279357954400794941238780088044584"
"""Names this implementation in associations and file meta information (DICOM PS3.7 D.3.3.2)."""
IMPLEMENTATION_VERSION_NAME = "DICOMNODE_010"

MAX_UID_LENGTH = 64

_NAMESPACE = uuid.UUID("9928da64-a096-4d53-b85c-17dffa4fb6ee")
_UID = re.compile(r"[0-9]+(?:\.[0-9]+)*")


def is_valid_uid(uid: str) -> bool:
    """Whether ``uid`` holds digits and single dots only, at most 64 characters.

    Components with leading zeros are taken although DICOM PS3.5 9.1 forbids them: scanners send such, and the check
    must only make sure that a UID is safe as a file name and unambiguous. ``..``, ``/`` and NUL can never pass.

    >>> is_valid_uid("1.2.840.10008.1.1"), is_valid_uid("1.02.3"), is_valid_uid("1..2"), is_valid_uid("../1")
    (True, True, False, False)
    """
    return len(uid) <= MAX_UID_LENGTH and _UID.fullmatch(uid) is not None


def derived_uid(*parts: str) -> str:
    """UID that depends on nothing but ``parts``: ``2.25.`` and a version 5 UUID as a decimal number (44 characters).

    The parts are joined as JSON, so that ``("ab", "c")`` and ``("a", "bc")`` differ.

    Raises
    ------
    ValueError : no part given; such a UID would be the same for everything.
    """
    if not parts:
        raise ValueError("a derived UID needs at least one part")
    return f"2.25.{uuid.uuid5(_NAMESPACE, json.dumps(parts)).int}"


def usable_uid(uid: str, *what: str) -> str:
    """The UID itself, or, where it is none and could not serve as a name, one derived from it and ``what``.

    >>> usable_uid("1.2.3"), usable_uid("../../etc/passwd") == usable_uid("../../etc/passwd")
    ('1.2.3', True)
    """
    return uid if is_valid_uid(uid) else derived_uid("unusable", *what, uid)


def names_of(identifier: str) -> tuple[str, ...]:
    """What a person may have been told, and what the node keeps it under where it is no UID (:func:`usable_uid`).

    >>> names_of("1.2.3"), len(names_of("1." + "2" * 66))
    (('1.2.3',), 4)
    """
    kept = (usable_uid(identifier, *what) for what in (("study",), ("series",), ()))
    return tuple(dict.fromkeys((identifier, *kept)))
