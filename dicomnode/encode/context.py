"""What every kind of result of one case has in common, and the attributes that it puts into each."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
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
from dicomnode.dicom.times import zone_of
from dicomnode.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicomnode.dicom.values import number_of, text_of
from dicomnode.encode import uids
from dicomnode.encode.identity import identity_of, reference_datasets
from dicomnode.encode.wording import Wording
from dicomnode.kinds import KINDS, Kind
from dicomnode.records import RESEARCH_NOTICE, Case, EncodedResult, ModelRef

BODY_PART = "HEAD"

_COLLISION_STEP = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What every result instance carries, whatever it says.

    Attributes
    ----------
    digest : of all that shapes the results; the root of every UID.
    identity : patient and study attributes for every result.
    created : when the results are written; with the offset of their TimezoneOffsetFromUTC.
    source_series_number : of the images behind the results; 0 where they have none.
    models : behind the results, each once; empty where none ran.
    is_research : whether any of them is not cleared for clinical use.
    predecessors : results that these take the place of.
    is_synthetic : whether the source says of itself that it was made and not acquired (PS3.3 C.12.1).
    words : in the language of the results.
    """

    digest: str
    identity: Dataset
    created: datetime
    station_ae_title: str
    source_series_number: int
    models: tuple[ModelRef, ...]
    is_research: bool
    predecessors: tuple[EncodedResult, ...] = ()
    is_synthetic: bool = False
    words: Wording = field(default_factory=Wording)

    def series_uid(self, kind: Kind) -> str:
        """SeriesInstanceUID of the results of ``kind``."""
        return uids.series_uid(self.digest, kind)

    def instance_uid(self, kind: Kind, index: int = 0) -> str:
        """SOPInstanceUID of the result of ``kind``, or of the one of several."""
        return uids.instance_uid(self.digest, kind, index)

    def series_number(self, kind: Kind) -> int:
        """SeriesNumber of a kind of result, never that of the source series.

        Thousands name the kind, the last three digits repeat those of the source: 91004 is the SEG of series 4.
        """
        number = KINDS[kind].series_number + abs(self.source_series_number) % 1000
        return number + _COLLISION_STEP if number == self.source_series_number else number


@dataclass(frozen=True, slots=True, kw_only=True)
class Context(Envelope):
    """Shared by the results of one case.

    Attributes
    ----------
    references : (slices,) the sources for references, in stack order.
    """

    case: Case
    references: tuple[Dataset, ...]

    def tracking_uid(self, finding: str, lesion: int | None = None) -> str:
        """Tracking UID of a finding, or of one of its lesions."""
        return uids.tracking_uid(self.digest, finding, lesion)


def context_of(case: Case, now: datetime | None = None) -> Context:
    """Gather what the results of ``case`` share.

    Parameters
    ----------
    now : time of encoding, with an offset from UTC; the clock where None.

    Raises
    ------
    ZoneInfoNotFoundError : the case's time zone is unknown.
    """
    words = Wording(case.language)
    case = words.localised(case)
    identity = identity_of(case.identity)
    models = tuple({finding.model.name: finding.model for finding in case.findings}.values())
    return Context(
        digest=uids.case_digest(case, identity),
        identity=identity,
        created=created_at(case.identity, case.timezone, now),
        station_ae_title=case.station_ae_title,
        source_series_number=int(number_of(case.sources[0], "SeriesNumber") or 0),
        models=models,
        is_research=any(finding.model.research for finding in case.findings),
        predecessors=case.predecessors,
        is_synthetic=text_of(case.sources[0], "SyntheticData") == "YES",
        words=words,
        case=case,
        references=reference_datasets(case, identity),
    )


UTC = ZoneInfo("UTC")


def created_at(header: Dataset, zone: str, now: datetime | None = None) -> datetime:
    """The time of encoding in the zone of the study's times.

    Parameters
    ----------
    zone : IANA name, for a header that states no offset.
    now : with an offset from UTC; the clock where None.

    Raises
    ------
    ZoneInfoNotFoundError : the zone is unknown.
    """
    return (now or datetime.now(UTC)).astimezone(zone_of(header, zone))


def stamp(ds: SOPClass, envelope: Envelope, kind: Kind, description: str) -> None:
    """Put identity, series, equipment and times into a result, in place, over what a library has guessed.

    Parameters
    ----------
    description : SeriesDescription, without the word about research.
    """
    _stamp_identity(ds, envelope)
    ds.SeriesDescription = _described(description, envelope)
    ds.SeriesNumber = envelope.series_number(kind)
    if ds.Modality != "SR":
        ds.BodyPartExamined = BODY_PART
    if envelope.is_research:
        ds.ContentQualification = "RESEARCH"
    if envelope.is_synthetic:
        ds.SyntheticData = "YES"
    _stamp_equipment(ds, envelope)
    _stamp_times(ds, envelope)
    settle(ds)


def _described(description: str, envelope: Envelope) -> str:
    """At most 64 characters, with the word about research (PS3.5 6.2, LO)."""
    if not envelope.is_research:
        return description[:64]
    room = 64 - len(envelope.words.say("series research", description=""))
    return envelope.words.say("series research", description=description[:room])


def _stamp_identity(ds: SOPClass, envelope: Envelope) -> None:
    for element in envelope.identity:
        ds[element.tag] = DataElement(element.tag, element.VR, element.value, validation_mode=IGNORE)
    if "SpecificCharacterSet" not in envelope.identity and "SpecificCharacterSet" in ds:
        del ds.SpecificCharacterSet


def _stamp_equipment(ds: SOPClass, envelope: Envelope) -> None:
    ds.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    ds.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    ds.Manufacturer = MANUFACTURER
    ds.ManufacturerModelName = MODEL_NAME
    ds.SoftwareVersions = dicomnode.__version__
    ds.DeviceSerialNumber = ds.StationName = envelope.station_ae_title
    ds["ContributingEquipmentSequence"] = DataElement(
        "ContributingEquipmentSequence", "SQ", [_processing_equipment(envelope)]
    )


def _processing_equipment(envelope: Envelope) -> Dataset:
    """PS3.3 C.12.1.1.5: which software with which models made this."""
    item = Dataset()
    item.Manufacturer = MANUFACTURER
    item.ManufacturerModelName = MODEL_NAME
    item.StationName = envelope.station_ae_title
    item.SoftwareVersions = [
        dicomnode.__version__,
        *(f"{model.name} {model.version}"[:64] for model in envelope.models),
    ]
    digests = "; ".join(f"{model.name} {model.version} {model.digest}" for model in envelope.models)
    item.ContributionDescription = f"{RESEARCH_NOTICE}. Models: {digests or 'none was run'}"[:1024]
    item.PurposeOfReferenceCodeSequence = [coded(codes.PROCESSING_EQUIPMENT)]
    return item


def _stamp_times(ds: SOPClass, envelope: Envelope) -> None:
    date, time = envelope.created.strftime("%Y%m%d"), envelope.created.strftime("%H%M%S")
    for name in ("SeriesDate", "ContentDate", "InstanceCreationDate"):
        setattr(ds, name, date)
    for name in ("SeriesTime", "ContentTime", "InstanceCreationTime"):
        setattr(ds, name, time)
    ds.TimezoneOffsetFromUTC = envelope.created.strftime("%z")[:5]


def coded(code: codes.Code) -> Dataset:
    """A code sequence item (PS3.3 section 8.8)."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code
    return item
