"""Runs a MONAI bundle that reads whole volumes, as others make them: its own transforms, network and inferer.

What touches files or undoes geometry (LoadImaged, EnsureChannelFirstd, SaveImaged, Invertd) is left out: the volume
comes from memory, and :mod:`dicomnode.zoo.grid` takes the result back to the source's slices.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import Compose
from numpy.typing import NDArray

from dicomnode.errors import BundleRefused, ImportRefusal, InferenceError
from dicomnode.records import Volume
from dicomnode.zoo.bundle import METADATA
from dicomnode.zoo.file_steps import base_name, without_file_steps
from dicomnode.zoo.grid import on_source_slices, regular_grid
from dicomnode.zoo.ladder import Ladder
from dicomnode.zoo.manifest import MaskOutput, ScoreOutput
from dicomnode.zoo.parts import CONFIG

PARTS = ("network_def", "preprocessing", "inferer", "postprocessing")
Decision = Literal["argmax", "threshold", "labels"]


@dataclass(frozen=True, kw_only=True)
class VolumeParts:
    """The working parts of a bundle that reads volumes.

    Attributes
    ----------
    steps : postprocessing up to probabilities, or to whatever the bundle decides by itself.
    decision : ``argmax``: the strongest channel of ``pred`` wins; ``threshold``: every channel is judged on its own;
        ``labels``: ``pred`` has one channel that names the winner.
    softmax : still to be applied before an ``argmax``.
    threshold : of the bundle's own AsDiscrete; 0.5 where it has none.
    """

    network: torch.nn.Module
    preprocessing: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    inferer: Callable[..., Any]
    steps: tuple[Callable[[Any], Any], ...]
    decision: Decision
    softmax: bool
    threshold: float
    image_key: str
    pred_key: str


def load_volume_parts(bundle: Path) -> VolumeParts:
    """Build the parts of a bundle, without weights. This runs what its configuration says.

    Raises
    ------
    BundleRefused : ``MISSING_PART``, ``CANNOT_BUILD``, ``NO_DECISION``.
    """
    raw = ConfigParser.load_config_file(str(bundle / CONFIG))
    missing = [part for part in PARTS if part not in raw]
    if missing:
        raise BundleRefused(ImportRefusal.MISSING_PART, f"Missing: {', '.join(missing)}.")
    network, preprocessing, inferer, postprocessing = _built(bundle, raw)
    steps, decision, softmax, threshold = plan_of(_steps(postprocessing))
    return VolumeParts(
        network=network,
        preprocessing=preprocessing,
        inferer=inferer,
        steps=steps,
        decision=decision,
        softmax=softmax,
        threshold=threshold,
        image_key=_key_of(_steps(preprocessing), "image"),
        pred_key=_key_of(_steps(postprocessing), "pred"),
    )


def _built(bundle: Path, raw: dict[str, Any]) -> list[Any]:
    """What the configuration says of each of ``PARTS``."""
    parser = ConfigParser({**without_file_steps(raw), "bundle_root": str(bundle)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MONAI about options that others left out or have renamed
        try:
            parser.read_meta(str(bundle / METADATA))
            parser.parse()
            return [parser.get_parsed_content(part) for part in PARTS]
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError, AttributeError) as error:
            raise BundleRefused(ImportRefusal.CANNOT_BUILD, _innermost(error)) from error


def _innermost(error: BaseException) -> str:
    """MONAI wraps what went wrong in several layers that quote the configuration."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {str(error).strip()[:300]}"


def _steps(transform: Any) -> list[Any]:
    """The single transforms of a Compose, however nested."""
    return list(transform.flatten().transforms) if isinstance(transform, Compose) else [transform]


def _key_of(steps: Sequence[Any], usual: str) -> str:
    keys = next((tuple(step.keys) for step in steps if isinstance(getattr(step, "keys", None), tuple)), (usual,))
    return usual if usual in keys else str(keys[0])


def plan_of(steps: Sequence[Any]) -> tuple[tuple[Callable[[Any], Any], ...], Decision, bool, float]:
    """What of a postprocessing is run, and how a voxel is decided on the source's slices.

    A last ``AsDiscrete`` is left out and taken over: probabilities are interpolated, not labels. One with steps after
    it (largest component, holes) is run as it stands.

    Returns
    -------
    The steps to run, the decision, whether a softmax is still to be applied, the threshold.

    Raises
    ------
    BundleRefused : ``NO_DECISION``.
    """
    names = [base_name(type(step).__name__) for step in steps]
    activated = {kind for step in steps for kind in ("softmax", "sigmoid") if any(_option(step, kind))}
    discrete = names.index("asdiscrete") if "asdiscrete" in names else None
    if discrete is None:
        if not activated:
            raise BundleRefused(ImportRefusal.NO_DECISION)
        return tuple(steps), "argmax" if "softmax" in activated else "threshold", False, 0.5
    step = steps[discrete]
    argmax = any(_option(step, "argmax"))
    threshold = next((float(value) for value in _option(step, "threshold") if value is not None), None)
    if discrete < len(steps) - 1:
        onehot = any(value is not None for value in _option(step, "to_onehot"))
        return tuple(steps), "labels" if argmax and not onehot else "threshold", False, 0.5
    if argmax:
        return tuple(steps[:discrete]), "argmax", "softmax" not in activated, 0.5
    if threshold is None:
        raise BundleRefused(ImportRefusal.NO_DECISION)
    return tuple(steps[:discrete]), "threshold", False, threshold


