"""What the metadata of a foreign MONAI bundle say, and the ``dicomnode`` section that follows. Nothing is executed.

Reference: MONAI bundle specification, ``network_data_format``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from dicomnode.dicom import codes
from dicomnode.errors import BundleRefused, ImportRefusal
from dicomnode.zoo.bundle import METADATA
from dicomnode.zoo.importing.archive import text_of

CONFIG = Path("configs/inference.json")
MAX_FINDINGS = 16
"""More segments than this nobody asked for one by one are not read by anyone."""
DETECTION_LIMIT_ML = 0.1
BACKGROUND = re.compile(r"(?i)background|bg|no[ _-]?(label|lesion|finding)|void")
NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
CLASS_TYPES = ("probabilities", "probability")
CLASS_FORMATS = ("classes", "classification", "probabilities", "probability")
"""As MONAI's own bundles write it: "type": "probabilities", "format": "classes"."""
HARMLESS = ("monai.", "torch.nn.", "torch.device")
ANY_GEOMETRY: dict[str, Any] = {
    "modality": "CT",
    "plane": "axial",
    "orientation": "any axial stack: reversed, flipped, turned, tilted, unevenly spaced",
    "slices": {"min": 8, "max": 2000},
    "slice_spacing_mm": {"min": 0.2, "max": 11.0},
    "pixel_spacing_mm": {"min": 0.2, "max": 3.0},
    "coverage_mm": {"min": 60.0, "max": None},
}
"""Where the metadata of others say nothing: what the node's own gate lets through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """What a person says about a foreign bundle.

    Attributes
    ----------
    trusted : its configuration may be executed.
    name, title : of the model; empty: from its metadata.
    findings : channel -> code (see :func:`code_of`); where given, these channels alone become findings. The score of a
        class has no such code: choose classes with ``labels``.
    labels : channel -> what the radiologist reads; else from ``channel_def``.
    trained_on : goes into every result; empty: ``data_source`` of the metadata.
    research : its results are marked research, not for diagnosis.
    require_head : refuse series without a brain within a skull.
    """

    trusted: bool = False
    name: str = ""
    title: str = ""
    findings: Mapping[int, str] = field(default_factory=dict)
    labels: Mapping[int, str] = field(default_factory=dict)
    trained_on: str = ""
    research: bool = True
    require_head: bool = True


@dataclass(frozen=True, slots=True)
class ForeignMetadata:
    """What is used of a foreign ``metadata.json``.

    Attributes
    ----------
    channels : name of each channel of the output.
    classifies : whether a channel is the probability of a class, not of a voxel.
    """

    raw: dict[str, Any]
    version: str
    title: str
    channels: dict[int, str]
    classifies: bool = False


def read_metadata(bundle: Traversable) -> ForeignMetadata:
    """Read and judge the metadata.

    Raises
    ------
    BundleRefused : ``BAD_METADATA``, ``UNKNOWN_TASK``, ``NOT_CT``, ``INPUT_CHANNELS``.
    """
    try:
        raw = json.loads(text_of(bundle / str(METADATA)))
    except (OSError, ValueError, RecursionError) as error:
        raise BundleRefused(ImportRefusal.BAD_METADATA, str(error)) from error
    if not isinstance(raw, dict):
        raise BundleRefused(ImportRefusal.BAD_METADATA, "It is no JSON object.")
    image, pred = (_format_of(raw, side, usual) for side, usual in (("inputs", "image"), ("outputs", "pred")))
    classifies = _classifies(raw, pred)
    _require_ct(image)
    version, title = str(raw.get("version", "")).strip()[:64], str(raw.get("name") or bundle.name).strip()
    if not version:
        raise BundleRefused(ImportRefusal.BAD_METADATA, "version is missing.")
    return ForeignMetadata(raw, version, title[:64], _channels_of(pred), classifies)


def _format_of(raw: dict[str, Any], side: str, usual: str) -> dict[str, Any]:
    described = raw.get("network_data_format")
    formats = described.get(side) if isinstance(described, dict) else None
    if not isinstance(formats, dict) or not formats:
        raise BundleRefused(ImportRefusal.BAD_METADATA, f"network_data_format.{side} is missing.")
    chosen = formats.get(usual) or (next(iter(formats.values())) if len(formats) == 1 else None)
    if not isinstance(chosen, dict):
        raise BundleRefused(ImportRefusal.BAD_METADATA, f"network_data_format.{side}.{usual} is missing.")
    return chosen


def _classifies(raw: dict[str, Any], pred: dict[str, Any]) -> bool:
    """Whether it classifies volumes; else it segments them.

    Raises
    ------
    BundleRefused : ``UNKNOWN_TASK``: it does neither.
    """
    kind, stated = str(pred.get("type", "image")), str(pred.get("format", ""))
    task = str(raw.get("task", "")).lower()
    if kind == "image" and (stated == "segmentation" or (stated in ("", "labels") and "segment" in task)):
        return False
    if kind in CLASS_TYPES and (stated in CLASS_FORMATS or (not stated and "classif" in task)):
        return True
    raise BundleRefused(ImportRefusal.UNKNOWN_TASK, f"Its output is {kind} / {stated or 'not stated'}.")


def _require_ct(image: dict[str, Any]) -> None:
    modality = str(image.get("modality", "")).strip()
    if modality and modality.upper() != "CT":
        raise BundleRefused(ImportRefusal.NOT_CT, f"It reads {modality[:40]}.")
    if image.get("num_channels", 1) != 1:
        raise BundleRefused(ImportRefusal.INPUT_CHANNELS, f"It reads {image.get('num_channels')}.")


def _channels_of(pred: dict[str, Any]) -> dict[int, str]:
    defined, count = pred.get("channel_def"), pred.get("num_channels")
    try:
        channels = {int(key): str(value).strip() for key, value in defined.items()}  # type: ignore[union-attr]
    except (AttributeError, ValueError) as error:
        raise BundleRefused(ImportRefusal.BAD_METADATA, "channel_def of the output is missing.") from error
    if not channels or min(channels) < 0 or (isinstance(count, int) and max(channels) >= max(count, 2)):
        raise BundleRefused(ImportRefusal.BAD_METADATA, f"channel_def does not fit num_channels {count}.")
    return channels


def executed_by(config: Any) -> list[str]:
    """Everything in a configuration that runs other code than MONAI's and torch's layers: expressions and targets.

    Text from elsewhere (``%``), too, since nobody can say what it runs.
    """
    found = []
    for key, value in _strings(config):
        if value.startswith(("$", "%")) or (key == "_target_" and "." in value and not value.startswith(HARMLESS)):
            found.append(value)
    return list(dict.fromkeys(found))


def _strings(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _strings(item, str(name))
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item, key)
    elif isinstance(value, str):
        yield key, value


def read_config(bundle: Traversable) -> dict[str, Any]:
    """``configs/inference.json`` as it stands.

    Raises
    ------
    BundleRefused : ``NO_CONFIG``.
    """
    try:
        raw = json.loads(text_of(bundle / str(CONFIG)))
    except (OSError, ValueError, RecursionError) as error:
        files = (bundle / "configs").iterdir() if (bundle / "configs").is_dir() else ()
        others = sorted(file.name for file in files if file.name in ("inference.yaml", "inference.yml"))
        raise BundleRefused(ImportRefusal.NO_CONFIG, f"There is {others[0]}." if others else "") from error
    if not isinstance(raw, dict):
        raise BundleRefused(ImportRefusal.NO_CONFIG, "It is no JSON object.")
    return raw


def code_of(text: str) -> codes.Code:
    """A code from a word that the node knows (``hemorrhage``) or from ``VALUE,SCHEME,MEANING``.

    Raises
    ------
    BundleRefused : ``UNKNOWN_CODE``.

    >>> code_of("hemorrhage").value, code_of("78961009,SCT,Spleen").meaning
    ('50960005', 'Spleen')
    """
    known = codes.FINDINGS.get(text.strip().lower())
    if known is not None:
        return known.type
    parts = [part.strip() for part in text.split(",", 2)]
    if len(parts) != 3 or not all(parts) or len(parts[0]) > 16 or len(parts[1]) > 16 or len(parts[2]) > 64:
        words = ", ".join(sorted(codes.FINDINGS))
        raise BundleRefused(ImportRefusal.UNKNOWN_CODE, f"{text!r}; known words: {words}.")
    return codes.Code(*parts)


def chosen_channels(metadata: ForeignMetadata, options: ImportOptions) -> list[int]:
    """The channels that become findings.

    Raises
    ------
    BundleRefused : ``UNKNOWN_CHANNEL``, ``TOO_MANY_CHANNELS``, ``UNKNOWN_CODE`` a code for a class.
    """
    known = metadata.channels
    for channel in (*options.findings, *options.labels):
        if channel not in known:
            there = ", ".join(f"{number} {name}" for number, name in sorted(known.items())[:20])
            raise BundleRefused(ImportRefusal.UNKNOWN_CHANNEL, f"{channel}; there are: {there}.")
    if metadata.classifies and options.findings:
        raise BundleRefused(ImportRefusal.UNKNOWN_CODE, "It classifies: choose classes with --label CHANNEL=TEXT.")
    asked = sorted(options.labels) if metadata.classifies else sorted(options.findings)
    chosen = asked or [c for c in sorted(known) if not (c == 0 and BACKGROUND.fullmatch(known[c]))]
    if not chosen or len(chosen) > MAX_FINDINGS:
        raise BundleRefused(ImportRefusal.TOO_MANY_CHANNELS, f"{len(chosen)}, at most {MAX_FINDINGS}.")
    return chosen


def slug(text: str) -> str:
    """A machine name: ``Spleen CT segmentation`` -> ``spleen_ct_segmentation``."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_").lstrip("0123456789_")[:48].rstrip("_")


