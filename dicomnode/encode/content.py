"""Content items and settings that all structured reports share (DICOM PS3.3 C.17.3, PS3.16 TID 1002, 1204)."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from highdicom import sr as hd_sr
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

import dicomnode
from dicomnode.dicom import codes
from dicomnode.dicom.equipment import MANUFACTURER, MODEL_NAME
from dicomnode.dicom.uids import derived_uid
from dicomnode.encode.context import Envelope
from dicomnode.encode.identity import bare_reference
from dicomnode.kinds import COMPREHENSIVE_3D_SR, COMPREHENSIVE_SR, ENHANCED_SR, KINDS, Kind, first_choice
from dicomnode.records import MaskFinding

LINE_CHARACTERS = 88
DOCUMENTS: dict[str, type[hd_sr.Comprehensive3DSR | hd_sr.ComprehensiveSR | hd_sr.EnhancedSR]] = {
    COMPREHENSIVE_3D_SR: hd_sr.Comprehensive3DSR,
    COMPREHENSIVE_SR: hd_sr.ComprehensiveSR,
    ENHANCED_SR: hd_sr.EnhancedSR,
}
"""By SOP class: where a destination refuses the class of a report, its stand-in says the same in another."""
Report = hd_sr.Comprehensive3DSR | hd_sr.ComprehensiveSR | hd_sr.EnhancedSR
CONTAINS = hd_sr.RelationshipTypeValues.CONTAINS


def new_document(envelope: Envelope, kind: Kind, content: Dataset, evidence: Sequence[Dataset]) -> Report:
    """A document of the kind's SOP class: complete, preliminary, and verified by no one.

    The document whose place it takes is its predecessor, also where that was sent as another SOP class (PS3.3 C.17.2).
    """
    previous = [
        bare_reference(old.sop_class_uid, old.sop_instance_uid, old.series_instance_uid, envelope.identity)
        for old in envelope.predecessors
        if first_choice(old.kind) is first_choice(kind)
    ]
    return DOCUMENTS[KINDS[kind].sop_class_uid](
        evidence=evidence,
        content=content,
        series_instance_uid=envelope.series_uid(kind),
        series_number=envelope.series_number(kind),
        sop_instance_uid=envelope.instance_uid(kind),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=False,
        previous_versions=previous or None,
    )


def private_scheme() -> Dataset:
    """Who defines 99DCMNODE (PS3.3 C.12.1.1.1)."""
    return CodingSchemeIdentificationItem(
        designator=codes.PRIVATE_SCHEME,
        name=codes.PRIVATE_SCHEME_NAME,
        responsible_organization=codes.PRIVATE_SCHEME_ORGANIZATION,
    )


def root_container(envelope: Envelope, title: codes.Code, template: str) -> hd_sr.ContainerContentItem:
    """The root of a document, with its language and its observer."""
    root = container(title, None, template)
    root.ContentSequence.extend(
        hd_sr.LanguageOfContentItemAndDescendants(hd_sr.CodedConcept(*codes.LANGUAGES[envelope.words.language]))
    )
    root.ContentSequence.extend(hd_sr.ObservationContext(observer_device_context=device_observer(envelope)))
    return root


def container(
    name: codes.Code, relationship: str | None = "CONTAINS", template: str | None = None
) -> hd_sr.ContainerContentItem:
    """An empty container."""
    item = hd_sr.ContainerContentItem(
        name=Code(*name), relationship_type=relationship, template_id=template, is_content_continuous=False
    )
    item.ContentSequence = hd_sr.ContentSequence()
    return item


def device_observer(envelope: Envelope) -> hd_sr.ObserverContext:
    """The software as the observer (TID 1004); there is no person behind what it says."""
    device = hd_sr.DeviceObserverIdentifyingAttributes(
        uid=derived_uid("device", MODEL_NAME, envelope.station_ae_title),
        name=envelope.station_ae_title,
        manufacturer_name=MANUFACTURER,
        model_name=MODEL_NAME,
        serial_number=dicomnode.__version__,
    )
    return hd_sr.ObserverContext(
        observer_type=hd_sr.CodedConcept(*codes.DEVICE), observer_identifying_attributes=device
    )


def procedure_reported() -> hd_sr.CodeContentItem:
    """What was examined (TID 1500 row 4)."""
    return hd_sr.CodeContentItem(
        name=Code(*codes.PROCEDURE_REPORTED),
        value=Code(*codes.PROCEDURE_CT),
        relationship_type=hd_sr.RelationshipTypeValues.HAS_CONCEPT_MOD,
    )


def text_item(name: codes.Code, text: str) -> hd_sr.TextContentItem:
    """A sentence under a name."""
    return hd_sr.TextContentItem(name=Code(*name), value=text, relationship_type=CONTAINS)


def broken(text: str) -> str:
    """In lines that a window shows whole, broken after a clause: OHIF (3.13.2) wraps no finding and cuts the rest.

    A clause that is longer than a line is broken between words.
    """
    lines = [""]
    for clause in re.split(r"(?<=[;,.]) ", text):
        for part in textwrap.wrap(clause, LINE_CHARACTERS, break_long_words=False, break_on_hyphens=False):
            longer = f"{lines[-1]} {part}".strip()
            lines[-1:] = [longer] if len(longer) <= LINE_CHARACTERS else [line for line in (lines[-1], part) if line]
    return "\r\n".join(lines)


def code_item(name: codes.Code, value: codes.Code) -> hd_sr.CodeContentItem:
    """A coded answer under a name."""
    return hd_sr.CodeContentItem(name=Code(*name), value=Code(*value), relationship_type=CONTAINS)


def presence_item(finding: MaskFinding, findings: Sequence[MaskFinding]) -> hd_sr.CodeContentItem:
    """Whether something was found; with its site where other findings of the report have the same type."""
    concepts = codes.concepts_of(finding)
    item = code_item(concepts.type, codes.presence_of(finding))
    if sum(codes.concepts_of(one).type[:2] == concepts.type[:2] for one in findings) > 1:
        where = hd_sr.CodeContentItem(
            name=Code(*codes.FINDING_SITE),
            value=Code(*concepts.site),
            relationship_type=hd_sr.RelationshipTypeValues.HAS_CONCEPT_MOD,
        )
        item.ContentSequence = hd_sr.ContentSequence([where])
    return item


def separate(item: Dataset) -> None:
    """Set ContinuityOfContent SEPARATE on a container and all below it: else viewers hide the names of the items."""
    if item.ValueType == "CONTAINER":
        item.ContinuityOfContent = "SEPARATE"
    for child in item.get("ContentSequence", []):
        separate(child)
