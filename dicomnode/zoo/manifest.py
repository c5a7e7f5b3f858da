"""The ``dicomnode`` section of a bundle's metadata: what a model needs, whom it is for, and what it gives.

Reference: ``docs/models/own-model.md`` explains every key with an example.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dicomnode.language import Language
from dicomnode.records import CodedConcept, FindingConcepts, Translations

MachineName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
ScoreName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,15}$")]
"""It becomes a code value, which holds 16 characters (DICOM PS3.5 6.2, SH)."""
Words = Annotated[str, Field(min_length=1, max_length=64)]


InOtherLanguages = dict[Language, Words]
"""What the words of a bundle are in other languages of results; a language that is not here keeps its own words."""


class Frozen(BaseModel):
    """A table of the section: unknown keys are faults."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Code(Frozen):
    """A coded concept (DICOM PS3.3 8.8)."""

    value: str = Field(min_length=1, max_length=16)
    scheme: str = Field(min_length=1, max_length=16)
    meaning: Words

    def as_tuple(self) -> CodedConcept:
        """Value, scheme, meaning."""
        return self.value, self.scheme, self.meaning


class Range(Frozen):
    """Closed range; None leaves a side open."""

    min: float | None = None
    max: float | None = None

    def holds(self, value: float) -> bool:
        """Whether the value lies within."""
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)


class RequiredImage(Frozen):
    """The CT that a model reads. Geometry is judged on the stack, never on SliceThickness."""

    modality: str
    plane: str
    orientation: str
    slices: Range
    slice_spacing_mm: Range
    pixel_spacing_mm: Range
    coverage_mm: Range


class RequiredVariable(Frozen):
    """A coded variable of the patient.

    Attributes
    ----------
    name : as in the patient's context, such as ``age``.
    label : what the radiologist reads.
    required : without it no finding is given; else the result says that it was not known.
    example : a plausible value, for the self-test.
    """

    name: MachineName
    label: Words
    required: bool = True
    example: str | float | bool | None = None


class RequiredText(Frozen):
    """A section of a report.

    Attributes
    ----------
    section : as in the patient's context, such as ``indication``.
    label, required, example : as of a :class:`RequiredVariable`.
    """

    section: MachineName
    label: Words
    required: bool = True
    example: str | None = None


class Needs(Frozen):
    """What a model reads.

    Attributes
    ----------
    image : the CT; None: it needs no image.
    findings : of other models of the protocol, by the name of the finding; those models run first.
    variables, texts : of the patient's context.
    least_known : how many of the variables must be known at least, whichever they are.
    """

    image: RequiredImage | None = None
    findings: tuple[MachineName, ...] = ()
    variables: tuple[RequiredVariable, ...] = ()
    texts: tuple[RequiredText, ...] = ()
    least_known: int = Field(default=0, ge=0)


class Limit(Frozen):
    """One limit of the population that a model is for. What is not known is not judged, but said.

    Attributes
    ----------
    says : the limit in words, such as ``bleed of at least 1 mL``.
    finding : a needed mask; its volume in mL must lie between ``min`` and ``max``.
    variable : a needed variable; it must lie between ``min`` and ``max``, or be one of ``among``.
    """

    says: Words
    finding: MachineName | None = None
    variable: MachineName | None = None
    min: float | None = None
    max: float | None = None
    among: tuple[str | float | bool, ...] = ()

    @model_validator(mode="after")
    def _is_about_one_thing(self) -> Limit:
        if (self.finding is None) == (self.variable is None):
            raise ValueError("give finding or variable, one of them")
        if self.min is None and self.max is None and not self.among:
            raise ValueError("give min, max or among")
        return self

    def holds(self, value: str | float | bool) -> bool:
        """Whether a value lies within the limit; a word lies in no range."""
        if self.among:
            return value in self.among
        return isinstance(value, int | float) and Range(min=self.min, max=self.max).holds(float(value))


class Dense(Frozen):
    """What is too dense for a finding (:mod:`dicomnode.measure.density`).

    Attributes
    ----------
    above_brain_hu : a voxel further above the commonest attenuation of the brain is dense.
    share : a mark of which more than this share is dense is not the finding.
    """

    above_brain_hu: float = Field(gt=0.0)
    share: float = Field(gt=0.0, lt=1.0)


class _Told(Frozen):
    """What all outputs share: ``translations`` of their label."""

    translations: InOtherLanguages = {}

    @property
    def translated(self) -> Translations:
        """As records carry it."""
        return as_record(self.translations)


def as_record(translations: Mapping[Language, str]) -> Translations:
    """Translations as records carry them: hashable, in one order."""
    return tuple(sorted((str(language), text) for language, text in translations.items()))