def name_of(metadata: ForeignMetadata, options: ImportOptions) -> str:
    """Machine name of the model.

    Raises
    ------
    BundleRefused : ``BAD_NAME``.
    """
    return check_name(options.name or slug(metadata.title))


def check_name(name: str) -> str:
    """The name, if it is one.

    Raises
    ------
    BundleRefused : ``BAD_NAME``.
    """
    if not NAME.fullmatch(name):
        raise BundleRefused(ImportRefusal.BAD_NAME, f"{name!r}; give one with --name.")
    return name


def section_of(
    metadata: ForeignMetadata, options: ImportOptions, trial: Mapping[str, Any], sha256: str
) -> dict[str, Any]:
    """The ``dicomnode`` section of an imported bundle.

    Parameters
    ----------
    trial : what :mod:`dicomnode.zoo.importing.trial` found.
    sha256 : of the weights as they came, hex.

    Raises
    ------
    BundleRefused : ``CHANNELS_DIFFER``, ``UNKNOWN_CODE``, and what :func:`chosen_channels` and :func:`name_of` raise.
    """
    raw, chosen = metadata.raw, chosen_channels(metadata, options)
    described = max(max(metadata.channels) + 1, 1)
    channels = trial["channels"] if trial["channels"] is not None else described
    if channels != described and not (channels == 1 and described == 2 and chosen == [1]):
        raise BundleRefused(ImportRefusal.CHANNELS_DIFFER, f"The network gives {channels}, described are {described}.")
    if (trial["dimensions"] == 1) != metadata.classifies:
        says = "a classification" if metadata.classifies else "a segmentation"
        raise BundleRefused(ImportRefusal.CHANNELS_DIFFER, f"{trial['dimensions']} dimensions are no result of {says}.")
    trained_on = options.trained_on or str(raw.get("data_source") or "").strip() or "not stated by its makers"
    use = str(raw.get("intended_use") or raw.get("description") or raw.get("task") or metadata.title)
    name = name_of(metadata, options)
    shift = described - channels
    output = _score if metadata.classifies else _mask
    return {
        "name": name,
        "task": "classification" if metadata.classifies else "segmentation",
        "title": (options.title or metadata.title)[:64],
        "trained_on": trained_on,
        "research": options.research,
        "intended_use": use,
        "limits": ["Imported from another project; not examined by this one."],
        "reads": "volume",
        "needs": {"image": ANY_GEOMETRY},
        "gives": [output(name, metadata, options, c, c - shift, float(trial["threshold"])) for c in chosen],
        "volume": {"channels": channels, "require_head": options.require_head},
        "origin": {"name": metadata.title, "version": metadata.version, "weights_sha256": sha256},
    }


