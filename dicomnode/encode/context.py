"""What every kind of result of one case has in common, and the attributes that it puts into each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from highdicom.base import SOPClass
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import UID

import dicomnode
from dicomnode.dicom import codes
from dicomnode.dicom.charsets import settle
from dicomnode.dicom.equipment import MANUFACTURER, MODEL_NAME
from dicomnode.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicomnode.encode import uids
from dicomnode.encode.identity import identity_of, reference_datasets
from dicomnode.encode.values import number_of, text_of
from dicomnode.records import RESEARCH_NOTICE, Case

BODY_PART = "HEAD"

SERIES_NUMBER_BASE = {"seg": 91_000, "sr": 92_000, "sc": 93_000}
"""Thousands name the kind, the last three digits repeat those of the source series: 91004 is the SEG of series 4."""
_COLLISION_STEP = 100_000


@dataclass(frozen=True, slots=True)
class Context:
    """Shared by the results of one case.

    Attributes
    ----------
    digest : of all that shapes the results; the root of every UID.
    identity : patient and study attributes for every result.
    references : (slices,) the sources for references, in stack order.
    created : when the results are written; with the offset of their TimezoneOffsetFromUTC.
    """

    case: Case
    digest: str
    identity: Dataset
    references: tuple[Dataset, ...]
    created: datetime

    def series_uid(self, kind: str) -> str:
        """SeriesInstanceUID of the results of ``kind``."""
        return uids.series_uid(self.digest, kind)

    def instance_uid(self, kind: str) -> str:
        """SOPInstanceUID of the result of ``kind``."""
        return uids.instance_uid(self.digest, kind)

    def tracking_uid(self, finding: str, lesion: int | None = None) -> str:
        """Tracking UID of a finding, or of one of its lesions."""
        return uids.tracking_uid(self.digest, finding, lesion)

    @property
    def is_research(self) -> bool:
        """Whether any model behind the results is not cleared for clinical use."""
        return any(finding.model.research for finding in self.case.findings)

    def series_number(self, kind: str) -> int:
        """SeriesNumber of a kind of result, never that of the source series."""
        source = int(number_of(self.case.sources[0], "SeriesNumber") or 0)
        number = SERIES_NUMBER_BASE[kind] + abs(source) % 1000
        return number + _COLLISION_STEP if number == source else number


def context_of(case: Case, now: datetime | None = None) -> Context:
    """Gather what the results of ``case`` share.

    Parameters
    ----------
    now : time of encoding, with an offset from UTC; the clock where None.

    Raises
    ------
    ZoneInfoNotFoundError : the case's time zone is unknown.
    """
    identity = identity_of(case.identity)
    created = (now or datetime.now(UTC)).astimezone(_zone(case))
    return Context(case, uids.case_digest(case, identity), identity, reference_datasets(case, identity), created)


UTC = ZoneInfo("UTC")


def _zone(case: Case) -> timezone | ZoneInfo:
    """The zone of all times in a result (PS3.3 C.12.1.1.8).

    TimezoneOffsetFromUTC governs StudyTime too, which is copied: an offset stated by the source must be kept.
    """
    stated = text_of(case.identity, "TimezoneOffsetFromUTC")
    if len(stated) == 5 and stated[0] in "+-" and stated[1:].isdigit():
        offset = timedelta(hours=int(stated[1:3]), minutes=int(stated[3:]))
        return timezone(-offset if stated[0] == "-" else offset)
    return ZoneInfo(case.timezone)


def stamp(ds: SOPClass, context: Context, kind: str, description: str) -> None:
    """Put identity, series, equipment and times into a result, in place, over what a library has guessed.

    Parameters
    ----------
    kind : key of ``SERIES_NUMBER_BASE``.
    description : SeriesDescription, without the word about research.
    """
    _stamp_identity(ds, context)
    ds.SeriesDescription = f"{description} (research)" if context.is_research else description
    ds.SeriesNumber = context.series_number(kind)
    if ds.Modality != "SR":
        ds.BodyPartExamined = BODY_PART
    if context.is_research:
        ds.ContentQualification = "RESEARCH"
    _stamp_equipment(ds, context)
    _stamp_times(ds, context)
    settle(ds)


def _stamp_identity(ds: SOPClass, context: Context) -> None:
    for element in context.identity:
        ds[element.tag] = DataElement(element.tag, element.VR, element.value, validation_mode=IGNORE)
    if "SpecificCharacterSet" not in context.identity and "SpecificCharacterSet" in ds:
        del ds.SpecificCharacterSet


def _stamp_equipment(ds: SOPClass, context: Context) -> None:
    ds.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    ds.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    ds.Manufacturer = MANUFACTURER
    ds.ManufacturerModelName = MODEL_NAME
    ds.SoftwareVersions = dicomnode.__version__
    ds.DeviceSerialNumber = ds.StationName = context.case.station_ae_title
    ds["ContributingEquipmentSequence"] = DataElement(
        "ContributingEquipmentSequence", "SQ", [_processing_equipment(context)]
    )


def _processing_equipment(context: Context) -> Dataset:
    """PS3.3 C.12.1.1.5: which software with which models made this."""
    item = Dataset()
    item.Manufacturer = MANUFACTURER
    item.ManufacturerModelName = MODEL_NAME
    item.StationName = context.case.station_ae_title
    models = {finding.model.name: finding.model for finding in context.case.findings}.values()
    item.SoftwareVersions = [dicomnode.__version__, *(f"{model.name} {model.version}"[:64] for model in models)]
    digests = "; ".join(f"{model.name} {model.version} {model.digest}" for model in models)
    item.ContributionDescription = f"{RESEARCH_NOTICE}. Models: {digests}"[:1024]
    item.PurposeOfReferenceCodeSequence = [coded(codes.PROCESSING_EQUIPMENT)]
    return item


def _stamp_times(ds: SOPClass, context: Context) -> None:
    date, time = context.created.strftime("%Y%m%d"), context.created.strftime("%H%M%S")
    for name in ("SeriesDate", "ContentDate", "InstanceCreationDate"):
        setattr(ds, name, date)
    for name in ("SeriesTime", "ContentTime", "InstanceCreationTime"):
        setattr(ds, name, time)
    ds.TimezoneOffsetFromUTC = context.created.strftime("%z")[:5]


def coded(code: codes.Code) -> Dataset:
    """A code sequence item (PS3.3 section 8.8)."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code
    return item