class MaskOutput(_Told):
    """A finding that the model marks voxel by voxel.

    Attributes
    ----------
    name, label : machine name, and what the radiologist reads.
    threshold : probability above which a voxel belongs to the finding.
    detection_limit_ml : smallest lesion; what is smaller is neither counted nor drawn.
    dense : which marks are bone, calcium or contrast and hence not the finding; None: no mark is.
    category, type : SegmentedPropertyCategoryCodeSequence and SegmentedPropertyTypeCodeSequence (PS3.3 C.8.20.2).
    site : AnatomicRegionSequence; None: that of the type, or of an unspecified lesion of the brain.
    exam_threshold : of the probability that the exam shows the finding at all; None: no such probability is given out.
    exam_slope, exam_intercept : from the score of an exam to that probability (``measure.exam.calibrated``).
    channel : of the network, or its label; None: the outputs stand in the order of the channels.
    """

    kind: Literal["mask"]
    name: MachineName
    label: Words
    threshold: float = Field(gt=0.0, lt=1.0)
    detection_limit_ml: float = Field(gt=0.0)
    dense: Dense | None = None
    category: Code
    type: Code
    site: Code | None = None
    channel: int | None = Field(default=None, ge=0)
    exam_threshold: float | None = Field(default=None, gt=0.0, lt=1.0)
    exam_slope: float = Field(default=1.0, gt=0.0)
    exam_intercept: float = 0.0

    @property
    def concepts(self) -> FindingConcepts:
        """How its finding is coded."""
        site = None if self.site is None else self.site.as_tuple()
        return FindingConcepts(self.category.as_tuple(), self.type.as_tuple(), site)


class Foretells(Frozen):
    """What a later CT of the patient will show, by which a probability is held to account.

    Attributes
    ----------
    finding : name of a mask that some model gives of the later CT: is that exam positive?
    at_h : hours after the CT at hand; of several later ones the nearest to it counts.
    until_h : a later CT after more than these says nothing.
    """

    finding: MachineName
    at_h: float = Field(gt=0.0)
    until_h: float = Field(gt=0.0)


class ScoreOutput(_Told):
    """A number about the patient.

    Attributes
    ----------
    name, label : machine name, its code in reports; what the radiologist reads, with event and horizon.
    definition : of the event in full, with its time; every result spells it out.
    unit : UCUM; ``1`` for a probability.
    threshold : operating threshold, in ``unit``; None: the score is given without a category.
    high, low : category at or above, and below the threshold.
    foretells : where it is the probability of what a later CT shows; ``dicomnode outcomes`` compares.
    channel : of a network that classifies volumes; None: the outputs stand in the order of the channels.
    """

    kind: Literal["score"]
    name: ScoreName
    label: Words
    definition: str = Field(default="", max_length=400)
    unit: str = Field(default="1", min_length=1, max_length=16)
    threshold: float | None = None
    high: Code | None = None
    low: Code | None = None
    foretells: Foretells | None = None
    channel: int | None = Field(default=None, ge=0)


class ImageOutput(_Told):
    """A scan that the model predicts, on the slices that it has read.

    Attributes
    ----------
    name, label : machine name, and what the radiologist reads.
    horizon : which time it shows, such as ``24 h after the baseline scan``; ``{hours}`` stands for those of the bundle.
    outlines : of which finding the chance of each voxel comes with it, such as ``hemorrhage``; None: not said, or none.
    """

    kind: Literal["image"]
    name: MachineName
    label: Words
    horizon: Words
    outlines: MachineName | None = None


Output = Annotated[MaskOutput | ScoreOutput | ImageOutput, Field(discriminator="kind")]


class Reading(StrEnum):
    """How a bundle takes its inputs; each is a module of ``zoo/``.

    ``PLANES``: axial planes of the head, this project's own way. ``VOLUME``: the whole CT by the bundle's own MONAI
    transforms. ``INPUTS``: an object of the bundle takes volume, context and earlier findings as they are.
    """

    PLANES = "planes"
    VOLUME = "volume"
    INPUTS = "inputs"


class VolumeReading(Frozen):
    """What must be known of a bundle that reads volumes.

    Attributes
    ----------
    channels : of the network.
    require_head : refuse what shows no brain within a skull.
    """

    channels: int = Field(ge=1)
    require_head: bool = True


HOURS = "{hours}"
"""In the words of a bundle: how many hours after the scan at hand what it foretells is."""


class Horizon(Frozen):
    """How many hours after the scan at hand what a bundle foretells is, where that can be chosen.

    Attributes
    ----------
    default_h : unless the configuration says otherwise; what it gives is calibrated for these.
    min_h, max_h : what was trained on.
    """

    default_h: float = Field(gt=0.0)
    min_h: float = Field(gt=0.0)
    max_h: float = Field(gt=0.0)

    @model_validator(mode="after")
    def _is_a_range(self) -> Horizon:
        if not self.min_h <= self.default_h <= self.max_h:
            raise ValueError("default_h must lie between min_h and max_h")
        return self