def _score(
    name: str, metadata: ForeignMetadata, options: ImportOptions, channel: int, index: int, threshold: float
) -> dict[str, Any]:
    label = options.labels.get(channel) or metadata.channels[channel] or f"Class {channel}"
    return {
        "name": f"{slug(label)[:12].rstrip('_') or 'class'}_{channel}",
        "label": (label[:1].upper() + label[1:])[:64],
        "kind": "score",
        "unit": "1",
        "threshold": threshold,
        "channel": index,
    }


def _mask(
    name: str, metadata: ForeignMetadata, options: ImportOptions, channel: int, index: int, threshold: float
) -> dict[str, Any]:
    stated = options.findings.get(channel, "")
    kind = code_of(stated) if stated else codes.MORPHOLOGICALLY_ABNORMAL
    label = options.labels.get(channel) or metadata.channels[channel] or f"Channel {channel}"
    word = codes.FINDINGS.get(stated.strip().lower())
    known = any(entry.type == kind for entry in codes.FINDINGS.values())
    site = {"site": _as_dict(word.site)} if word else {} if known else {"site": _as_dict(codes.HEAD)}
    return {
        "name": f"{name}_{slug(label) or 'channel'}_{channel}",
        "label": (label[:1].upper() + label[1:])[:64],
        "kind": "mask",
        "threshold": threshold,
        "detection_limit_ml": DETECTION_LIMIT_ML,
        "category": _as_dict(codes.MORPHOLOGICALLY_ABNORMAL),
        "type": _as_dict(kind),
        **site,
        "channel": index,
    }


def _as_dict(code: codes.Code) -> dict[str, str]:
    return {"value": code.value, "scheme": code.scheme, "meaning": code.meaning}