def _option(step: Any, name: str) -> tuple[Any, ...]:
    """Values of an option of a dictionary transform, one per key."""
    value = getattr(step, name, ())
    return tuple(value) if isinstance(value, tuple | list) else ()


def segment(
    parts: VolumeParts, volume: Volume, outputs: Sequence[MaskOutput], ladder: Ladder
) -> dict[str, NDArray[np.float32]]:
    """Score of every output on the source's slices.

    Returns
    -------
    Output name -> (slices, rows, columns) float32 in [0, 1]; where the strongest channel wins, a channel's score is its
    probability against that of the strongest other one, so that it wins above 0.5.

    Raises
    ------
    InferenceError : the network failed, its result has lost its place, or is not finite.
    """
    pred = _finite(parts, volume, ladder)
    channels = [output.channel or 0 for output in outputs]
    values = torch.as_tensor(pred.as_tensor())
    if parts.decision == "labels":
        values = torch.stack([(values[0].round() == channel).float() for channel in channels])
    planes = [
        scores_of(seen, channels, parts.decision)
        for seen in on_source_slices(values, pred.affine.numpy(), volume.stack)
    ]
    scores = torch.stack(planes, dim=1).numpy()
    return {output.name: scores[index] for index, output in enumerate(outputs)}


def classify(parts: VolumeParts, volume: Volume, outputs: Sequence[ScoreOutput], ladder: Ladder) -> dict[str, float]:
    """Probability of every class that the bundle gives out, by the name of the output.

    Raises
    ------
    InferenceError : the network failed, its result is not finite, or is no list of classes.
    """
    pred = _finite(parts, volume, ladder)
    if pred.ndim != 1:
        raise InferenceError(f"the output has {pred.ndim} dimensions, a classification has one")
    return {output.name: float(pred[output.channel or 0]) for output in outputs}


def _finite(parts: VolumeParts, volume: Volume, ladder: Ladder) -> MetaTensor:
    try:
        pred = predict(parts, volume, ladder)
    except (RuntimeError, ValueError) as error:
        raise InferenceError(f"the bundle failed: {_innermost(error)}") from error
    if not bool(torch.isfinite(pred).all()):
        raise InferenceError("the output holds values that are not finite")
    return pred


def scores_of(seen: torch.Tensor, channels: Sequence[int], decision: Decision) -> torch.Tensor:
    """(outputs, rows, columns) from the channels of a slice; see :func:`segment`."""
    if decision == "labels":
        return seen
    if decision == "threshold" or len(seen) == 1:
        return seen[list(channels)]
    strongest, second = seen.topk(2, dim=0).values
    rivals = [torch.where(seen[channel] == strongest, second, strongest) for channel in channels]
    return torch.stack([seen[c] / (seen[c] + rival).clamp(min=1e-6) for c, rival in zip(channels, rivals, strict=True)])


def predict(parts: VolumeParts, volume: Volume, ladder: Ladder) -> MetaTensor:
    """What the bundle makes of a volume: (channels, i, j, k) float32 with its affine, on a grid of its own; of a bundle
    that classifies, (channels,) float32.

    Raises
    ------
    InferenceError : the preprocessing returns no tensor that knows its place.
    """
    grid, affine = regular_grid(volume)
    # made anew: MONAI's transforms may work in place
    image = MetaTensor(grid[None].clone(memory_format=torch.contiguous_format), affine=torch.from_numpy(affine))
    data: dict[str, Any] = dict(parts.preprocessing({parts.image_key: image}))
    prepared = data[parts.image_key]
    if not isinstance(prepared, MetaTensor):
        raise InferenceError("the preprocessing drops the position of the image (track_meta)")
    with torch.inference_mode():
        raw = ladder.infer(prepared.as_tensor()[None])[0]
        data[parts.pred_key] = MetaTensor(raw, affine=prepared.affine)
        for step in parts.steps:
            data = step(data)
        pred = data[parts.pred_key]
        affine = getattr(pred, "affine", prepared.affine)
        values = (pred.as_tensor() if isinstance(pred, MetaTensor) else torch.as_tensor(pred)).float().cpu()
        return MetaTensor(torch.softmax(values, dim=0) if parts.softmax else values, affine=affine)