class Origin(Frozen):
    """Where an imported bundle comes from.

    Attributes
    ----------
    name, version : as its makers call it.
    weights_sha256 : of the weights file as it came, hex.
    """

    name: str
    version: str
    weights_sha256: str


class ModelSection(Frozen):
    """The whole section.

    Attributes
    ----------
    name, title, task : of the model.
    trained_on : one sentence that goes into every result; ``trained_on_translations`` of it.
    research : True where results must be marked "research, not for diagnosis".
    intended_use, limits : what it is for, and what it is not, in words.
    reads : how it takes its inputs.
    needs : its inputs.
    population : whom it is for; outside of it no number is given.
    run_limit_s : how long a run may take where that is longer than the node allows (``run_timeout_s``).
    gives : its findings.
    horizon : hours to what it foretells, where they can be chosen.
    volume : of a bundle that reads whole volumes.
    origin : of an imported bundle.
    """

    name: MachineName
    task: str
    title: Words
    trained_on: str = Field(min_length=1)
    trained_on_translations: dict[Language, str] = {}
    research: bool
    intended_use: str = Field(min_length=1)
    limits: tuple[str, ...]
    reads: Reading = Reading.PLANES
    needs: Needs
    population: tuple[Limit, ...] = ()
    run_limit_s: float | None = Field(default=None, gt=0.0)
    gives: tuple[Output, ...] = Field(min_length=1)
    horizon: Horizon | None = None
    volume: VolumeReading | None = None
    origin: Origin | None = None

    def limit_s(self, usual_s: float) -> float:
        """How long a run may take: ``usual_s``, or as long as the model needs.

        >>> ModelSection.model_construct(run_limit_s=480.0).limit_s(300.0)
        480.0
        """
        return max(usual_s, self.run_limit_s or 0.0)

    @property
    def masks(self) -> tuple[MaskOutput, ...]:
        """What it marks voxel by voxel."""
        return tuple(output for output in self.gives if isinstance(output, MaskOutput))

    @property
    def scores(self) -> tuple[ScoreOutput, ...]:
        """The numbers that it gives."""
        return tuple(output for output in self.gives if isinstance(output, ScoreOutput))

    @property
    def images(self) -> tuple[ImageOutput, ...]:
        """The scans that it predicts."""
        return tuple(output for output in self.gives if isinstance(output, ImageOutput))

    @model_validator(mode="before")
    @classmethod
    def _as_it_is_written_now(cls, section: Any) -> Any:
        """A bundle that was imported by an earlier version is pinned by its digest: it must be read as it is."""
        if not isinstance(section, dict) or "outputs" not in section or "gives" in section:
            return section
        kept = {key: value for key, value in section.items() if key not in ("input", "outputs")}
        reads = Reading.VOLUME if section.get("volume") else Reading.PLANES
        return {**kept, "reads": reads, "needs": {"image": section.get("input")}, "gives": section["outputs"]}

    @model_validator(mode="after")
    def _reads_what_it_needs(self) -> ModelSection:
        if self.reads is not Reading.INPUTS and self.needs.image is None:
            raise ValueError(f'reads = "{self.reads}" needs an image')
        if (self.reads is Reading.VOLUME) != (self.volume is not None):
            raise ValueError('reads = "volume" and the table volume belong together')
        return self

    @model_validator(mode="after")
    def _hours_are_known(self) -> ModelSection:
        said = [one.horizon for one in self.images] + [one.definition for one in self.scores]
        if self.horizon is None and any(HOURS in words for words in said):
            raise ValueError(f"{HOURS} is said, but there is no table horizon")
        return self

    @model_validator(mode="after")
    def _names_are_told_apart(self) -> ModelSection:
        names = [output.name for output in self.gives]
        if len(set(names)) < len(names):
            raise ValueError("two outputs have the same name")
        return self

    @model_validator(mode="after")
    def _channels_are_named(self) -> ModelSection:
        if self.volume is not None:
            most = max(self.volume.channels, 2)
            wrong = [o.name for o in self.gives if isinstance(o, ImageOutput) or o.channel is None or o.channel >= most]
            if wrong:
                raise ValueError(f"no channel of the network: {', '.join(wrong)}")
        return self

    @model_validator(mode="after")
    def _population_is_needed(self) -> ModelSection:
        needed = {*self.needs.findings, *(variable.name for variable in self.needs.variables)}
        unknown = [limit.says for limit in self.population if (limit.finding or limit.variable) not in needed]
        if unknown:
            raise ValueError(f"population: needs has no such finding or variable: {', '.join(unknown)}")
        return self
