"""The patient of the self-test: a head with a bleed that is made anew from a seed, and what else a bundle needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicomnode.app.known_answer import HeadFacts
from dicomnode.cohort.acquire import Acquisition, acquire
from dicomnode.cohort.dicom_series import write_acquired
from dicomnode.cohort.edition import Version
from dicomnode.cohort.head import BleedOrder, make_head
from dicomnode.cohort.statistics import BleedKind
from dicomnode.images.volume import read_volume
from dicomnode.measure.lesions import measure
from dicomnode.records import (
    ContextSource,
    ContextText,
    ContextValue,
    MaskFinding,
    ModelRef,
    PatientContext,
    Volume,
)
from dicomnode.zoo.bundle import BundleManifest

SEED = 20
BLEED_ML, BLEED_HU = 25.0, 66.0
POSITIONS_MM = tuple(float(z) for z in np.arange(26) * 5.5 - 62.0)
TILT_DEG, MATRIX, PIXEL_MM = 12.0, 256, 0.9
DETECTION_LIMIT_ML = 0.1
TRUTH = ModelRef(
    name="truth", version="1", digest="", title="What was painted", trained_on="nothing: it is the truth", research=True
)


@dataclass(frozen=True, slots=True)
class KnownHead:
    """The head in memory.

    Attributes
    ----------
    truth : (slices, rows, columns) bool, what was painted.
    """

    volume: Volume
    truth: NDArray[np.bool_]
    facts: HeadFacts


def make_known_head(folder: Path) -> KnownHead:
    """A tilted head of 26 slices with an intraparenchymal bleed of about 25 mL; a second or two on one core.

    It goes the way of a series: written to ``folder`` as DICOM files, and read from them.
    """
    head = make_head(SEED, bleeds=(BleedOrder(BleedKind.INTRAPARENCHYMAL, BLEED_ML, BLEED_HU),), spacing_mm=1.5)
    acquired = acquire(
        head,
        Acquisition(positions_mm=POSITIONS_MM, thickness_mm=5.5, tilt_deg=TILT_DEG, matrix=MATRIX, pixel_mm=PIXEL_MM),
        seed=SEED,
    )
    volume = read_volume(tuple(write_acquired(acquired, folder)))
    inside = volume.hu > -500.0
    facts = HeadFacts(
        seed=SEED,
        cohort_version=Version.ONE,
        truth_ml=round(acquired.volume_ml, 4),
        mean_hu=round(float(volume.hu[inside].mean()), 4),
    )
    return KnownHead(volume, acquired.mask[list(volume.stack.order)], facts)


def known_context(manifest: BundleManifest) -> PatientContext:
    """The examples of a manifest as the patient's context."""
    return PatientContext(values=tuple(_values(manifest)), texts=tuple(_texts(manifest)))


def _values(manifest: BundleManifest) -> Iterator[ContextValue]:
    for variable in manifest.needs.variables:
        if variable.example is not None:
            yield ContextValue(name=variable.name, value=variable.example, source=ContextSource.FILE)


def _texts(manifest: BundleManifest) -> Iterator[ContextText]:
    for text in manifest.needs.texts:
        if text.example is not None:
            yield ContextText(section=text.section, text=text.example, source=ContextSource.FILE)


def known_findings(manifest: BundleManifest, head: KnownHead) -> tuple[MaskFinding, ...]:
    """For each finding that a bundle needs, what was painted."""
    return tuple(_painted(name, head) for name in manifest.needs.findings)


def _painted(name: str, head: KnownHead) -> MaskFinding:
    total, lesions, labels = measure(head.truth, head.volume, DETECTION_LIMIT_ML)
    return MaskFinding(
        name=name,
        label="Painted bleed",
        mask=head.truth,
        threshold=0.5,
        detection_limit_ml=DETECTION_LIMIT_ML,
        model=TRUTH,
        total=total,
        lesions=lesions,
        lesion_labels=labels,
    )
