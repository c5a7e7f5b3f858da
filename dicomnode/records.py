"""The frozen records that the stages exchange. No I/O, no behaviour beyond derived values.

Array index order is (slice, row, column) everywhere; positions are DICOM patient coordinates (LPS, millimetres).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomnode.decision import Decision, Grounds, grounds_of
from dicomnode.errors import Refusal
from dicomnode.kinds import Kind
from dicomnode.language import Language

RESEARCH_NOTICE = "Research, not for diagnosis"

PROBABILITY_SCALE = 10_000
"""Steps of a stored probability from 0 to 1."""
PROBABILITY_FLOOR = 0.01
"""A stored probability below it is 0: nobody acts on it, and it would fill files with noise."""

HeaderValue = str | float | int | list[Any] | None
Header = dict[str, HeaderValue]
"""DICOM keyword -> value of one instance, JSON-able. Made by ``dicom.headers.header_of``; holds no person names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Geometry of a stack of parallel slices, sorted along the normal (DICOM PS3.3 C.7.6.2.1.1).

    Attributes
    ----------
    order : index into the caller's list for each sorted slice.
    positions_mm : (slices, 3) ImagePositionPatient, sorted.
    row_cosines, column_cosines : (3,) direction of increasing column index, of increasing row index.
    normal : (3,) row_cosines x column_cosines.
    offsets_mm : (slices,) projection of the positions on the normal, ascending.
    weights_mm : (slices,) half the distance to each neighbour; an end slice: the distance to its only one.
    row_spacing_mm, column_spacing_mm : distance between rows, between columns (PixelSpacing[0], PixelSpacing[1]).
    shear : (2,) drift of the origin along row_cosines, column_cosines per mm along the normal; (0, 0) untilted.
    """

    order: tuple[int, ...]
    positions_mm: NDArray[np.float64]
    row_cosines: NDArray[np.float64]
    column_cosines: NDArray[np.float64]
    normal: NDArray[np.float64]
    offsets_mm: NDArray[np.float64]
    weights_mm: NDArray[np.float64]
    rows: int
    columns: int
    row_spacing_mm: float
    column_spacing_mm: float
    shear: tuple[float, float]

    @property
    def pixel_area_mm2(self) -> float:
        """In-plane area of one voxel."""
        return self.row_spacing_mm * self.column_spacing_mm

    @property
    def voxel_ml(self) -> NDArray[np.float64]:
        """(slices,) volume of one voxel of each slice."""
        return np.asarray(self.weights_mm * self.pixel_area_mm2 / 1000.0)

    def volume_ml(self, mask: NDArray[np.bool_]) -> float:
        """Volume of a mask (slices, rows, columns) in stack order."""
        return float(mask.sum(axis=(1, 2)) @ self.voxel_ml)

    @property
    def spacings_mm(self) -> NDArray[np.float64]:
        """(slices - 1,) distances along the normal between neighbours."""
        return np.diff(self.offsets_mm)

    @property
    def coverage_mm(self) -> float:
        """Distance along the normal from the first to the last slice."""
        return float(self.offsets_mm[-1] - self.offsets_mm[0])


@dataclass(frozen=True, slots=True)
class Volume:
    """One CT series in Hounsfield units on its own slice grid.

    Attributes
    ----------
    hu : (slices, rows, columns) float32; padding is AIR_HU.
    stack : the geometry; slice i of ``hu`` lies at ``stack.positions_mm[i]``.
    sop_instance_uids : of each slice, in stack order.
    """

    hu: NDArray[np.float32]
    stack: Stack
    sop_instance_uids: tuple[str, ...]


Translations = tuple[tuple[str, str], ...]
"""(language, text) of what a bundle says in other languages than its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRef:
    """Which model made a finding; every result names it.

    Attributes
    ----------
    digest : sha256 over the bundle's files, ``sha256:<hex>``.
    research : True where the weights are not cleared for clinical use.
    translations : of ``trained_on``.
    """

    name: str
    version: str
    digest: str
    title: str
    trained_on: str
    research: bool
    translations: Translations = ()


class Side(StrEnum):
    """On which side of the mid-sagittal plane a region lies, the patient's own."""

    LEFT = "left"
    RIGHT = "right"
    MIDLINE = "midline"


