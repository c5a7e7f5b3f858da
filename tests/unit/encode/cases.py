"""Small head-like series with painted bleeds, as ``Case`` records, for the tests of ``clinical`` and ``encode``."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from scipy import ndimage

from dicomnode.dicom import codes
from dicomnode.dicom.uids import derived_uid
from dicomnode.measure.lesions import measure
from dicomnode.records import (
    PROBABILITY_FLOOR,
    PROBABILITY_SCALE,
    Case,
    Contribution,
    FindingConcepts,
    HeadMeasures,
    ImageFinding,
    Inapplicable,
    MaskFinding,
    ModelRef,
    NotApplicable,
    ReferenceScore,
    ScoreFinding,
    ScoreInput,
    Stack,
    Volume,
)

MODEL = ModelRef(
    name="hemorrhage",
    version="0.1.0",
    digest="sha256:" + "ab" * 32,
    title="Small U-Net",
    trained_on="synthetic heads with painted bleeds; no patient's data",
    research=True,
)


@dataclass(frozen=True)
class Geometry:
    """How a test series lies in space.

    ``offsets_mm`` along the normal; ``tilt_degrees`` shears the stack along the rows' direction as a gantry tilt does.
    """

    offsets_mm: tuple[float, ...] = tuple(5.0 * i for i in range(12))
    rows: int = 128
    columns: int = 96
    row_spacing_mm: float = 1.0
    column_spacing_mm: float = 1.0
    tilt_degrees: float = 0.0
    row_cosines: tuple[float, float, float] = (1.0, 0.0, 0.0)
    origin_mm: tuple[float, float, float] = (-48.0, -64.0, 10.0)


EVEN = Geometry()
TILTED_UNEVEN = Geometry(
    offsets_mm=(0.0, 4.0, 8.0, 12.0, 16.0, 20.0, 21.08, 28.08, 35.08, 42.08), tilt_degrees=18.5, row_spacing_mm=0.9
)
BIG_EVEN = Geometry(tuple(4.0 * i for i in range(40)), 512, 512, 0.46, 0.46, origin_mm=(-117.8, -117.8, 0.0))


def stack_of_geometry(geometry: Geometry) -> Stack:
    """The stack of a test series, by hand: a tilted gantry moves the origins along the table, not along the normal."""
    row = np.array(geometry.row_cosines)
    angle = np.deg2rad(geometry.tilt_degrees)
    column = np.array([0.0, np.cos(angle), -np.sin(angle)])
    normal = np.cross(row, column)
    table = np.array([0.0, 0.0, np.sign(normal[2])])
    offsets = np.array(geometry.offsets_mm)
    steps = offsets / (table @ normal)
    positions = np.array(geometry.origin_mm) + steps[:, None] * table
    gaps = np.diff(offsets)
    inner = (gaps[:-1] + gaps[1:]) / 2
    drift = table / (table @ normal) - normal
    return Stack(
        order=tuple(range(len(offsets))),
        positions_mm=positions,
        row_cosines=row,
        column_cosines=column,
        normal=normal,
        offsets_mm=positions @ normal,
        weights_mm=np.concatenate([gaps[:1], inner, gaps[-1:]]),
        rows=geometry.rows,
        columns=geometry.columns,
        row_spacing_mm=geometry.row_spacing_mm,
        column_spacing_mm=geometry.column_spacing_mm,
        shear=(float(drift @ row), float(drift @ column)),
    )


def head_hu(stack: Stack) -> NDArray[np.float32]:
    """A plain head: air, an elliptic skull of 1000 HU, brain of 32 HU, ventricles of 8 HU."""
    rows, columns = np.mgrid[0 : stack.rows, 0 : stack.columns]
    y = (rows - stack.rows / 2) / (stack.rows * 0.45)
    x = (columns - stack.columns / 2) / (stack.columns * 0.40)
    plane = np.full((stack.rows, stack.columns), -1000.0, dtype=np.float32)
    plane[x**2 + y**2 < 1] = 1000
    plane[x**2 + y**2 < 0.85] = 32
    plane[((abs(x) - 0.12) / 0.08) ** 2 + (y / 0.3) ** 2 < 1] = 8
    hu = np.repeat(plane[None], len(stack.order), axis=0)
    noise = np.random.default_rng(7).normal(0, 3, hu.shape)
    return (hu + noise).astype(np.float32)


def ellipsoid(
    stack: Stack, centre: tuple[float, float, float], radii_mm: tuple[float, float, float]
) -> NDArray[np.bool_]:
    """Voxels within an ellipsoid.

    Parameters
    ----------
    centre : (offset along the normal from the first slice in mm, row, column).
    radii_mm : along the normal, along the columns, along the rows.
    """
    along = stack.offsets_mm - stack.offsets_mm[0] - centre[0]
    down = (np.arange(stack.rows) - centre[1]) * stack.row_spacing_mm
    across = (np.arange(stack.columns) - centre[2]) * stack.column_spacing_mm
    inside = (
        (along / radii_mm[0])[:, None, None] ** 2
        + (down / radii_mm[1])[None, :, None] ** 2
        + (across / radii_mm[2])[None, None, :] ** 2
    )
    return inside <= 1


@dataclass
class Patient:
    """Attributes that a test sets on every slice; ``extra`` by keyword."""

    name: str = "Test^Head"
    charset: str | list[str] | None = "ISO_IR 100"
    extra: dict[str, object] = field(default_factory=dict)


def sources_of(stack: Stack, patient: Patient | None = None, study: str = "study") -> list[Dataset]:
    """One CT header per slice, without pixels."""
    return [_source(stack, index, patient or Patient(), study) for index in range(len(stack.order))]


def _source(stack: Stack, index: int, patient: Patient, study: str) -> Dataset:
    ds = Dataset()
    if patient.charset:
        ds.SpecificCharacterSet = patient.charset
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = derived_uid(study, "image", str(index))
    ds.StudyInstanceUID = derived_uid(study)
    ds.SeriesInstanceUID = derived_uid(study, "series")
    ds.FrameOfReferenceUID = derived_uid(study, "frame of reference")
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "CT", 2, index + 1
    ds.PatientName, ds.PatientID, ds.PatientSex, ds.PatientBirthDate = patient.name, "ID-1", "F", "19500101"
    ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = "20240102", "101500", "77", "ACC-1"
    ds.ReferringPhysicianName, ds.StudyDescription = "Ref^Phys", "CT head"
    ds.PatientAge, ds.PatientWeight, ds.InstitutionName = "074Y", "70", "Hospital"
    ds.Rows, ds.Columns = stack.rows, stack.columns
    ds.PixelSpacing = [f"{stack.row_spacing_mm:.7g}", f"{stack.column_spacing_mm:.7g}"]
    ds.ImagePositionPatient = [f"{v:.7f}"[:16] for v in stack.positions_mm[index]]
    ds.ImageOrientationPatient = [f"{v:.9f}"[:16] for v in (*stack.row_cosines, *stack.column_cosines)]
    ds.SliceThickness = f"{stack.weights_mm[index]:.5g}"
    ds.KVP = "120"
    for keyword, value in patient.extra.items():
        setattr(ds, keyword, value)
    return as_received(ds)


def as_received(ds: Dataset) -> Dataset:
    """``ds`` written and read again: its texts are bytes in its own character set, as in a file from a scanner."""
    buffer = BytesIO()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return dcmread(buffer)


def finding_of(
    mask: NDArray[np.bool_],
    volume: Volume,
    model: ModelRef = MODEL,
    name: str = "hemorrhage",
    label: str = "Intracranial haemorrhage",
) -> MaskFinding:
    """A finding measured on ``volume``."""
    total, lesions, labels = measure(mask, volume)
    return MaskFinding(
        name=name,
        label=label,
        mask=labels > 0,
        threshold=0.5,
        detection_limit_ml=0.1,
        model=model,
        total=total,
        lesions=lesions,
        lesion_labels=labels,
    )


def case_of(
    geometry: Geometry = EVEN,
    bleeds: tuple[tuple[tuple[float, float, float], tuple[float, float, float]], ...] = (),
    patient: Patient | None = None,
    study: str = "study",
) -> Case:
    """A case with a bleed for each (centre, radii_mm) of ``bleeds``, see :func:`ellipsoid`; none is a negative."""
    stack = stack_of_geometry(geometry)
    hu = head_hu(stack)
    mask = np.zeros(hu.shape, dtype=bool)
    for centre, radii_mm in bleeds:
        mask |= ellipsoid(stack, centre, radii_mm)
    hu[mask] += 33
    sources = sources_of(stack, patient, study)
    volume = Volume(hu, stack, tuple(str(ds.SOPInstanceUID) for ds in sources))
    return Case(
        sources=tuple(sources),
        identity=sources[-1],
        volume=volume,
        findings=(finding_of(mask, volume),),
        input_digests=tuple(f"digest {i}" for i in range(len(sources))),
        protocol="head",
        settings_digest="settings",
        generation=1,
        timezone="Europe/Berlin",
    )


def kinds_of_blood(case: Case) -> Case:
    """The case as a model judges it that tells kinds of blood apart: all of it within the brain, a rim of oedema."""
    blood = case.masks[0].mask
    rim = ndimage.binary_dilation(blood, np.ones((1, 5, 5))) & ~blood
    masks = {"parenchymal_hemorrhage": blood, "extra_axial_hemorrhage": blood & ~blood, "edema": rim}
    findings = []
    for kind, mask in {**masks, "ventricular_hemorrhage": blood & ~blood}.items():
        entry = codes.FINDINGS[kind]
        head = HeadMeasures(likeness=0.9, midline_shift_mm=4.0, evans_index=0.28, hypodense_percent=6.0)
        concepts = FindingConcepts(tuple(entry.category), tuple(entry.type), tuple(entry.site))
        finding = finding_of(mask, case.volume, name=f"m_{kind}", label=entry.noun.capitalize())
        findings.append(replace(finding, concepts=concepts, head=head))
    return replace(case, findings=tuple(findings))


def with_probability(case: Case) -> Case:
    """The case with a probability map for each finding: 0.9 within the mask, falling off to 0.02 around it."""
    findings = []
    for finding in case.masks:
        near = ndimage.gaussian_filter(finding.mask.astype(np.float32), (0.5, 2, 2))
        probability = np.where(finding.mask, 0.9, np.minimum(near, 0.45))
        probability[probability < PROBABILITY_FLOOR] = 0
        findings.append(replace(finding, probability=np.rint(probability * PROBABILITY_SCALE).astype(np.uint16)))
    return replace(case, findings=tuple(findings))


def score_of(**changes: Any) -> ScoreFinding:
    """A generated score with everything that one may carry."""
    score = ScoreFinding(
        name="poor_outcome_90d",
        label="Poor outcome (mRS 4 to 6) at 90 days",
        value=0.42,
        unit="1",
        model=replace(MODEL, name="prognosis", title="Generated score"),
        interval=(0.31, 0.55),
        threshold=0.5,
        category=("75976002", "SCT", "Low risk"),
        reference=(
            ReferenceScore(
                name="ich_score",
                label="ICH Score",
                value=2.0,
                unit="{score}",
                meaning="30-day mortality 26 % (Hemphill 2001)",
            ),
            ReferenceScore(
                name="func",
                label="FUNC",
                value=None,
                unit="{score}",
                meaning="Independence at 90 days (Rost 2008)",
                possible=(6.0, 9.0),
            ),
        ),
        inputs=(ScoreInput("Haematoma volume", "16.1 mL", "measured"), ScoreInput("Age", "74 years", "header")),
        missing=("Glasgow Coma Scale",),
        warnings=("Developed for spontaneous haemorrhage only.",),
        definition="Modified Rankin Scale of 4 to 6, death included, 90 days after the haemorrhage.",
        contributions=(Contribution("Haematoma volume", 0.11), Contribution('"found drowsy"', -0.04)),
    )
    return replace(score, **changes)


def not_applicable_of(**changes: Any) -> NotApplicable:
    """That a model gives no number for this patient."""
    finding = NotApplicable(
        name="deterioration",
        label="Neurological deterioration within 7 days",
        model=replace(MODEL, name="deterioration", title="Generated score"),
        reason=Inapplicable.OUTSIDE_POPULATION,
        detail="no thrombectomy; here yes",
        inputs=(ScoreInput("Age", "74 a", "header", "2024-01-02"),),
        missing=("D-dimer",),
    )
    return replace(finding, **changes)


def predicted_of(case: Case, **changes: Any) -> ImageFinding:
    """A generated follow-up scan: the baseline one HU brighter."""
    finding = ImageFinding(
        name="followup",
        label="Predicted follow-up scan",
        hu=case.volume.hu + np.float32(1),
        horizon="24 h after the baseline scan",
        model=replace(MODEL, name="followup", title="Generated scan"),
    )
    return replace(finding, **changes)


def changed(case: Case, **changes: Any) -> Case:
    """A copy of ``case`` with changed fields."""
    return replace(case, **changes)
