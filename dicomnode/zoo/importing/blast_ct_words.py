"""What is said of the networks of blast-ct: in results, in their manifest, on their card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dicomnode.dicom import codes
from dicomnode.zoo.bundle import BundleManifest
from dicomnode.zoo.importing.foreign import ANY_GEOMETRY, DETECTION_LIMIT_ML
from dicomnode.zoo.importing.layout import WeightsOptions
from dicomnode.zoo.manifest import MaskOutput

RUN_LIMIT_S = 600.0
"""A network may take this long for one head: two minutes of one core, and machines that are busy otherwise."""


@dataclass(frozen=True, slots=True)
class PublishedSet:
    """One published set of weights.

    Attributes
    ----------
    version : of the authors' tool that it came with.
    trained_on, german : as it goes into results.
    """

    version: str
    trained_on: str
    german: str


PUBLISHED_SETS = {
    ".pt": PublishedSet(
        "1",
        "184 head CTs of patients with traumatic brain injury (Monteiro, Lancet Digital Health 2020)",
        "184 Kopf-CTs von Patienten mit Schädel-Hirn-Trauma (Monteiro, Lancet Digital Health 2020)",
    ),
    ".torch_model": PublishedSet(
        "2",
        "680 head CTs of several hospitals, as the authors of blast-ct 2 say",
        "680 Kopf-CTs mehrerer Krankenhäuser nach Angabe der Autoren von blast-ct 2",
    ),
}
"""By the ending of its files."""
UNKNOWN_SET = PublishedSet("0", "not stated by who brought the weights", "nicht angegeben")

_KINDS = (
    ("parenchymal", "parenchymal_hemorrhage", "Intraparenchymal haemorrhage", "Intraparenchymale Blutung"),
    ("extra_axial", "extra_axial_hemorrhage", "Extra-axial haemorrhage", "Extraaxiale Blutung"),
    ("oedema", "edema", "Perilesional oedema", "Perifokales Ödem"),
    ("ventricular", "ventricular_hemorrhage", "Intraventricular haemorrhage", "Intraventrikuläre Blutung"),
)
"""Channels 1 to 4: end of the mask's name, its codes, label, label in German."""

LIMITS = (
    "Trained on trauma of adults: strokes, aneurysms, tumours and operated heads are not what it knows.",
    "Streaks and beam hardening at the skull base, bone in thick slices and calcification can be marked.",
    "Not examined by this project beyond docs/models/blast-ct.md.",
)


def section_of(name: str, members: int, known: PublishedSet, options: WeightsOptions) -> dict[str, Any]:
    """The ``dicomnode`` section of the bundle, without its origin."""
    networks = "1 network" if members == 1 else f"mean of {members} networks"
    said = {"trained_on": known.trained_on, "trained_on_translations": {"de": known.german}}
    return {
        "name": name,
        "task": "segmentation",
        "title": options.title or f"Traumatic lesions of blast-ct, {networks}",
        **({"trained_on": options.trained_on} if options.trained_on else said),
        "research": True,
        "intended_use": "Adult non-contrast head CT after trauma. Research; not for diagnosis.",
        "limits": list(LIMITS),
        "reads": "inputs",
        "run_limit_s": RUN_LIMIT_S * members,
        "needs": {"image": ANY_GEOMETRY},
        "gives": [_mask(name, *kind) for kind in _KINDS],
    }


def _mask(name: str, ending: str, kind: str, label: str, german: str) -> dict[str, Any]:
    entry = codes.FINDINGS[kind]
    return {
        "kind": "mask",
        "name": f"{name}_{ending}",
        "label": label,
        "translations": {"de": german},
        "threshold": 0.5,
        "detection_limit_ml": DETECTION_LIMIT_ML,
        "category": entry.category._asdict(),
        "type": entry.type._asdict(),
        "site": entry.site._asdict(),
    }


def _coded(mask: MaskOutput) -> list[str]:
    return [code.meaning for code in (mask.type, mask.site) if code is not None]


def card_of(manifest: BundleManifest, files: str) -> str:
    """The card of the bundle.

    Parameters
    ----------
    files : a row of a table for each file of weights.
    """
    gives = "".join(f"| {mask.label} | {', '.join(_coded(mask))} |\n" for mask in manifest.masks)
    limits = "".join(f"- {limit}\n" for limit in manifest.limits)
    return f"""# {manifest.title}

**Research, not for diagnosis.** Weights of others, brought by the user of this node.

Trained on: {manifest.trained_on}

Licence of the published weights: Apache-2.0. To be cited: Monteiro M, Newcombe VFJ, Mathieu F, Adatia K, Kamnitsas K,
Ferrante E, Das T, Whitehouse D, Rueckert D, Menon DK, Glocker B. Multi-class semantic segmentation and quantification
of traumatic brain injury lesions on head CT using deep learning: an algorithm development and multi-centre validation
study. Lancet Digital Health 2020;2:e314-e322. Their tool: https://github.com/biomedia-mira/blast-ct.

DeepMedic with three paths; it reads the head at 1 mm, -15 to 100 HU, within the skull. The mean of the networks
decides: a voxel belongs to the kind with the highest probability. It may take {manifest.run_limit_s:g} s.

| gives | coded as |
|---|---|
{gives}
{limits}
| file | sha256 |
|---|---|
{files}"""
