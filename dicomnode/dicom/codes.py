"""Coded concepts of the results: value, coding scheme, meaning (DICOM PS3.16).

SNOMED CT codes are those of DICOM's own context groups. What has no code there is private: scheme ``99DCMNODE``,
identified in every result that uses it. No concept is looked up by its keyword in a library: pydicom lists 1386000,
intracranial haemorrhage, as an occlusion of an artery too.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

from dicomnode.decision import Decision
from dicomnode.language import Language
from dicomnode.records import BrainPart, MaskFinding, Side

PRIVATE_SCHEME = "99DCMNODE"
PRIVATE_SCHEME_NAME = "dicomnode private codes"
PRIVATE_SCHEME_ORGANIZATION = "dicomnode"


class Code(NamedTuple):
    """A coded concept (DICOM PS3.3 section 8.8).

    Attributes
    ----------
    value : CodeValue, at most 16 characters.
    scheme : CodingSchemeDesignator.
    meaning : CodeMeaning, at most 64 characters.
    """

    value: str
    scheme: str
    meaning: str


# --- what was found: segments (CID 7150, 7151), findings
MORPHOLOGICALLY_ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
HEMORRHAGE = Code("50960005", "SCT", "Hemorrhage")
EDEMA = Code("79654002", "SCT", "Edema")
LESION_OF_BRAIN = Code("301766008", "SCT", "Lesion of Brain")
PRESENT = Code("52101004", "SCT", "Present")
ABSENT = Code("272519000", "SCT", "Absent")
UNDETERMINED = Code("373068000", "SCT", "Undetermined")
PRESENCE = {Decision.POSITIVE: PRESENT, Decision.UNCERTAIN: UNDETERMINED, Decision.NEGATIVE: ABSENT}
"""What an exam comes to (CID 240)."""

# --- where (CID 4 and others)
BRAIN = Code("12738006", "SCT", "Brain")
HEAD = Code("69536005", "SCT", "Head")
INTRACRANIAL = Code("1101003", "SCT", "Intracranial")
MENINGES = Code("1231004", "SCT", "Meninges")
VENTRICLE = Code("35764002", "SCT", "Brain ventricle")
FINDING_SITE = Code("363698007", "SCT", "Finding Site")
BRAIN_PARTS: dict[BrainPart, Code] = {
    BrainPart.FRONTAL: Code("83251001", "SCT", "Frontal lobe"),
    BrainPart.PARIETAL: Code("16630005", "SCT", "Parietal lobe"),
    BrainPart.TEMPORAL: Code("78277001", "SCT", "Temporal lobe"),
    BrainPart.OCCIPITAL: Code("31065004", "SCT", "Occipital lobe"),
    BrainPart.BASAL_GANGLIA: Code("BASAL_GANGLIA", PRIVATE_SCHEME, "Basal ganglia"),
    BrainPart.THALAMUS: Code("42695009", "SCT", "Thalamus"),
    BrainPart.CEREBELLUM: Code("113305005", "SCT", "Cerebellum"),
    BrainPart.BRAINSTEM: Code("119238007", "SCT", "Brain Stem"),
}
LATERALITY: dict[Side, Code] = {
    Side.LEFT: Code("7771000", "SCT", "Left"),
    Side.RIGHT: Code("24028007", "SCT", "Right"),
}
MIDLINE_SHIFT = Code("MIDLINE_SHIFT", PRIVATE_SCHEME, "Midline shift at the septum pellucidum")
EVANS_INDEX = Code("EVANS_INDEX", PRIVATE_SCHEME, "Evans index")
HYPODENSE_SHARE = Code("HYPODENSE_SHARE", PRIVATE_SCHEME, "Hypodense share of the cerebrum")

# --- measurements (CID 7469, 7470) with units (UCUM) and derivations (CID 7464)
VOLUME = Code("118565006", "SCT", "Volume")
LONG_AXIS = Code("103339001", "SCT", "Long axis")
ATTENUATION = Code("112031", "DCM", "Attenuation Coefficient")
ABC2_DIFFERENCE = Code("ABC2DIFF", PRIVATE_SCHEME, "Volume by ABC/2 minus volume by voxels")
IMAGES = Code("IMAGES", PRIVATE_SCHEME, "Source images that show it")
VOLUME_ABC2 = Code("ABC2", PRIVATE_SCHEME, "Volume estimated by ABC/2")
PROBABILITY = Code("122157", "DCM", "Probability")
PROBABILISTIC_SEGMENTATION = Code("110854", "DCM", "Fractional Probabilistic Segmentation")
THRESHOLD_VALUE = Code("122411", "DCM", "Threshold Value")
MEAN = Code("373098007", "SCT", "Mean")
MAXIMUM = Code("56851009", "SCT", "Maximum")
MILLILITRE = Code("mL", "UCUM", "mL")
MILLIMETRE = Code("mm", "UCUM", "mm")
HOUNSFIELD_UNIT = Code("[hnsf'U]", "UCUM", "Hounsfield unit")
NO_UNITS = Code("1", "UCUM", "no units")
PERCENT = Code("%", "UCUM", "Percent")
SCORE_UNIT = Code("{score}", "UCUM", "score")
UNITS = {code.value: code for code in (MILLILITRE, MILLIMETRE, HOUNSFIELD_UNIT, NO_UNITS, PERCENT, SCORE_UNIT)}
"""By UCUM code."""

# --- the structured reports (TID 1500, TID 2000 with CID 7001 and 7002, TID 4019)
MEASUREMENT_REPORT = Code("126000", "DCM", "Imaging Measurement Report")
MEASUREMENT_GROUP = Code("125007", "DCM", "Measurement Group")
IMAGING_MEASUREMENTS = Code("126010", "DCM", "Imaging Measurements")
QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")
PROCEDURE_REPORTED = Code("121058", "DCM", "Procedure reported")
PROCEDURE_CT = Code("25045-6", "LN", "CT unspecified body region")
"""Of CID 100; (24725-4, LN, "CT Head") would be legal too but the validator of the Connectathon flags it."""
LANGUAGES = {
    Language.BRITISH: Code("en-GB", "RFC5646", "English (United Kingdom)"),
    Language.AMERICAN: Code("en-US", "RFC5646", "English (United States)"),
    Language.GERMAN: Code("de", "RFC5646", "German"),
}
"""CID 5000."""
TEXT_REPORT = Code("18748-4", "LN", "Diagnostic Imaging Report")
PROCEDURE_DESCRIPTIONS = Code("55111-9", "LN", "Current Procedure Descriptions")
PROCEDURE_DESCRIPTION = Code("121065", "DCM", "Procedure Description")
FINDINGS_HEADING = Code("59776-5", "LN", "Findings")
FINDING = Code("121071", "DCM", "Finding")
IMPRESSIONS_HEADING = Code("19005-8", "LN", "Impressions")
DEVICE = Code("121007", "DCM", "Device")
IMPRESSION = Code("121073", "DCM", "Impression")
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")
TRAINING_DATA = Code("TRAINEDON", PRIVATE_SCHEME, "Training data of the model")
MODEL = Code("MODEL", PRIVATE_SCHEME, "Model, version and digest")
THRESHOLD = Code("THRESHOLD", PRIVATE_SCHEME, "Probability threshold of the mask")
DENSE = Code("DENSE", PRIVATE_SCHEME, "Marked, but too dense to be counted")
DETECTION_LIMIT = Code("DETLIMIT", PRIVATE_SCHEME, "Detection limit of a lesion")
INTERVAL_LOW = Code("CI95LOW", PRIVATE_SCHEME, "Lower limit of the 95 % confidence interval")
INTERVAL_HIGH = Code("CI95HIGH", PRIVATE_SCHEME, "Upper limit of the 95 % confidence interval")
RISK_CATEGORY = Code("CATEGORY", PRIVATE_SCHEME, "Category of the score at its operating threshold")
REFERENCE_SCORE = Code("REFSCORE", PRIVATE_SCHEME, "Reference score that needs no learning")
APPLICABILITY = Code("APPLICABILITY", PRIVATE_SCHEME, "Whether the model applies to the patient")
NOT_APPLICABLE = Code("NOTAPPLICABLE", PRIVATE_SCHEME, "Not applicable")
WHY_NOT_APPLICABLE = Code("WHYNOTAPPLIED", PRIVATE_SCHEME, "Reason why the model does not apply")
COMPUTABILITY = Code("COMPUTABILITY", PRIVATE_SCHEME, "Whether the score can be computed")
NOT_COMPUTABLE = Code("NOTCOMPUTABLE", PRIVATE_SCHEME, "Cannot be computed")
LOWEST_POSSIBLE = Code("LOWEST", PRIVATE_SCHEME, "Lowest value that is possible")
HIGHEST_POSSIBLE = Code("HIGHEST", PRIVATE_SCHEME, "Highest value that is possible")
WORKING = Code("WORKING", PRIVATE_SCHEME, "How the score comes about")
INPUT_USED = Code("INPUT", PRIVATE_SCHEME, "Input used")
INPUT_MISSING = Code("INPUTMISSING", PRIVATE_SCHEME, "Input missing")
DEFINITION = Code("DEFINITION", PRIVATE_SCHEME, "Definition of the event")
CONTRIBUTION = Code("CONTRIBUTION", PRIVATE_SCHEME, "Contribution of an input")
USE_WARNING = Code("USEWARNING", PRIVATE_SCHEME, "Warning of intended use")
NOT_PERFORMED = Code("NOTPERFORMED", PRIVATE_SCHEME, "Reason why the series was not processed")
NEEDED = Code("NEEDED", PRIVATE_SCHEME, "What would be needed")
NOTICE = Code("NOTICE", PRIVATE_SCHEME, "Limits of use")

# --- key objects (CID 7010)
OF_INTEREST = Code("113000", "DCM", "Of Interest")
REJECTED_FOR_QUALITY = Code("113001", "DCM", "Rejected for Quality Reasons")

# --- images: derivation and references (CID 7202, 7203, 7005)
SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")
PREDICTION = Code("PREDICTION", PRIVATE_SCHEME, "Prediction of a later scan by a model")
"""CID 7203 has no code for pixels that a model made up."""
SYNTHESIZING_EQUIPMENT = Code("109100", "DCM", "Synthesizing Equipment")
PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")


class FindingCodes(NamedTuple):
    """How a kind of finding is coded as a segment and in the report.

    Attributes
    ----------
    category, type : SegmentedPropertyCategory and SegmentedPropertyType.
    site : AnatomicRegion of the segment, Finding Site in the report.
    rgb : display colour.
    content_label : ContentLabel of the segmentation, a CS of at most 16 characters.
    noun : lower case, as it stands in sentences such as "No haemorrhage above the detection limit".
    """

    category: Code
    type: Code
    site: Code
    rgb: tuple[int, int, int]
    content_label: str
    noun: str


FINDINGS: dict[str, FindingCodes] = {
    "hemorrhage": FindingCodes(
        MORPHOLOGICALLY_ABNORMAL, HEMORRHAGE, INTRACRANIAL, (230, 60, 50), "HEMORRHAGE_SEG", "haemorrhage"
    ),
    "parenchymal_hemorrhage": FindingCodes(
        MORPHOLOGICALLY_ABNORMAL, HEMORRHAGE, BRAIN, (230, 60, 50), "IPH_SEG", "intraparenchymal haemorrhage"
    ),
    "extra_axial_hemorrhage": FindingCodes(
        MORPHOLOGICALLY_ABNORMAL, HEMORRHAGE, MENINGES, (230, 80, 210), "EXTRAAXIAL_SEG", "extra-axial haemorrhage"
    ),
    "ventricular_hemorrhage": FindingCodes(
        MORPHOLOGICALLY_ABNORMAL, HEMORRHAGE, VENTRICLE, (150, 100, 250), "IVH_SEG", "intraventricular haemorrhage"
    ),
    "edema": FindingCodes(MORPHOLOGICALLY_ABNORMAL, EDEMA, BRAIN, (70, 150, 230), "EDEMA_SEG", "oedema"),
}
"""By ``MaskFinding.name``. Of the same type, the first is meant where a bundle names no site, or another one."""
PARENCHYMAL, VENTRICULAR, OEDEMA = "parenchymal_hemorrhage", "ventricular_hemorrhage", "edema"

OTHER_FINDING = FindingCodes(MORPHOLOGICALLY_ABNORMAL, LESION_OF_BRAIN, BRAIN, (150, 120, 230), "LESION_SEG", "lesion")
"""For findings of bundles that the table does not know."""
PALETTE = ((150, 120, 230), (90, 190, 110), (190, 110, 220), (60, 200, 200), (240, 130, 180), (200, 200, 80))
"""Colours of findings that the table does not know."""
MAX_NOUN = 36
"""So that ``AI <noun> measurements (research)`` fits SeriesDescription, 64 characters."""


def finding_codes(name: str) -> FindingCodes:
    """Codes of the finding called ``name``; those of an unspecified brain lesion where the name is unknown."""
    return FINDINGS.get(name, OTHER_FINDING)


def known_as(finding: MaskFinding) -> str:
    """Under which name ``FINDINGS`` has a finding, by its type and, where the bundle says it, its site; else empty."""
    if finding.concepts is None:
        return finding.name if finding.name in FINDINGS else ""
    alike = [name for name, entry in FINDINGS.items() if entry.type[:2] == finding.concepts.type[:2]]
    site = finding.concepts.site
    of_site = (name for name in alike if site is not None and FINDINGS[name].site[:2] == site[:2])
    return next(of_site, alike[0] if alike else "")


def decides(finding: MaskFinding) -> bool:
    """Whether a finding has a say in what an exam comes to: oedema is told, but makes no exam positive."""
    return known_as(finding) != OEDEMA


def concepts_of(finding: MaskFinding) -> FindingCodes:
    """How a finding is coded, drawn and worded.

    What its bundle says; of a type that the table knows, the table's whole entry. A type that the table does not know
    is named by its label and gets a colour that depends on the finding's name alone.
    """
    if finding.concepts is None:
        return finding_codes(finding.name)
    kind = Code(*finding.concepts.type)
    base = FINDINGS.get(known_as(finding)) or OTHER_FINDING._replace(
        rgb=_colour(finding.name), content_label="FINDING_SEG", noun=_noun(finding)
    )
    site = finding.concepts.site
    return base._replace(
        category=Code(*finding.concepts.category), type=kind, site=Code(*site) if site is not None else base.site
    )


UNCERTAIN_RGB = (235, 185, 30)
"""Marks of an exam that lies below its threshold: amber, whatever was looked for."""


def colour_of(finding: MaskFinding) -> tuple[int, int, int]:
    """In which colour a finding is drawn and shown: uncertain ones never in that of what was found."""
    return UNCERTAIN_RGB if finding.decision is Decision.UNCERTAIN else concepts_of(finding).rgb


def presence_of(finding: MaskFinding) -> Code:
    """The decision as a code (CID 240)."""
    return PRESENCE[finding.decision]


def _colour(name: str) -> tuple[int, int, int]:
    return PALETTE[zlib.crc32(name.encode()) % len(PALETTE)]


def _noun(finding: MaskFinding) -> str:
    """The label as it stands within a sentence: ``Spleen`` -> ``spleen``, ``CSF`` -> ``CSF``."""
    label = finding.label[:MAX_NOUN].strip()
    return label[:1].lower() + label[1:] if label[1:2].islower() else label


def unit_code(ucum: str) -> Code:
    """The unit with this UCUM code; one that the table does not know is its own meaning."""
    return UNITS.get(ucum, Code(ucum[:16], "UCUM", ucum))


def private_code(name: str, meaning: str) -> Code:
    """A concept of this node's own scheme, such as that of a score.

    >>> private_code("ich_score", "ICH Score")
    Code(value='ICH_SCORE', scheme='99DCMNODE', meaning='ICH Score')
    """
    return Code(name.upper()[:16], PRIVATE_SCHEME, meaning[:64])
