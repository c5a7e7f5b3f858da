"""Identity of results: UIDs that depend on all that shapes a result, and on nothing else.

The same inputs, models, settings and encoder give the same UIDs in any process at any time, so that a repeated
encoding after a crash is the same instance, and a changed result is another one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from pydicom.dataset import Dataset

from dicomnode.dicom.uids import derived_uid
from dicomnode.records import (
    MEASURED,
    Case,
    Finding,
    ImageFinding,
    MaskFinding,
    NotApplicable,
    ReferenceScore,
    ScoreInput,
)

ENCODER_VERSION = "8"
"""Counts up whenever the same case would be written with another meaning or another look."""


def case_digest(case: Case, identity: Dataset) -> str:
    """Hex sha256 over everything that shapes the results of a case.

    Parameters
    ----------
    case : sources and their digests, protocol, settings, models, limits, inputs of scores, generation
        and language enter; the
        voxels of the masks and the values of the scores do not, since they follow from these, and differ in the last
        bit between devices. Nor do the predecessors: which of them arrived may become known between two encodings of
        one generation, and a report made later must refer to the segmentation made before.
    identity : the patient and study attributes written into the results.
    """
    parts = {
        "encoder": ENCODER_VERSION,
        "sources": [str(source.SOPInstanceUID) for source in case.sources],
        "inputs": list(case.input_digests),
        "identity": attributes_of(identity),
        "protocol": case.protocol,
        "settings": case.settings_digest,
        "findings": [_finding(finding) for finding in case.findings],
        "generation": case.generation,
        "language": case.language,
        # only where there are any: results without stay the instances that they were
        **({"reference": [_reference(score) for score in case.reference]} if case.reference else {}),
    }
    return digest_of(parts)


def _reference(score: ReferenceScore) -> list[str | list[str]]:
    """What is measured follows from the masks, and differs in the last bit between devices: it does not enter."""
    told = [item for item in score.inputs if item.source != MEASURED]
    return [score.name, [_input(item) for item in told], list(score.missing)]


def _input(item: ScoreInput) -> str:
    return f"{item.label}={item.value} ({item.source} {item.observed_at})"


def digest_of(parts: Mapping[str, object]) -> str:
    """Hex sha256 of what shapes a result; whatever stands in ``parts`` can be written as JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def series_uid(digest: str, kind: str) -> str:
    """SeriesInstanceUID of one kind of result; each kind is a series of its own."""
    return derived_uid("series", kind, digest)


def instance_uid(digest: str, kind: str, index: int = 0) -> str:
    """SOPInstanceUID of the one instance of a kind, or of the one at ``index``."""
    return derived_uid("instance", kind, digest, *([str(index)] if index else []))


def tracking_uid(digest: str, finding: str, lesion: int | None = None) -> str:
    """Tracking Unique Identifier of a finding, or of one of its lesions (0-based): the same in SEG and SR."""
    return derived_uid("tracking", digest, finding, "total" if lesion is None else str(lesion))


def attributes_of(identity: Dataset) -> list[str]:
    """The attributes as text, for a digest."""
    return [f"{element.tag} {element.VR} {element.value}" for element in identity]


def _finding(finding: Finding) -> list[str | float]:
    model = finding.model
    parts = [finding.name, finding.label, model.name, model.version, model.digest, model.trained_on]
    parts.append(finding.inputs_digest)
    if isinstance(finding, MaskFinding):
        return [*parts, finding.threshold, finding.detection_limit_ml, str(finding.exam_threshold), finding.dense_rule]
    if isinstance(finding, ImageFinding):
        return [*parts, finding.horizon, finding.note, *finding.warnings]
    if isinstance(finding, NotApplicable):
        return [*parts, finding.reason, finding.detail]
    inputs = [_input(item) for item in finding.inputs]
    return [*parts, str(finding.threshold), *inputs, *finding.missing, *finding.warnings]