class Level(StrEnum):
    """In which third of the scanned height of the head a region lies: a place in the scan, no part of the brain."""

    UPPER = "upper third"
    MIDDLE = "middle third"
    LOWER = "lower third"


class BrainPart(StrEnum):
    """A region of the brain, as the anatomical frame tells them apart (``measure.anatomy``)."""

    FRONTAL = "frontal lobe"
    PARIETAL = "parietal lobe"
    TEMPORAL = "temporal lobe"
    OCCIPITAL = "occipital lobe"
    BASAL_GANGLIA = "basal ganglia"
    THALAMUS = "thalamus"
    CEREBELLUM = "cerebellum"
    BRAINSTEM = "brainstem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Measurements of one lesion or of the total, on the source grid.

    Attributes
    ----------
    volume_ml : voxels x in-plane area x slice weight / 1000.
    abc2_ml : ABC/2 of the region (Kothari 1996, weighted slices); None where it has no extent.
    longest_diameter_mm : largest in-plane distance on the slice with the largest area.
    first_slice, last_slice : 0-based, in stack order, inclusive.
    centroid_mm : (x, y, z) patient coordinates.
    side, level : where it lies, see ``measure.place``; None where the skull does not tell.
    parts : regions that it may have arisen in, the likeliest first, one where that is certain; empty where no
        anatomical frame was found, and of a total.
    shares : of its volume by region, the largest first; with ``ventricular_share`` they make the whole.
    ventricular_share : of its volume, 0 to 1; None without a frame.
    mirror_hu : mean attenuation of the same place across the midline; None without a frame, at the midline, or where
        no brain lies there.
    """

    voxels: int
    volume_ml: float
    abc2_ml: float | None
    mean_hu: float
    max_hu: float
    longest_diameter_mm: float
    first_slice: int
    last_slice: int
    centroid_mm: tuple[float, float, float]
    side: Side | None = None
    level: Level | None = None
    parts: tuple[BrainPart, ...] = ()
    shares: tuple[tuple[BrainPart, float], ...] = ()
    ventricular_share: float | None = None
    mirror_hu: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadMeasures:
    """What a head shows as a whole, by its anatomical frame (``measure.anatomy``); None: it could not be seen.

    Attributes
    ----------
    likeness : of the skull in its frame to those that the frame was learned from, -1 to 1.
    midline_shift_mm : of the septum pellucidum from the ideal midline, to the patient's left positive.
    inner_width_mm : between the inner tables of the skull at the septum.
    evans_index : width of the frontal horns over the inner width of the skull.
    hypodense_percent : hypodense share of the cerebrum, without fluid and blood (``measure.anatomy.hypodense``).
    """

    likeness: float
    midline_shift_mm: float | None = None
    inner_width_mm: float | None = None
    evans_index: float | None = None
    hypodense_percent: float | None = None


CodedConcept = tuple[str, str, str]
"""Code value, coding scheme designator, code meaning (DICOM PS3.3 8.8)."""


@dataclass(frozen=True, slots=True)
class FindingConcepts:
    """How the model's bundle codes a finding.

    Attributes
    ----------
    category, type : SegmentedPropertyCategory and SegmentedPropertyType (PS3.3 C.8.20.2).
    site : AnatomicRegion; None where the bundle does not say.
    """

    category: CodedConcept
    type: CodedConcept
    site: CodedConcept | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskFinding:
    """A segmented finding on the source's own slices.

    Attributes
    ----------
    name : machine name, such as ``hemorrhage``.
    label : what the radiologist reads, such as ``Intracranial haemorrhage``.
    mask : (slices, rows, columns) bool, in the stack order of the volume: the lesions, and nothing else.
    threshold : probability above which a voxel belongs to the mask.
    detection_limit_ml : smallest piece that is a lesion; smaller ones are neither counted nor drawn.
    total : of all lesions; None where there is none.
    lesions : 26-connected, each at least ``detection_limit_ml``, largest first.
    lesion_labels : (slices, rows, columns) whole numbers; lesion k of ``lesions`` has value k + 1.
    concepts : codes that its bundle gives it; None: those of its name.
    exam_probability : that the exam shows the finding at all, 0..1; None where the bundle states no threshold for it.
    exam_threshold : of ``exam_probability``.
    probability : (slices, rows, columns) uint16, in steps of 1 / ``PROBABILITY_SCALE``, 0 below ``PROBABILITY_FLOOR``;
        None where nobody asked for it.
    inputs_digest : hex sha256 of all that shaped it beside model and images; empty where nothing did.
    dense_pieces, dense_ml : what was marked and is as large as a lesion, but has the attenuation of bone, calcium or
        contrast: it is no lesion, and stands neither in ``mask`` nor in ``total``.
    dense_rule : how that is told, see ``measure.density``; empty where nothing is taken out.
    may_be_contrast : what is dense may be contrast medium that a thrombectomy left, and blood may lie below it.
    translations : of ``label``.
    head : measures of the whole head; None where no anatomical frame was found.
    """

    name: str
    label: str
    mask: NDArray[np.bool_]
    threshold: float
    detection_limit_ml: float
    model: ModelRef
    total: Region | None
    lesions: tuple[Region, ...]
    lesion_labels: NDArray[np.integer[Any]]
    concepts: FindingConcepts | None = None
    exam_probability: float | None = None
    exam_threshold: float | None = None
    probability: NDArray[np.uint16] | None = None
    inputs_digest: str = ""
    dense_pieces: int = 0
    dense_ml: float = 0.0
    dense_rule: str = ""
    may_be_contrast: bool = False
    translations: Translations = ()
    head: HeadMeasures | None = None

    @property
    def grounds(self) -> Grounds:
        """What marks and exam probability say together."""
        return grounds_of(bool(self.lesions), self.exam_probability, self.exam_threshold)

    @property
    def decision(self) -> Decision:
        """Whether the exam is positive, uncertain or negative for this finding."""
        return self.grounds.decision


MEASURED = "measured"
"""Source of an input that was measured on the scan itself."""


@dataclass(frozen=True, slots=True)
class ScoreInput:
    """A value that a score was computed from.

    Attributes
    ----------
    label : what the radiologist reads, such as ``Glasgow Coma Scale``.
    value : with its unit, such as ``12`` or ``16.1 mL``.
    source : where it comes from: ``measured``, ``header``, ``HL7``, ``entered``, ...
    observed_at : ISO 8601; empty where the source does not say.
    offset_s : from the scan to the observation; negative before it; None where either time is not known.
    """

    label: str
    value: str
    source: str
    observed_at: str = ""
    offset_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceScore:
    """A published score that needs no learning, printed beside a model's.

    Attributes
    ----------
    name : machine name, at most 16 characters, such as ``ich_score``.
    value : None where an input is missing; then ``possible`` holds the lowest and the highest it may be.
    unit : UCUM code, such as ``{score}``.
    meaning : what it says and for whom, such as ``30-day mortality 72 % (Hemphill 2001, 152 patients)``.
    possible : the lowest and the highest that it may be; None where nothing is known of it, or ``value`` is.
    working : how it comes about, such as ``GCS 1, volume 1, age 0 to 1``.
    headline : what a picture has room for beside the value, such as the 30-day mortality ``72 %``.
    inputs, missing : what it was computed from; the labels of what was not known.
    """

    name: str
    label: str
    value: float | None
    unit: str
    meaning: str
    possible: tuple[float, float] | None = None
    working: str = ""
    headline: str = ""
    inputs: tuple[ScoreInput, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one input does to a score, for one patient.

    Attributes
    ----------
    label : what the radiologist reads, such as ``D-dimer`` or ``"off balance"``.
    change : the score less what it would be were this not known, in the unit of the score.
    """

    label: str
    change: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreFinding:
    """A number about the patient, such as the probability of an event within a time.

    Attributes
    ----------
    name : machine name, at most 16 characters; its code in reports.
    label : what the radiologist reads; it names event and horizon.
    value : in ``unit``; a probability is 0..1 with unit ``1``.
    unit : UCUM code.
    interval : (low, high) 95 % confidence interval, in ``unit``.
    threshold : operating threshold of the category, in ``unit``.
    category : coded concept (value, scheme, meaning), such as high risk.
    reference : scores that need no learning, for comparison.
    inputs, missing : what it was computed from; the labels of what was not known.
    warnings : limits of the intended use that this patient touches.
    definition : of the event, in full.
    contributions : what single inputs do to it, the largest first.
    attention : (slices, rows, columns) uint8 in the stack order of the volume, 0 to 255: where of the head it comes
        from (Score-CAM); None where nobody asked a network.
    inputs_digest : hex sha256 of all that shaped it beside model and images; empty where nothing did.
    translations : of ``label``.
    """

    name: str
    label: str
    value: float
    unit: str
    model: ModelRef
    interval: tuple[float, float] | None = None
    threshold: float | None = None
    category: tuple[str, str, str] | None = None
    reference: tuple[ReferenceScore, ...] = ()
    inputs: tuple[ScoreInput, ...] = ()
    missing: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    definition: str = ""
    contributions: tuple[Contribution, ...] = ()
    attention: NDArray[np.uint8] | None = None
    inputs_digest: str = ""
    translations: Translations = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFinding:
    """A scan that a model predicts, on the source's own slices.

    Attributes
    ----------
    name, label : machine name; what the radiologist reads, such as ``Predicted follow-up scan``.
    hu : (slices, rows, columns) float32, in the stack order of the volume.
    horizon : which time it shows, such as ``24 h after the baseline scan``.
    probability : (slices, rows, columns) uint16, ``PROBABILITY_SCALE`` x the chance that a voxel of that scan holds
        what ``hu`` does not show, such as blood; it is outlined on the scan. None: nothing is.
    outlined : of which finding that is the chance, by a name that :mod:`dicomnode.dicom.codes` knows; empty where the
        bundle does not say.
    note : what the banner says of it, such as ``Blood on it: 35 %``; empty where there is nothing to say.
    warnings : limits of the intended use that this patient touches.
    inputs_digest : hex sha256 of all that shaped it beside model and images; empty where nothing did.
    translations : of ``label``.
    """

    name: str
    label: str
    hu: NDArray[np.float32]
    horizon: str
    model: ModelRef
    probability: NDArray[np.uint16] | None = None
    outlined: str = ""
    note: str = ""
    warnings: tuple[str, ...] = ()
    inputs_digest: str = ""
    translations: Translations = ()


