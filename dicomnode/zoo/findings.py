"""From what a network says to findings: thresholds and categories of the manifest, measures on the source grid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomnode.errors import InferenceError
from dicomnode.measure.anatomy.head import beside_bleeds
from dicomnode.measure.density import NO_DENSE, DenseMarks, DenseRule, without_dense
from dicomnode.measure.exam import exam_probability
from dicomnode.measure.lesions import measure
from dicomnode.measure.place import Places
from dicomnode.records import (
    PROBABILITY_FLOOR,
    PROBABILITY_SCALE,
    CodedConcept,
    Finding,
    ImageFinding,
    Inapplicable,
    Inputs,
    MaskFinding,
    ModelRef,
    NotApplicable,
    ScoreFinding,
    Volume,
)
from dicomnode.zoo.applicability import Examined
from dicomnode.zoo.bundle import BundleManifest
from dicomnode.zoo.manifest import ImageOutput, MaskOutput, Output, ScoreOutput
from dicomnode.zoo.reading.contract import Explained, NotFor, Predicted, Raw


def not_applicable(manifest: BundleManifest, model: ModelRef, examined: Examined) -> tuple[NotApplicable, ...]:
    """That none of a bundle's findings is given for this patient, and why."""
    assert examined.reason is not None
    return tuple(_withheld(output, model, examined.reason, examined.detail, examined) for output in manifest.gives)


def _withheld(output: Output, model: ModelRef, reason: Inapplicable, detail: str, examined: Examined) -> NotApplicable:
    return NotApplicable(
        name=output.name,
        label=output.label,
        model=model,
        reason=reason,
        detail=detail,
        inputs=examined.inputs,
        missing=examined.missing,
        inputs_digest=examined.digest,
        translations=output.translated,
    )


def findings_of(
    manifest: BundleManifest,
    model: ModelRef,
    raw: Mapping[str, Raw],
    inputs: Inputs,
    examined: Examined,
    *,
    keep_probability: bool = False,
) -> tuple[Finding, ...]:
    """A finding for each output of the manifest, in its order.

    Parameters
    ----------
    raw : what the network says, by the name of the output.
    keep_probability : masks carry the probability of every voxel, too.

    Raises
    ------
    InferenceError : an output is missing, is not finite, or does not fit the slices.
    """
    shared = {"model": model, "inputs_digest": examined.digest}
    findings: list[Finding] = []
    places = None if inputs.volume is None else Places(inputs.volume)
    for output in manifest.gives:
        value = _checked(manifest.name, output, raw.get(output.name), inputs.volume)
        if isinstance(value, NotFor):
            findings.append(_withheld(output, model, Inapplicable.OUTSIDE_POPULATION, value.detail, examined))
        elif isinstance(output, MaskOutput):
            assert inputs.volume is not None  # a scalar was refused
            assert places is not None
            findings.append(_mask_finding(output, value, inputs.volume, places, keep_probability, shared))
        elif isinstance(output, ScoreOutput):
            findings.append(_score_finding(output, value, inputs.volume, examined, shared))
        else:
            findings.append(_image_finding(output, value, examined, shared))
    return tuple(findings)


def _checked(model: str, output: Output, value: Raw | None, volume: Volume | None) -> Any:
    """The value, if it is what the manifest says."""
    if value is None:
        raise InferenceError(f"{model}: gives no {output.name}")
    if isinstance(value, NotFor):
        return value
    wanted = () if isinstance(output, ScoreOutput) else None if volume is None else volume.hu.shape
    for numbers in _numbers(value):
        if np.shape(numbers) != wanted:
            raise InferenceError(f"{model}: {output.name} has shape {np.shape(numbers)}, not {wanted}")
        if not np.isfinite(numbers).all():
            raise InferenceError(f"{model}: {output.name} is not finite")
    return value


def _numbers(value: NDArray[np.float32] | float | Explained | Predicted) -> tuple[NDArray[np.float32] | float, ...]:
    """What of a value must be numbers."""
    if isinstance(value, Predicted):
        return (value.hu,) if value.probability is None else (value.hu, value.probability)
    return (value.value if isinstance(value, Explained) else value,)


