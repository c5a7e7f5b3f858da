"""The sentences of report and overview: the same words wherever a finding is told."""

from __future__ import annotations

import math

from dicomnode.dicom import codes
from dicomnode.records import (
    RESEARCH_NOTICE,
    ImageFinding,
    MaskFinding,
    ModelRef,
    NotApplicable,
    ReferenceScore,
    Region,
    ScoreFinding,
    ScoreInput,
)

DISCLAIMER = (
    f"{RESEARCH_NOTICE}. Computed by software and preliminary: not verified by a physician. Not a medical device."
)
NOTICE = f"{DISCLAIMER} Volumes are voxels times in-plane area times slice weight on the slices of the source series."


def impression(finding: MaskFinding) -> str:
    """What was marked, or what was not and within which limits; and how likely the exam shows it at all."""
    return " ".join(filter(None, (_marked(finding), exam_sentence(finding))))


def exam_sentence(finding: MaskFinding) -> str:
    """``Exam probability 0.93, at or above its threshold 0.40.``; empty where the bundle gives none."""
    if finding.exam_probability is None or finding.exam_threshold is None:
        return ""
    side = "at or above" if finding.exam_probability >= finding.exam_threshold else "below"
    # rounded toward the side it is on, so that the sentence never contradicts its own figures
    round_ = math.ceil if side.startswith("at") else math.floor
    shown = round_(finding.exam_probability * 100) / 100
    return f"Exam probability {shown:.2f}, {side} its threshold {finding.exam_threshold:g}."


def _marked(finding: MaskFinding) -> str:
    if finding.total is None:
        return f"{nothing_found(finding)} This does not exclude {codes.concepts_of(finding).noun}."
    if not finding.lesions:
        pieces = f"Marked pieces below it add up to {millilitres(finding.total.volume_ml)}."
        return f"{nothing_found(finding)} {pieces}"
    return f"{finding.label}: {millilitres(finding.total.volume_ml)} marked, {lesion_count(finding)}."


def nothing_found(finding: MaskFinding) -> str:
    """That no lesion reached the limit, with the limits."""
    limits = f"detection limit {finding.detection_limit_ml:g} mL, threshold {finding.threshold:g}"
    return f"No {codes.concepts_of(finding).noun} above the detection limit ({limits})."


def lesion_count(finding: MaskFinding) -> str:
    """``1 lesion`` or ``3 lesions`` of at least the detection limit."""
    count = len(finding.lesions)
    return f"{count} lesion{'' if count == 1 else 's'} of at least {finding.detection_limit_ml:g} mL"


def measurements(region: Region, images: str) -> str:
    """All figures of a region in one sentence.

    Parameters
    ----------
    images : where it lies, such as ``image 11-17``.
    """
    parts = [millilitres(region.volume_ml), estimate(region)]
    parts.append(f"longest diameter {region.longest_diameter_mm:.0f} mm")
    parts.append(f"mean {region.mean_hu:.0f} HU, maximum {region.max_hu:.0f} HU")
    return f"{'; '.join(part for part in parts if part)}; {images}."


def estimate(region: Region) -> str:
    """ABC/2 and how far it is from the volume: ``ABC/2 17.0 mL (+0.9 mL, +6 %)``; empty where there is none."""
    if region.abc2_ml is None:
        return ""
    difference_ml = region.abc2_ml - region.volume_ml
    share = f", {100 * difference_ml / region.volume_ml:+.0f} %" if region.volume_ml > 0 else ""
    sign = "+" if difference_ml >= 0 else "-"
    return f"ABC/2 {millilitres(region.abc2_ml)} ({sign}{millilitres(abs(difference_ml))}{share})"


def is_probability(score: ScoreFinding) -> bool:
    """Whether the score is a probability, 0..1."""
    return score.unit == "1" and 0 <= score.value <= 1


