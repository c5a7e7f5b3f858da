"""Training batches from exams: balanced slices, windows cut from them, MONAI's transforms, one seed per epoch."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.data import DataLoader, Dataset, get_track_meta, set_track_meta, worker_init_fn
from monai.transforms import (
    Compose,
    MapTransform,
    RandAffined,
    RandFlipd,
    RandGaussianNoised,
    Randomizable,
    RandScaleIntensityd,
    RandShiftIntensityd,
    ToTensord,
)
from numpy.typing import NDArray

from dicomnode.cohort.streams import derived_seed, stream
from dicomnode.train.masks import DENSE_MASK
from dicomnode.train.slices.exams import UNKNOWN, Exam
from dicomnode.train.slices.faint import BRAIN_HU, RandFaintd
from dicomnode.train.slices.noisy_student import IGNORE, RandAugmentd, RandKerneld, mixed_batches
from dicomnode.train.slices.recipes import Recipe
from dicomnode.train.slices.streaks import RandStreaksd

POSITIVE_SHARE = 0.45
"""Of the slices of a batch that show the finding; in a head they are far fewer."""
OFFSET_HU, CALIBRATED_OFFSET_HU = 15.0, 5.0
"""Scanners are calibrated to within about +-15 HU; the smaller value is what is left once the brain was moved."""
ALIKE_SHARE = 0.35
"""Of the slices without the finding, where some show another one: they are what it is mistaken for."""
STREAKED_SHARE = 0.3
FAINT_SHARE = 0.5
NOISE_HU = 14.0
"""Largest standard deviation added: on planes of 1 mm usual reconstructions have 2 to 4, sharp ones 8 and more."""
NOISY_SHARE = 0.7
MOST_SPOTS = 3
SPOT_RADIUS = (1.0, 4.5)
SPOT_HU = (90.0, 600.0)
IMAGE, TRUTH, BLOOD = "image", "truth", "blood"
Place = tuple[int, int]
"""Index of the exam, index of the slice."""


@dataclass(frozen=True, slots=True)
class Source:
    """The slices of some exams, with and without the finding.

    Attributes
    ----------
    alike : slices without the finding that show another one, such as calcium; they stand in ``negative``, too.
    exams_evenly : every exam with the finding is drawn as often as any other, however few its slices; else every
        slice is. A small bleed has few slices, and is the harder to learn.
    """

    exams: Sequence[Exam]
    positive: tuple[Place, ...]
    negative: tuple[Place, ...]
    exams_evenly: bool = False
    alike: tuple[Place, ...] = ()

    @classmethod
    def of(cls, exams: Sequence[Exam], *, exams_evenly: bool = False) -> Source:
        """Slices in which nothing at all is known are left out."""
        positive, negative, alike = [], [], []
        for e, exam in enumerate(exams):
            shown, clear = (exam.truth == 1).any(axis=(2, 3)), (exam.truth[:, 0] == 0).any(axis=(1, 2))
            positive += [(e, int(k)) for k in np.flatnonzero(shown[:, 0])]
            negative += [(e, int(k)) for k in np.flatnonzero(~shown[:, 0] & clear)]
            alike += [(e, int(k)) for k in np.flatnonzero(~shown[:, 0] & clear & shown[:, 1:].any(axis=1))]
        return cls(exams, tuple(positive), tuple(negative), exams_evenly, tuple(alike))

    def shares(self) -> NDArray[np.float64]:
        """(positive,) how often each positive slice is drawn, relative to all of them."""
        exams = np.array([exam for exam, _ in self.positive])
        weights = 1.0 / np.bincount(exams)[exams] if self.exams_evenly else np.ones(len(exams))
        return np.asarray(weights / weights.sum(), np.float64)

    def draw(self, count: int, rng: np.random.Generator) -> list[Place]:
        """Places drawn with replacement, a share of ``POSITIVE_SHARE`` with the finding, in random order."""
        wanted = round(count * POSITIVE_SHARE) if self.negative else count
        chosen = []
        if self.positive:
            chosen = [self.positive[i] for i in rng.choice(len(self.positive), size=wanted, p=self.shares())]
        if self.alike:
            more = round((count - len(chosen)) * ALIKE_SHARE)
            chosen += [self.alike[i] for i in rng.integers(len(self.alike), size=more)]
        pool = self.negative or self.positive
        chosen += [pool[i] for i in rng.integers(len(pool), size=count - len(chosen))]
        return [chosen[i] for i in rng.permutation(count)]


class LoadSliced(MapTransform):  # type: ignore[misc]
    """{"exam", "slice"} -> ``image`` (3, size, size) HU and ``truth`` (findings, size, size).

    Parameters
    ----------
    blood : also ``blood`` (3, size, size), the first finding on the slice and its neighbours.
    """

    def __init__(self, *, blood: bool = False) -> None:
        super().__init__(["exam", "slice"])
        self.blood = blood

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Read from the memory-mapped arrays."""
        exam, index = data["exam"], data["slice"]
        loaded = {IMAGE: exam.around(index), TRUTH: torch.from_numpy(exam.truth[index].astype(np.float32))}
        return loaded | ({BLOOD: exam.shown_around(index)} if self.blood else {})


