"""What came out of ``dicomnode process``, for people and programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from dicomnode.app import show
from dicomnode.app.process import Processed
from dicomnode.decision import decision_of
from dicomnode.encode.wording import Wording
from dicomnode.measure.figures import rounded_hu, rounded_ml, rounded_mm
from dicomnode.measure.outcome import outcome_of, outcomes_of
from dicomnode.records import (
    RESEARCH_NOTICE,
    Finding,
    ImageFinding,
    MaskFinding,
    NotApplicable,
    ReferenceScore,
    Region,
    ScoreFinding,
)


def processed_as_dict(done: Processed) -> dict[str, Any]:
    """What came out of a folder as plain values, for ``--json``."""
    return {
        "series_uid": done.series_uid,
        "decision": decision_of(outcomes_of(done.findings)),
        "findings": [_finding_as_dict(finding) for finding in done.findings],
        "reference": [asdict(score) for score in done.reference],
        "results": [{"kind": result.kind, "path": str(result.path)} for result in done.results],
        "left_out": list(done.left_out),
        "notice": RESEARCH_NOTICE,
    }


def _finding_as_dict(finding: Finding) -> dict[str, Any]:
    model = f"{finding.model.name} {finding.model.version}"
    if isinstance(finding, MaskFinding):
        return {
            "name": finding.name,
            "model": model,
            "threshold": finding.threshold,
            "detection_limit_ml": finding.detection_limit_ml,
            **outcome_of(finding).as_dict(),
            "total": None if finding.total is None else _region_as_dict(finding.total),
            "lesions": [_region_as_dict(lesion) for lesion in finding.lesions],
        }
    if isinstance(finding, ImageFinding):
        return {"name": finding.name, "model": model, "horizon": finding.horizon, "warnings": list(finding.warnings)}
    return {**asdict(finding), "model": model}


def _region_as_dict(region: Region) -> dict[str, Any]:
    """With the figures of the results."""
    rounded = {
        "volume_ml": rounded_ml(region.volume_ml),
        "abc2_ml": None if region.abc2_ml is None else rounded_ml(region.abc2_ml),
        "mean_hu": rounded_hu(region.mean_hu),
        "max_hu": rounded_hu(region.max_hu),
        "longest_diameter_mm": rounded_mm(region.longest_diameter_mm),
    }
    return {**asdict(region), **rounded}


def processed_table(done: Processed) -> None:
    """Findings and files for a person."""
    for finding in done.findings:
        show.out.print(finding_sentence(finding))
    for score in done.reference:
        show.out.print(reference_sentence(score))
    show.table("Results", ["kind", "file"], [[result.kind, str(result.path)] for result in done.results])
    show.out.print(f"[yellow]{RESEARCH_NOTICE}.[/yellow]")


def finding_sentence(finding: Finding) -> str:
    """One finding in words."""
    model = f"{finding.model.name} {finding.model.version}"
    if isinstance(finding, ScoreFinding):
        return f"{finding.label}: {finding.value:g} ({model})"
    if isinstance(finding, ImageFinding):
        return f"{finding.label}, {finding.horizon}: predicted, never acquired ({model})"
    if isinstance(finding, NotApplicable):
        return f"{finding.label}: not applicable: {finding.reason.sentence()} {finding.detail} ({model})"
    return f"{finding.label}, {finding.decision}: {Wording().impression(finding)} ({model})"


def reference_sentence(score: ReferenceScore) -> str:
    """One reference score in words."""
    return Wording().reference_sentence(score)