def _mask_finding(
    output: MaskOutput,
    probability: NDArray[np.float32],
    volume: Volume,
    places: Places,
    keep_probability: bool,
    shared: dict[str, Any],
) -> MaskFinding:
    kept, dense = _marked(output, probability, volume)
    total, lesions, labels = measure(kept, volume, output.detection_limit_ml, places)
    return MaskFinding(
        name=output.name,
        label=output.label,
        mask=labels > 0,
        threshold=output.threshold,
        detection_limit_ml=output.detection_limit_ml,
        total=total,
        lesions=lesions,
        lesion_labels=labels,
        concepts=output.concepts,
        exam_probability=_exam_probability(output, probability, volume),
        exam_threshold=output.exam_threshold,
        probability=stored_probability(probability) if keep_probability else None,
        dense_pieces=dense.pieces,
        dense_ml=dense.volume_ml,
        dense_rule="" if output.dense is None else _rule_of(output).in_words(),
        translations=output.translated,
        head=beside_bleeds(places.head, lesions),
        **shared,
    )


def _marked(
    output: MaskOutput, probability: NDArray[np.float32], volume: Volume
) -> tuple[NDArray[np.bool_], DenseMarks]:
    marked = np.asarray(probability > output.threshold)
    return (marked, NO_DENSE) if output.dense is None else without_dense(marked, volume, _rule_of(output))


def _rule_of(output: MaskOutput) -> DenseRule:
    assert output.dense is not None
    return DenseRule(output.dense.above_brain_hu, output.dense.share, output.detection_limit_ml)


def _exam_probability(output: MaskOutput, probability: NDArray[np.float32], volume: Volume) -> float | None:
    if output.exam_threshold is None:
        return None
    return exam_probability(probability, volume, output.exam_slope, output.exam_intercept)


def _score_finding(
    output: ScoreOutput, given: float | Explained, volume: Volume | None, examined: Examined, shared: dict[str, Any]
) -> ScoreFinding:
    score = given if isinstance(given, Explained) else Explained(value=float(given))
    return ScoreFinding(
        name=output.name,
        label=output.label,
        value=float(score.value),
        unit=output.unit,
        threshold=output.threshold,
        category=_category(output, float(score.value)),
        inputs=examined.inputs,
        missing=examined.missing,
        warnings=(*examined.warnings, *score.warnings),
        definition=output.definition,
        reference=score.reference,
        interval=score.interval,
        attention=_attention(output, score.attention, volume),
        contributions=tuple(sorted(score.contributions, key=lambda one: -abs(one.change))),
        translations=output.translated,
        **shared,
    )


def _attention(
    output: ScoreOutput, attention: NDArray[np.uint8] | None, volume: Volume | None
) -> NDArray[np.uint8] | None:
    if attention is not None and (volume is None or attention.shape != volume.hu.shape):
        raise InferenceError(f"{output.name}: attention has shape {attention.shape}, not that of the slices")
    return attention


def _category(output: ScoreOutput, value: float) -> CodedConcept | None:
    if output.threshold is None:
        return None
    code = output.high if value >= output.threshold else output.low
    return None if code is None else code.as_tuple()


def _image_finding(
    output: ImageOutput, given: NDArray[np.float32] | Predicted, examined: Examined, shared: dict[str, Any]
) -> ImageFinding:
    missing = [f"Not known: {', '.join(examined.missing)}."] if examined.missing else []
    scan = given if isinstance(given, Predicted) else Predicted(given)
    return ImageFinding(
        name=output.name,
        label=output.label,
        hu=np.asarray(scan.hu, dtype=np.float32),
        horizon=output.horizon,
        probability=None if scan.probability is None else stored_probability(scan.probability),
        outlined=output.outlines or "",
        note=scan.note,
        warnings=(*examined.warnings, *missing),
        translations=output.translated,
        **shared,
    )


def stored_probability(probability: NDArray[np.float32]) -> NDArray[np.uint16]:
    """0..1 in the steps of ``MaskFinding.probability``, same shape."""
    steps: NDArray[np.float32] = np.rint(probability * PROBABILITY_SCALE)
    steps[probability < PROBABILITY_FLOOR] = 0
    return steps.astype(np.uint16)