class RandWindowd(MapTransform, Randomizable):  # type: ignore[misc]
    """A square window, on a pixel of the finding or else of another one, else near the middle of the plane."""

    def __init__(self, size: int) -> None:
        super().__init__([IMAGE, TRUTH])
        self.size = size

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Cut both alike."""
        plane = data[TRUTH].shape[-1]
        size = min(self.size, plane)
        shown = data[TRUTH] == 1
        found = torch.nonzero(shown[0] if shown[0].any() else shown.any(dim=0)).numpy()
        middle = found[self.R.randint(len(found))] if len(found) else np.full(2, plane / 2)
        reach = 0.28 * size
        first = np.clip(middle - size / 2 + self.R.uniform(-reach, reach, 2), 0, plane - size).astype(int)
        rows, columns = slice(first[0], first[0] + size), slice(first[1], first[1] + size)
        return {key: data[key][:, rows, columns] for key in (IMAGE, TRUTH)}


class RandDenseSpotsd(MapTransform, Randomizable):  # type: ignore[misc]
    """A few small spots denser than blood, and not blood: calcification, or bone that a thick slice mixes in.

    A head calcifies in more places than an anatomist would paint; what is mixed into the rim of a spot has the
    attenuation of blood, so that only its dense core tells it apart.

    Parameters
    ----------
    dense : index of the finding that such spots are, if there is one.
    """

    def __init__(self, dense: int | None = None) -> None:
        super().__init__([IMAGE, TRUTH])
        self.dense = dense

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Mix them into image (3, rows, columns), HU; what they cover is no longer the finding."""
        image, truth = torch.as_tensor(data[IMAGE]), torch.as_tensor(data[TRUTH])
        for _ in range(self.R.randint(MOST_SPOTS + 1)):
            cover = self._spot(*image.shape[-2:])
            hu = float(np.exp(self.R.uniform(*np.log(SPOT_HU))))
            # the neighbouring slices meet only a part of it
            depth = torch.tensor([self.R.uniform(), 1.0, self.R.uniform()], dtype=image.dtype)[:, None, None]
            image = image + depth * cover * (hu - image)
            truth = torch.where(cover > 0.5, 0.0, truth)
            if self.dense is not None:
                truth[self.dense] = torch.where(cover > 0.5, 1.0, truth[self.dense])
        return {**data, IMAGE: image, TRUTH: truth}

    def _spot(self, rows: int, columns: int) -> torch.Tensor:
        """(rows, columns) 0 to 1: an ellipse with a soft rim."""
        middle, radius = self.R.uniform(0.2, 0.8, 2) * (rows, columns), self.R.uniform(*SPOT_RADIUS, 2)
        y = (torch.arange(rows) - middle[0]) / radius[0]
        x = (torch.arange(columns) - middle[1]) / radius[1]
        return torch.exp(-((y[:, None] ** 2 + x[None] ** 2) ** 2)).float()


class Prepared(MapTransform):  # type: ignore[misc]
    """The model's own windows: HU to what the network reads."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__([IMAGE])
        self.recipe = recipe

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace the image."""
        return {**data, IMAGE: self.recipe.prepare(torch.as_tensor(data[IMAGE]))}


def dense_index(recipe: Recipe) -> int | None:
    """Index of the output for what is dense and no blood."""
    findings = recipe.planes.findings
    return findings.index(DENSE_MASK) if DENSE_MASK in findings else None


