"""The Basic Profile, done to a data set: table E.1-1 at every depth, then the attributes that say so (PS3.15 E.1.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.uid import UID

import dicomnode
from dicomnode.dicom.deidentify.pseudonyms import Pseudonyms, moved
from dicomnode.dicom.deidentify.table import EDITION, Action, action_of

Requires = Callable[[tuple[str, ...], str], int]
"""(keywords of the sequences above, keyword) -> type of an attribute in its object: 1, 2 or 3."""

DATES = ("DA", "DT", "TM")
OF_BIRTH = frozenset({"PatientBirthDate", "PatientBirthTime", "PatientBirthDateInAlternativeCalendar"})
"""Never moved with the others: the option for dates leaves them to the basic profile."""
KEPT_UIDS = frozenset({"CodingSchemeUID", "ContextUID", "MappingResourceUID", "ContextGroupExtensionCreatorUID"})
"""They name vocabularies, and nobody."""
_DUMMIES: dict[str, object] = {
    **dict.fromkeys(("AE", "CS", "LO", "LT", "SH", "ST", "UC", "UT"), "REMOVED"),
    "PN": "Removed",
    "AS": "000Y",
    "DA": "19000101",
    "DT": "19000101000000",
    "TM": "000000",
    "UR": "http://removed.invalid",
    **dict.fromkeys(("DS", "IS", "FD", "FL", "SL", "SS", "UL", "US", "SV", "UV"), 0),
}


@dataclass(frozen=True, slots=True)
class Deidentifier:
    """Cleans the data sets of one patient.

    Parameters
    ----------
    pseudonym : in place of name and ID.
    days : by which dates are moved; None: they go, as the basic profile says.
    """

    pseudonyms: Pseudonyms
    pseudonym: str
    days: int | None

    def clean(self, ds: Dataset, requires: Requires) -> None:
        """Do to a data set what the profile says, in place, and have it say so.

        Parameters
        ----------
        requires : what the object's definition demands.
        """
        has_content = "ContentSequence" in ds
        self._clean_item(ds, (), requires)
        ds.PatientName = ds.PatientID = self.pseudonym
        ds.PatientIdentityRemoved = "YES"
        ds.DeidentificationMethod = ["DICOM PS3.15 Basic Application Level Confidentiality Profile", _edition()]
        codes = [("113100", "Basic Application Confidentiality Profile")]
        if has_content:
            codes.append(("113104", "Clean Structured Content Option"))
        if self.days is not None:
            codes.append(("113107", "Retain Longitudinal Temporal Information Modified Dates Option"))
        ds.DeidentificationMethodCodeSequence = Sequence([_code(value, meaning) for value, meaning in codes])
        ds.LongitudinalTemporalInformationModified = "REMOVED" if self.days is None else "MODIFIED"
        # a head CT shows a face to whoever renders it: that is said, not undone
        ds.RecognizableVisualFeatures = "YES"

    def _clean_item(self, ds: Dataset, path: tuple[str, ...], requires: Requires) -> None:
        for tag in list(ds.keys()):
            action = action_of(tag)
            element = None if action is Action.REMOVE and not self._is_moved_at(ds, tag) else ds[tag]
            if element is None:
                del ds[tag]
            else:
                self._do(ds, element, action, path, requires)

    def _is_moved_at(self, ds: Dataset, tag: BaseTag) -> bool:
        return self.days is not None and self._is_moved(ds[tag])

    def _is_moved(self, element: DataElement) -> bool:
        listed = action_of(element.tag) is not Action.KEEP and not element.tag.is_private
        return self.days is not None and element.VR in DATES and listed and element.keyword not in OF_BIRTH

    def _do(self, ds: Dataset, element: DataElement, action: Action, path: tuple[str, ...], requires: Requires) -> None:
        if self._is_moved(element):
            self._move(element)
        elif element.VR == "UI":
            self._replace_uids(element)
        elif element.keyword == "ContentSequence" or action in (Action.KEEP, Action.UID, Action.REMOVE_OR_EMPTY_OR_UID):
            self._go_deeper(element, path, requires)
        else:
            self._take_out(ds, element, action, requires(path, element.keyword))

    def _go_deeper(self, element: DataElement, path: tuple[str, ...], requires: Requires) -> None:
        if element.VR == "SQ":
            for item in element.value or ():
                self._clean_item(item, (*path, element.keyword), requires)

    def _take_out(self, ds: Dataset, element: DataElement, action: Action, needed: int) -> None:
        """The first of the action's letters that the object's definition allows."""
        letters = action.value.split("/")
        allowed = {1: ("D",), 2: ("Z", "D"), 3: ("X", "Z", "D")}[needed]
        letter = next((one for one in letters if one in allowed), letters[-1])
        if letter == "X":
            del ds[element.tag]
        elif letter == "Z":
            element.clear()
        else:
            element.value = _dummy(element.VR)

    def _move(self, element: DataElement) -> None:
        if element.VR == "TM" or self.days is None:
            return
        values = element.value if element.VM > 1 else [element.value]
        element.value = [moved(str(value), self.days) for value in values if value]

    def _replace_uids(self, element: DataElement) -> None:
        if element.keyword in KEPT_UIDS or not element.value:
            return
        values = element.value if element.VM > 1 else [element.value]
        element.value = [self.uid(str(value)) for value in values]

    def uid(self, original: str) -> str:
        """What stands in place of a UID; those that the standard itself defines stay."""
        return original if not original or is_of_the_standard(original) else self.pseudonyms.uid(original)


def is_of_the_standard(uid: str) -> bool:
    """Whether DICOM itself registers it: a SOP class, a transfer syntax, a well-known frame of reference."""
    return UID(uid).name != uid


def _dummy(vr: str) -> object:
    if vr == "SQ":
        return [_code("REMOVED", "Removed", scheme="99DCMNODE")]
    return _DUMMIES.get(vr, b"\0\0")


def _code(value: str, meaning: str, scheme: str = "DCM") -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _edition() -> str:
    return f"Table E.1-1 of {EDITION}; dicomnode {dicomnode.__version__}"
