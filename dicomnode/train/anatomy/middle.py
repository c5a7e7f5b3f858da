"""Learns where the mid-sagittal plane passes the septum (:mod:`dicomnode.measure.anatomy.middle`): ridge regression.

Heads are painted coarsely, most of them with a shifted midline, and looked at in the frame that is found in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicomnode.cohort.edition import Edition
from dicomnode.cohort.lesions import Lesions
from dicomnode.cohort.painter import Anatomy
from dicomnode.cohort.scene import make_scene
from dicomnode.measure.anatomy.frame import Frame
from dicomnode.measure.anatomy.middle import differences
from dicomnode.measure.anatomy.sampling import coarse
from dicomnode.measure.parenchyma import commonest_soft_tissue_hu
from dicomnode.measure.place import Places
from dicomnode.train.anatomy.heads import SPACING_MM, coarse_scan, known_head
from dicomnode.train.anatomy.shifted import FIRST_SEED, MIDDLE, base_of, moved_septum_mm

FIRST_HEAD = 100_000
"""Heads of these numbers are shown to nobody else."""
RIDGE = 1.0
"""As a share of the mean square of a sample's differences."""

Sample = tuple[NDArray[np.float32], float]
"""Differences of a head, and where its plane passes the septum in the frame that was found, mm."""


def samples_of(number: int, templates: Path | None) -> Iterator[Sample]:
    """Of the head of a number, with each of its lesions; what has no frame is left out."""
    rng = np.random.default_rng([FIRST_SEED, number, 2])
    base, edition, drawings = base_of(FIRST_HEAD + number, templates, SPACING_MM)
    for seed, lesions in drawings:
        sample = _sample(replace(base, seed=seed), lesions, edition, rng)
        if sample is not None:
            yield sample


def _sample(base: Anatomy, lesions: Lesions, edition: Edition, rng: np.random.Generator) -> Sample | None:
    scene = make_scene(base, lesions, edition)
    head = known_head(base, scene)
    volume, truth = coarse_scan(head, rng)
    frame = Places(volume).frame
    if frame is None:
        return None
    septum = Frame(matrix=head.matrix, likeness=1.0).to_head(moved_septum_mm(base, lesions, edition)[MIDDLE])
    found = frame.to_head(Frame(matrix=truth, likeness=1.0).to_patient(septum))
    seen = coarse(volume)
    brain_hu = commonest_soft_tissue_hu(seen.hu) or 0.0
    return differences(seen, frame, brain_hu), float(found[0]) - scene.midline_shift_mm


def written_samples(out: Path, heads: int, templates: Path | None) -> Iterator[list[Sample]]:
    """Samples of heads, one file each; what is there is read."""
    out.mkdir(parents=True, exist_ok=True)
    for number in range(heads):
        path = out / f"{number:05d}.npz"
        if not path.exists():
            samples = list(samples_of(number, templates))
            seen, places = [one for one, _ in samples], [place_mm for _, place_mm in samples]
            temporary = path.with_suffix(".tmp.npz")
            np.savez_compressed(temporary, seen=np.array(seen, np.float16), places=places)
            temporary.replace(path)
        with np.load(path) as arrays:
            yield list(zip(arrays["seen"].astype(np.float32), arrays["places"].tolist(), strict=True))


def fitted(samples: list[Sample], ridge: float = RIDGE) -> NDArray[np.float32]:
    """(differences,) weights."""
    seen, places = np.stack([one for one, _ in samples]), np.array([place_mm for _, place_mm in samples])
    gram = (seen @ seen.T).astype(np.float64)
    dual = np.linalg.solve(gram + ridge * np.trace(gram) / len(gram) * np.eye(len(gram)), places)
    return np.asarray(seen.T @ dual, np.float32)
