"""What a mask of blood is called where what is dense may be contrast medium: on a single-energy CT nobody can tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dicomnode.dicom import codes
from dicomnode.language import Language
from dicomnode.records import Finding, MaskFinding, PatientContext

OR_CONTRAST = {
    Language.BRITISH: "{label} or contrast medium",
    Language.AMERICAN: "{label} or contrast medium",
    Language.GERMAN: "{label} oder Kontrastmittel",
}
"""By language; the label is that of the bundle."""


def named_for(findings: Sequence[Finding], context: PatientContext) -> tuple[Finding, ...]:
    """Findings as the patient's results name them: after a thrombectomy no mask is said to be blood alone.

    Parameters
    ----------
    context : of the patient; where nobody told of a thrombectomy, names stay.
    """
    told = context.value("thrombectomy")
    if told is None or told.value is not True:
        return tuple(findings)
    return tuple(_or_contrast(one) if isinstance(one, MaskFinding) and _is_blood(one) else one for one in findings)


def _is_blood(finding: MaskFinding) -> bool:
    return codes.concepts_of(finding).type[:2] == codes.HEMORRHAGE[:2]


def _or_contrast(finding: MaskFinding) -> MaskFinding:
    others = tuple(
        (language, OR_CONTRAST[Language(language)].format(label=label)) for language, label in finding.translations
    )
    label = OR_CONTRAST[Language.BRITISH].format(label=finding.label)
    return replace(finding, label=label, translations=others, may_be_contrast=True)
