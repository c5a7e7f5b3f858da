"""What came out of ``dicomnode process``, for people and programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from dicomnode.app import show
from dicomnode.app.process import Processed
from dicomnode.records import (
    RESEARCH_NOTICE,
    Finding,
    ImageFinding,
    MaskFinding,
    NotApplicable,
    ReferenceScore,
    ScoreFinding,
)


def processed_as_dict(done: Processed) -> dict[str, Any]:
    """What came out of a folder as plain values, for ``--json``."""
    return {
        "series_uid": done.series_uid,
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
            "total": None if finding.total is None else asdict(finding.total),
            "lesions": [asdict(lesion) for lesion in finding.lesions],
        }
    if isinstance(finding, ImageFinding):
        return {"name": finding.name, "model": model, "horizon": finding.horizon, "warnings": list(finding.warnings)}
    return {**asdict(finding), "model": model}


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
    return _mask_sentence(finding, f"{model}, threshold {finding.threshold:g}")


def reference_sentence(score: ReferenceScore) -> str:
    """One reference score in words."""
    if score.value is not None:
        return f"{score.label}: {score.value:g}. {score.meaning}"
    if score.possible is not None:
        return f"{score.label}: {score.possible[0]:g} to {score.possible[1]:g}. {score.meaning}"
    return f"{score.label}: cannot be computed. {score.meaning}"


def _mask_sentence(finding: MaskFinding, model: str) -> str:
    if finding.total is None:
        return f"{finding.label}: none found ({model}; smallest lesion reported {finding.detection_limit_ml:g} mL)"
    total = finding.total
    return (
        f"{finding.label}: {total.volume_ml:.1f} mL in {len(finding.lesions)} lesion(s), "
        f"mean {total.mean_hu:.0f} HU, max {total.max_hu:.0f} HU ({model})"
    )
