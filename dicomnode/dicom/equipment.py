"""What this node calls itself in the objects it makes; reception recognises its own results by it."""

from __future__ import annotations

from dicomnode.dicom.headers import text_of
from dicomnode.records import Header

MANUFACTURER = "dicomnode"
MODEL_NAME = "dicomnode"


def is_made_here(header: Header) -> bool:
    """Whether a node of this kind made the instance: Manufacturer and ManufacturerModelName (PS3.3 C.7.5.1).

    Patient and study attributes may have been changed by the PACS that sends it back, the equipment never is.

    >>> is_made_here({"Manufacturer": "dicomnode", "ManufacturerModelName": "dicomnode"})
    True
    """
    return (text_of(header, "Manufacturer"), text_of(header, "ManufacturerModelName")) == (MANUFACTURER, MODEL_NAME)