def transforms(recipe: Recipe, *, student: bool) -> Compose:
    """What happens to a slice on its way into a batch.

    Parameters
    ----------
    student : RandAugment on top, as the noisy student has it.
    """
    both = [IMAGE, TRUTH]
    offset_hu = OFFSET_HU if recipe.planes.reference_hu is None else CALIBRATED_OFFSET_HU
    moved: dict[str, Any] = {"mode": ("bilinear", "nearest"), "padding_mode": "border"}
    steps = [
        LoadSliced(blood=recipe.faint),
        *([RandFaintd(IMAGE, BLOOD, recipe.planes.reference_hu or BRAIN_HU, FAINT_SHARE)] if recipe.faint else []),
        *([RandStreaksd(IMAGE, recipe.planes.pixel_mm, STREAKED_SHARE)] if recipe.streaks else []),
        RandWindowd(recipe.window),
        RandFlipd(both, prob=0.5, spatial_axis=1),
        RandAffined(both, prob=0.5, rotate_range=0.3, scale_range=0.1, shear_range=0.05, **moved),
        RandDenseSpotsd(dense_index(recipe)),
        # the kernel smooths or sharpens the noise too
        RandGaussianNoised(IMAGE, std=NOISE_HU, prob=NOISY_SHARE),
        RandKerneld(IMAGE, 0.5),
        RandScaleIntensityd(IMAGE, factors=0.06, prob=0.5),
        RandShiftIntensityd(IMAGE, offsets=offset_hu, prob=0.5),
        Prepared(recipe),
        *([RandAugmentd(IMAGE, TRUTH)] if student else []),
        ToTensord(both, track_meta=False),
    ]
    return Compose(steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceBatches:
    """Batches of any epoch; the same epoch gives the same batches.

    Attributes
    ----------
    pseudo : pseudo-labelled exams; then half of every batch comes from them and RandAugment is on.
    workers : processes that prepare batches; 0 prepares them here.
    """

    recipe: Recipe
    labelled: Source
    steps: int
    batch: int
    seed: int
    pseudo: Source | None = None
    workers: int = 0

    def places(self, epoch: int) -> list[tuple[Exam, int]]:
        """Exam and slice of every member of the epoch's batches, in order."""
        rng = stream(self.seed, "slices", epoch)
        total = self.steps * self.batch
        if self.pseudo is None:
            return [(self.labelled.exams[e], k) for e, k in self.labelled.draw(total, rng)]
        sources = (self.labelled, self.pseudo)
        drawn = [source.draw(total // 2, rng) for source in sources]
        mixed = mixed_batches(total // 2, total // 2, self.batch, derived_seed(self.seed, "mix", epoch))
        members = [(0 if is_labelled else 1, index) for batch in mixed for is_labelled, index in batch]
        return [(sources[s].exams[drawn[s][i][0]], drawn[s][i][1]) for s, i in members]

    def __call__(self, epoch: int) -> Iterator[Mapping[str, Any]]:
        """{"image": (batch, channels, window, window), "truth": (batch, findings, window, window)} float32."""
        items = [{"exam": exam, "slice": index} for exam, index in self.places(epoch)]
        chain = transforms(self.recipe, student=self.pseudo is not None)
        # MONAI seeds the transforms, here or in the workers, from the loader's generator
        generator = torch.Generator().manual_seed(derived_seed(self.seed, "transforms", epoch))
        yield from DataLoader(
            Dataset(items, WithoutMetadata(chain.transforms)),
            batch_size=self.batch,
            num_workers=self.workers,
            generator=generator,
            worker_init_fn=worker_init_fn,  # MONAI's own, which seeds the transforms
        )


class WithoutMetadata(Compose):  # type: ignore[misc] # MONAI has no types
    """Transforms that carry no metadata along: nothing here reads them, and they cost a third of the time.

    MONAI has one switch for the whole process: it is set for one sample and set back, since a training that is broken
    off would leave it as it is to whatever runs next. Measured by ``benchmarks/training_step.py``.
    """

    def __call__(self, *given: Any, **options: Any) -> Any:
        """One sample, transformed."""
        before = get_track_meta()
        set_track_meta(False)
        try:
            return super().__call__(*given, **options)
        finally:
            set_track_meta(before)


def pseudo_exam(exam: Exam, target: torch.Tensor) -> Exam:
    """An unlabelled exam with targets instead of truth.

    Parameters
    ----------
    target : (slices, findings, size, size): 1, 0 or ``IGNORE``, which an exam calls ``UNKNOWN``.
    """
    truth = np.where(target.numpy() == IGNORE, UNKNOWN, target.numpy()).astype(np.int8)
    return Exam(
        case=exam.case, hu=exam.hu, truth=truth, offsets_mm=exam.offsets_mm, pixel_ml=exam.pixel_ml, inside=exam.inside
    )