def score_sentence(score: ScoreFinding) -> str:
    """Value, interval, threshold and category of a score in one sentence."""
    parts = [f"{score.label}: {in_unit(score.value, score.unit)}"]
    if score.interval is not None:
        low, high = (in_unit(limit, score.unit) for limit in score.interval)
        parts.append(f"95 % confidence interval {low} to {high}")
    if score.threshold is not None:
        side = "at or above" if score.value >= score.threshold else "below"
        parts.append(f"{side} the operating threshold {in_unit(score.threshold, score.unit)}")
    if score.category is not None:
        parts.append(score.category[2])
    return f"{'; '.join(parts)}."


def prediction_sentence(image: ImageFinding) -> str:
    """That there is a predicted scan, and that it is none."""
    return f"{image.label}, {image.horizon}: computed by a model as a series of its own, never acquired."


def reference_sentence(reference: ReferenceScore) -> str:
    """A reference score with what it means; its range where an input is missing."""
    if reference.value is not None:
        return f"{reference.label}: {in_unit(reference.value, reference.unit)}. {reference.meaning}"
    if reference.possible is None:
        return f"{reference.label}: cannot be computed. {reference.meaning}"
    low, high = (in_unit(limit, reference.unit) for limit in reference.possible)
    is_measured_twice = bool(reference.inputs) and not reference.missing
    why = "as the volumes by ABC/2 and by voxels lead to both" if is_measured_twice else "as inputs are missing"
    return f"{reference.label}: {low} to {high}, {why}. {reference.meaning}"


def input_phrase(item: ScoreInput) -> str:
    """``Glasgow Coma Scale 12 (HL7, 2026-11-28T02:10+01:00, 1.3 h before the scan)``."""
    parts = (item.source, item.observed_at, offset_phrase(item.offset_s))
    return f"{item.label} {item.value} ({', '.join(filter(None, parts))})"


def offset_phrase(offset_s: float | None) -> str:
    """``20 min before the scan``, ``1.3 h after the scan``, ``3 d before the scan``; empty where it is not known."""
    if offset_s is None:
        return ""
    minutes = abs(offset_s) / 60
    amount = (
        f"{minutes:.0f} min"
        if minutes < 60
        else f"{minutes / 60:.1f} h"
        if minutes < 2880
        else f"{minutes / 1440:.0f} d"
    )
    return f"{amount} {'before' if offset_s < 0 else 'after'} the scan"


def not_applicable_sentence(finding: NotApplicable) -> str:
    """That a finding is not given for this patient, and why: nobody shall take silence for "nothing found"."""
    return f"{finding.label}: not applicable. {why_not_applicable(finding)}"


def why_not_applicable(finding: NotApplicable) -> str:
    """The reason in one sentence, with what is known of it in brackets."""
    detail = f" ({finding.detail})" if finding.detail else ""
    return f"{finding.reason.sentence().removesuffix('.')}{detail}."


def in_unit(value: float, unit: str) -> str:
    """A value as people read it: ``0.42``, ``42 %``, ``3``, ``16.1 mL``."""
    if unit == "1":
        return f"{value:.2f}"
    return f"{value:g}" if unit.startswith("{") else f"{value:g} {unit}"


def millilitres(volume_ml: float) -> str:
    """A volume as people read it: ``16.1 mL``, ``0.32 mL``, ``0.004 mL``."""
    decimals = 1 if volume_ml >= 10 else 2 if volume_ml >= 0.1 else 3
    return f"{volume_ml:.{decimals}f} mL"


def lesion_name(finding: MaskFinding, index: int) -> str:
    """Tracking identifier of lesion ``index`` (0-based): ``Intracranial haemorrhage, lesion 1``."""
    return f"{finding.label}, lesion {index + 1}"


def model_line(model: ModelRef) -> str:
    """Name, version and digest of a model."""
    return f"{model.name} {model.version} ({model.title}), {model.digest}"


def parameters_of(finding: MaskFinding) -> dict[str, str]:
    """What the algorithm ran with (TID 4019 row Algorithm Parameters)."""
    return {
        "bundle": finding.model.digest,
        "threshold": f"{finding.threshold:g}",
        "detection_limit_ml": f"{finding.detection_limit_ml:g}",
    }
