"""Table E.1-1 of DICOM PS3.15: what the Basic Profile does with an attribute.

The table itself comes from the package ``dicom-anonymizer``, which generates it from the standard; what is done with an
attribute is done here, at every depth of a data set, with UIDs that a key makes and not a process.
"""

from __future__ import annotations

from enum import StrEnum

from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c as edition
from pydicom.datadict import dictionary_has_tag, repeater_has_tag
from pydicom.tag import BaseTag

EDITION = "2026c"
"""Of the standard that the table was generated from."""


class Action(StrEnum):
    """What is done, in the letters of table E.1-1a; several letters: the first that the object's definition allows."""

    DUMMY = "D"
    EMPTY = "Z"
    REMOVE = "X"
    KEEP = "K"
    UID = "U"
    EMPTY_OR_DUMMY = "Z/D"
    REMOVE_OR_EMPTY = "X/Z"
    REMOVE_OR_DUMMY = "X/D"
    REMOVE_OR_EMPTY_OR_DUMMY = "X/Z/D"
    REMOVE_OR_EMPTY_OR_UID = "X/Z/U*"


_LISTED = {
    Action.DUMMY: edition.D_TAGS,
    Action.EMPTY: edition.Z_TAGS,
    Action.REMOVE: edition.X_TAGS,
    Action.UID: edition.U_TAGS,
    Action.EMPTY_OR_DUMMY: edition.Z_D_TAGS,
    Action.REMOVE_OR_EMPTY: edition.X_Z_TAGS,
    Action.REMOVE_OR_DUMMY: edition.X_D_TAGS,
    Action.REMOVE_OR_EMPTY_OR_DUMMY: edition.X_Z_D_TAGS,
    Action.REMOVE_OR_EMPTY_OR_UID: edition.X_Z_U_STAR_TAGS,
}
_ACTIONS = {(tag[0] << 16) + tag[1]: action for action, tags in _LISTED.items() for tag in tags if len(tag) == 2}
_CURVES, _OVERLAYS = 0x50, 0x60
"""High byte of the repeating groups: curves and overlays go as a whole, what describes them with what they show."""


def action_of(tag: BaseTag) -> Action:
    """What the profile does with an attribute.

    Private attributes, those that the dictionary does not know, curves and overlays go; the rest of the dictionary
    stays where the table does not name it.
    """
    if tag.is_private or tag.group >> 8 in (_CURVES, _OVERLAYS):
        return Action.REMOVE
    known = dictionary_has_tag(tag) or repeater_has_tag(tag)
    return _ACTIONS.get(int(tag), Action.KEEP if known else Action.REMOVE)


def how_many() -> int:
    """Attributes that the table names one by one."""
    return len(_ACTIONS)
