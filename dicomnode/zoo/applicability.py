"""Whether a model applies to a patient: are its inputs known, and does the patient lie within its population?

No torch here: the dispatcher asks for the digest of a run's inputs before it has the run done.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from dicomnode.decision import Decision
from dicomnode.records import (
    MEASURED,
    ContextText,
    ContextValue,
    Finding,
    ImageFinding,
    Inapplicable,
    Inputs,
    MaskFinding,
    NotApplicable,
    PatientContext,
    ScoreFinding,
    ScoreInput,
)
from dicomnode.zoo.bundle import BundleManifest
from dicomnode.zoo.manifest import Limit

GivenBy = tuple[str, str, str]
"""Name of a finding, digest of the model that gave it, and ``inputs_digest`` of that run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What a model's inputs are for one patient.

    Attributes
    ----------
    reason, detail : why it does not apply; ``reason`` None: it does.
    inputs : those that are known, as results show them.
    missing : labels of those that are not.
    warnings : sentences, on limits of the population that could not be judged.
    digest : see :func:`inputs_digest`.
    """

    reason: Inapplicable | None
    detail: str
    inputs: tuple[ScoreInput, ...]
    missing: tuple[str, ...]
    warnings: tuple[str, ...]
    digest: str


def examine(manifest: BundleManifest, inputs: Inputs) -> Examined:
    """Hold what is known of a patient against what a model needs and whom it is for."""
    fault = next(_missing(manifest, inputs), None) or next(_outside(manifest, inputs), None)
    reason, detail = fault or (None, "")
    return Examined(
        reason=reason,
        detail=detail,
        inputs=tuple(_known(manifest, inputs)),
        missing=tuple(_unknown(manifest, inputs)),
        warnings=tuple(_unjudged(manifest, inputs)),
        digest=inputs_digest(manifest, inputs.context, (_given_by(finding) for finding in inputs.earlier)),
    )


def inputs_digest(manifest: BundleManifest, context: PatientContext, earlier: Iterable[GivenBy]) -> str:
    """Digest of all that shapes the findings of a run beside the model and the images.

    Only what the model needs enters. The voxels of an earlier mask do not: they follow from its model and that model's
    inputs, and differ in the last bit between devices.

    Parameters
    ----------
    earlier : all findings of the runs before it.

    Returns
    -------
    Hex sha256; empty where the model needs nothing but images, and foretells what it does by itself.
    """
    needs, chosen_h = manifest.needs, manifest.chosen_h
    if not (needs.findings or needs.variables or needs.texts or chosen_h):
        return ""
    parts: dict[str, Any] = {
        "variables": [_plain_value(context.value(variable.name)) for variable in needs.variables],
        "texts": [_plain_text(context.text(text.section)) for text in needs.texts],
        "findings": sorted(given for given in earlier if given[0] in needs.findings),
    }
    if chosen_h is not None:
        parts["horizon_h"] = chosen_h
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _plain_value(value: ContextValue | None) -> list[str | float | bool] | None:
    return None if value is None else [value.name, value.value, value.unit, value.source, value.observed_at]


def _plain_text(text: ContextText | None) -> list[str] | None:
    return None if text is None else [text.section, text.text, text.source, text.written_at]


def _given_by(finding: Finding) -> GivenBy:
    return finding.name, finding.model.digest, finding.inputs_digest


def _usable(inputs: Inputs, name: str) -> MaskFinding | ScoreFinding | ImageFinding | None:
    """An earlier finding that was given."""
    given = (finding for finding in inputs.earlier if not isinstance(finding, NotApplicable))
    return next((finding for finding in given if finding.name == name), None)


def _missing(manifest: BundleManifest, inputs: Inputs) -> Iterator[tuple[Inapplicable, str]]:
    needs = manifest.needs
    for name in needs.findings:
        if _usable(inputs, name) is None:
            yield Inapplicable.MISSING_FINDING, name
    for variable in needs.variables:
        if variable.required and inputs.context.value(variable.name) is None:
            yield Inapplicable.MISSING_VARIABLE, variable.label
    known = sum(inputs.context.value(variable.name) is not None for variable in needs.variables)
    if known < needs.least_known:
        yield Inapplicable.MISSING_VARIABLE, f"{known} of {len(needs.variables)} known, {needs.least_known} needed"
    for text in needs.texts:
        if text.required and inputs.context.text(text.section) is None:
            yield Inapplicable.MISSING_TEXT, text.label


def _outside(manifest: BundleManifest, inputs: Inputs) -> Iterator[tuple[Inapplicable, str]]:
    for limit in manifest.population:
        value = _judged_value(limit, inputs)
        here = "" if value is None else f"{_shown(value)}{_unit(limit, inputs)}"
        if value is not None and not limit.holds(value):
            yield Inapplicable.OUTSIDE_POPULATION, f"{limit.says}; here {here}"
        elif _is_doubtful(limit, inputs):
            yield Inapplicable.OUTSIDE_POPULATION, f"{limit.says}; here {here}, uncertain"


def _is_doubtful(limit: Limit, inputs: Inputs) -> bool:
    """Whether a limit asks for marks, and the exam says that these may be none: decision 091."""
    finding = _usable(inputs, limit.finding or "")
    return limit.min is not None and isinstance(finding, MaskFinding) and finding.decision is Decision.UNCERTAIN


def _unjudged(manifest: BundleManifest, inputs: Inputs) -> Iterator[str]:
    unjudged = [limit.says for limit in manifest.population if _judged_value(limit, inputs) is None]
    if unjudged:
        yield f"It could not be judged whether the patient lies within the population: {'; '.join(unjudged)}."


def _judged_value(limit: Limit, inputs: Inputs) -> str | float | bool | None:
    """What a limit is about: the volume of a mask in mL, or the value of a variable; None where it is not known."""
    if limit.variable is not None:
        known = inputs.context.value(limit.variable)
        return None if known is None else known.value
    finding = _usable(inputs, limit.finding or "")
    if isinstance(finding, ScoreFinding):
        return finding.value
    return _volume_ml(finding) if isinstance(finding, MaskFinding) else None


def _unit(limit: Limit, inputs: Inputs) -> str:
    if limit.variable is not None:
        known = inputs.context.value(limit.variable)
        return "" if known is None else _printed(known.unit)
    return " mL" if isinstance(_usable(inputs, limit.finding or ""), MaskFinding) else ""


def _printed(unit: str) -> str:
    """A UCUM unit behind its number, for readers: ratios (``1``) and counts (``{score}``) have none."""
    return "" if unit in ("", "1") or unit.startswith("{") else f" {unit}"


def _volume_ml(finding: MaskFinding) -> float:
    return 0.0 if finding.total is None else finding.total.volume_ml


def _known(manifest: BundleManifest, inputs: Inputs) -> Iterator[ScoreInput]:
    needs = manifest.needs
    for name in needs.findings:
        finding = _usable(inputs, name)
        if finding is not None:
            yield _of_finding(finding)
    for variable in needs.variables:
        value = inputs.context.value(variable.name)
        if value is not None:
            shown = f"{_shown(value.value)}{_printed(value.unit)}"
            yield ScoreInput(variable.label, shown, value.source, value.observed_at, value.offset_s)
    for text in needs.texts:
        known = inputs.context.text(text.section)
        if known is not None:
            words = f"{len(known.text.split())} words"
            yield ScoreInput(text.label, words, known.source, known.written_at, known.offset_s)


def _of_finding(finding: MaskFinding | ScoreFinding | ImageFinding) -> ScoreInput:
    if isinstance(finding, MaskFinding):
        return ScoreInput(finding.label, f"{_volume_ml(finding):.1f} mL", MEASURED)
    if isinstance(finding, ScoreFinding):
        return ScoreInput(finding.label, f"{finding.value:g}{_printed(finding.unit)}", finding.model.name)
    return ScoreInput(finding.label, finding.horizon, finding.model.name)


def _unknown(manifest: BundleManifest, inputs: Inputs) -> Iterator[str]:
    needs, context = manifest.needs, inputs.context
    yield from (name for name in needs.findings if _usable(inputs, name) is None)
    yield from (variable.label for variable in needs.variables if context.value(variable.name) is None)
    yield from (text.label for text in needs.texts if context.text(text.section) is None)


def _shown(value: str | float | bool) -> str:
    """``63``, ``yes``, ``warfarin``."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, int | float) else value