class Inapplicable(StrEnum):
    """Coded reasons why a model gives no finding for a patient; :meth:`sentence` is what a person reads.

    A value becomes a code value, which holds 16 characters (DICOM PS3.5 6.2, SH).
    """

    OUTSIDE_POPULATION = "population"
    MISSING_VARIABLE = "missing_variable"
    MISSING_TEXT = "missing_text"
    MISSING_FINDING = "missing_finding"

    def sentence(self) -> str:
        """What a person reads."""
        return _INAPPLICABLE[self]


_INAPPLICABLE: dict[Inapplicable, str] = {
    Inapplicable.OUTSIDE_POPULATION: "The patient lies outside the population that the model is for.",
    Inapplicable.MISSING_VARIABLE: "A variable that the model needs is not known.",
    Inapplicable.MISSING_TEXT: "A report text that the model needs is not known.",
    Inapplicable.MISSING_FINDING: "A finding that the model needs could not be given.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NotApplicable:
    """A finding that a model does not give for this patient, and why. Silence would be read as "nothing found".

    Attributes
    ----------
    name, label : of the finding that is not given.
    detail : the limit or the input, and what is known of it; no free text of the patient.
    inputs, missing : what was known of the model's inputs; the labels of what was not.
    inputs_digest : hex sha256 of the inputs that it was decided on.
    translations : of ``label``.
    """

    name: str
    label: str
    model: ModelRef
    reason: Inapplicable
    detail: str
    inputs: tuple[ScoreInput, ...] = ()
    missing: tuple[str, ...] = ()
    inputs_digest: str = ""
    translations: Translations = ()


Finding = MaskFinding | ScoreFinding | ImageFinding | NotApplicable


class ContextSource(StrEnum):
    """Where a value of the patient's context comes from; results show it."""

    HEADER = "header"
    SR = "SR"
    HL7 = "HL7"
    FHIR = "FHIR"
    FILE = "file"
    EARLIER_CT = "earlier CT"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextValue:
    """A coded variable of the patient.

    Attributes
    ----------
    name : machine name, such as ``age``.
    value : in ``unit``; a word where the variable is no number.
    unit : UCUM code; empty for words and for yes or no.
    observed_at : ISO 8601; empty where the source does not say.
    offset_s : from the scan to the observation; negative before it; None where either time is not known.
    """

    name: str
    value: float | str | bool
    source: ContextSource
    unit: str = ""
    observed_at: str = ""
    offset_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextText:
    """A section of a report about the patient.

    Attributes
    ----------
    section : machine name, such as ``indication``.
    written_at : ISO 8601; empty where the source does not say.
    offset_s : as of a :class:`ContextValue`.
    """

    section: str
    text: str
    source: ContextSource
    written_at: str = ""
    offset_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """Whom images, values and texts are about, as their source states it.

    Attributes
    ----------
    patient_id, issuer : PatientID and IssuerOfPatientID, or what stands for them; a patient is known by both.
    birth_date : ``YYYYMMDD``; empty where it is not stated.
    sex : ``M``, ``F`` or ``O``; empty where it is not stated.
    """

    patient_id: str
    issuer: str = ""
    birth_date: str = ""
    sex: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A value of a coded variable, as it came in and is stored.

    Attributes
    ----------
    name : of a variable of ``clinical.variables``.
    value : in ``unit``; a moment as ISO 8601 in UTC.
    unit : UCUM code of the variable; empty for words, moments and for yes or no.
    observed_at : seconds since the epoch; None where the source does not say, as it may of what lasts.
    arrived_at : seconds since the epoch; when the node first had it.
    provenance : where in its source it stood, such as ``values[2]``; no attribute of the patient.
    """

    patient: Patient
    name: str
    value: float | str | bool
    source: ContextSource
    unit: str = ""
    observed_at: float | None = None
    arrived_at: float = 0.0
    provenance: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSection:
    """A section of a report, as it came in and is stored.

    Attributes
    ----------
    section : machine name, such as ``indication``, ``findings``, ``impression``.
    author : who wrote it; empty where the source does not say.
    written_at, arrived_at, provenance : as of an :class:`Observation`.
    """

    patient: Patient
    section: str
    text: str
    source: ContextSource
    author: str = ""
    written_at: float | None = None
    arrived_at: float = 0.0
    provenance: str = ""


@dataclass(frozen=True, slots=True)
class PatientContext:
    """What is known of the patient beside the images: one value for each variable, one text for each section."""

    values: tuple[ContextValue, ...] = ()
    texts: tuple[ContextText, ...] = ()

    def value(self, name: str) -> ContextValue | None:
        """The variable called ``name``; None where it is not known."""
        return next((value for value in self.values if value.name == name), None)

    def text(self, section: str) -> ContextText | None:
        """The text of a section; None where there is none."""
        return next((text for text in self.texts if text.section == section), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """All that a model may read.

    Attributes
    ----------
    volume : the CT; None for a model that needs no image.
    earlier : findings of the models that ran before it in the same job.
    """

    volume: Volume | None = None
    context: PatientContext = PatientContext()
    earlier: tuple[Finding, ...] = ()

    def mask(self, name: str) -> MaskFinding | None:
        """The earlier mask called ``name``; None where there is none."""
        masks = (finding for finding in self.earlier if isinstance(finding, MaskFinding))
        return next((finding for finding in masks if finding.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """All that shapes the results of one job: the input of ``encode``.

    Attributes
    ----------
    sources : one parsed dataset per slice, without pixels, in stack order.
    identity : the newest header received: its patient and study attributes go into every result.
    input_digests : pixel and geometry digest of each slice, in stack order.
    protocol : name of the protocol.
    settings_digest : digest of the protocol's settings.
    generation : counts the job's amendments; a later generation has other UIDs.
    predecessors : superseded results that these take the place of; a report names the one of its kind.
    timezone : IANA name, for TimezoneOffsetFromUTC and result times.
    reference : scores that need no learning, from the findings and from what is known of the patient.
    language : of the sentences.
    """

    sources: tuple[Any, ...]
    identity: Any
    volume: Volume
    findings: tuple[Finding, ...]
    input_digests: tuple[str, ...]
    protocol: str
    settings_digest: str
    generation: int
    predecessors: tuple[EncodedResult, ...] = ()
    timezone: str = "UTC"
    station_ae_title: str = "DICOMNODE"
    reference: tuple[ReferenceScore, ...] = ()
    language: Language = Language.BRITISH

    @property
    def masks(self) -> tuple[MaskFinding, ...]:
        """The segmented findings."""
        return tuple(finding for finding in self.findings if isinstance(finding, MaskFinding))

    @property
    def scores(self) -> tuple[ScoreFinding, ...]:
        """The scores."""
        return tuple(finding for finding in self.findings if isinstance(finding, ScoreFinding))

    @property
    def images(self) -> tuple[ImageFinding, ...]:
        """The predicted scans."""
        return tuple(finding for finding in self.findings if isinstance(finding, ImageFinding))

    @property
    def not_applicable(self) -> tuple[NotApplicable, ...]:
        """What was not given for this patient."""
        return tuple(finding for finding in self.findings if isinstance(finding, NotApplicable))

    def tells_of_head(self, finding: MaskFinding) -> bool:
        """Whether a report says with this finding what the head shows as a whole: once, with the first that has it."""
        return finding is next((mask for mask in self.masks if mask.head is not None), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedResult:
    """One result instance on disk, validated.

    Attributes
    ----------
    kind : destinations choose by it.
    research : True when any model behind it is marked research.
    """

    kind: Kind
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    path: Path
    sha256: str
    size_bytes: int
    research: bool


class Withdrawal(StrEnum):
    """Why results must no longer be used."""

    SUPERSEDED = "superseded"
    SOURCE_REJECTED = "source_rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """Results of a job that must no longer be used, for a rejection note.

    Attributes
    ----------
    identity : the newest header received; its patient and study are those of the results.
    language : of the sentences.
    """

    results: tuple[EncodedResult, ...]
    identity: Any
    timezone: str = "UTC"
    station_ae_title: str = "DICOMNODE"
    why: Withdrawal = Withdrawal.SUPERSEDED
    language: Language = Language.BRITISH


@dataclass(frozen=True, slots=True, kw_only=True)
class NotPerformed:
    """A series that was not processed, and why.

    Attributes
    ----------
    sources : one parsed dataset per instance received, without pixels.
    identity : the newest header received.
    detail : the values seen, without patient attributes.
    protocol : empty where none matched.
    research : whether the models that would have run are research.
    generation : counts the reports of one study and protocol; a later one has other UIDs.
    language : of the sentences.
    """

    sources: tuple[Any, ...]
    identity: Any
    refusal: Refusal
    detail: str = ""
    protocol: str = ""
    research: bool = True
    generation: int = 1
    timezone: str = "UTC"
    station_ae_title: str = "DICOMNODE"
    language: Language = Language.BRITISH


@dataclass(frozen=True, slots=True)
class RejectionNote:
    """A received key object that tells not to use instances (IHE RAD IOCM).

    Attributes
    ----------
    code : of its document title, in DCM.
    sop_instance_uid : of the note itself.
    instances : SOP Instance UIDs that it rejects, each once.
    """

    code: str
    meaning: str
    sop_instance_uid: str
    instances: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedInstance:
    """What reception knows of one instance when its bytes are on disk.

    Attributes
    ----------
    path : below the spool, relative to it.
    digest : sha256 of the bytes of the data set, hex.
    header : technical attributes; empty where the file could not be parsed.
    not_used : the coded reason why the instance is kept as bytes only; None for a CT image.
    named_otherwise : UIDs of the data set that are others than the sender named, by keyword.
    rejection : what it rejects, where it is a rejection note of another system.
    """

    sop_instance_uid: str
    sop_class_uid: str
    study_uid: str
    series_uid: str
    transfer_syntax_uid: str
    path: Path
    digest: str
    size_bytes: int
    header: Header = field(default_factory=dict)
    not_used: str | None = None
    named_otherwise: dict[str, str] = field(default_factory=dict)
    rejection: RejectionNote | None = None
