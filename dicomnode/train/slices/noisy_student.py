"""The pieces of the noisy student: ranker, pixel thresholds with an ignore band, masked loss, mixed batches, noise.

A teacher trained on labelled exams marks unlabelled ones. Only the slices it ranks highest are taken as positive, which
keeps its false marks out of the many slices without blood; pixels it is unsure of are ignored. The student starts from
the teacher's weights and learns from both, under noise.

References: Lin and Yuh (semi-supervised haemorrhage detection and segmentation): C = 10 %, 0.7 / 0.3, warm start;
Xie et al., Self-training with Noisy Student, CVPR 2020; Cubuk et al., RandAugment, CVPRW 2020; Huang et al.,
Stochastic Depth, ECCV 2016.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from monai.networks.layers import DropPath
from monai.transforms import (
    Compose,
    MapTransform,
    RandAdjustContrastd,
    RandAffined,
    RandFlipd,
    RandGaussianNoised,
    Randomizable,
    RandomizableTransform,
    RandScaleIntensityd,
    RandShiftIntensityd,
)
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter

RANKED_SHARE = 0.10
POSITIVE_ABOVE = 0.7
NEGATIVE_BELOW = 0.3
IGNORE = -1.0
"""Target of a pixel that the loss passes over."""
STEPS_OF_MAGNITUDE = 10.0
"""RandAugment counts its magnitude from 0 to 10."""


def rank_images(scores: ArrayLike, share: float = RANKED_SHARE) -> NDArray[np.bool_]:
    """The images taken as positive: the highest ``share`` of the whole corpus by the teacher's score.

    Parameters
    ----------
    scores : (images,) of all unlabelled slices of all exams.

    Returns
    -------
    (images,) bool; exactly round(share x images) of them, ties broken by position.
    """
    values = np.asarray(scores, dtype=np.float64)
    chosen = np.zeros(values.shape, np.bool_)
    chosen[np.argsort(-values, kind="stable")[: round(share * values.size)]] = True
    return chosen


def below_rank_ignored(target: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
    """Targets in which no slice below the rank is positive: its 1 become ``IGNORE``.

    Parameters
    ----------
    target : (images, ...): 1, 0 or ``IGNORE``.
    positive : (images,) bool, of :func:`rank_images`.
    """
    chosen = positive.view(-1, *[1] * (target.ndim - 1))
    return torch.where((target == 1) & ~chosen, torch.full_like(target, int(IGNORE)), target)


def pseudo_labels(probability: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
    """Targets of unlabelled images: 1, 0 or ``IGNORE``.

    In a positive image a pixel is 1 above ``POSITIVE_ABOVE``; in any image it is 0 below ``NEGATIVE_BELOW``; all
    others, the limits included, are ignored.

    Parameters
    ----------
    probability : (images, ...) of the teacher.
    positive : (images,) bool, of :func:`rank_images`.
    """
    target = torch.full_like(probability, IGNORE)
    target[probability < NEGATIVE_BELOW] = 0.0
    target[probability > POSITIVE_ABOVE] = 1.0
    return below_rank_ignored(target, positive)


def masked_bce(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean binary cross-entropy over what is not ``IGNORE``; 0 with a gradient of 0 where all is ignored."""
    used = target != IGNORE
    # a target of -1 would give a loss of its own before the mask takes it out
    per_pixel = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, torch.where(used, target, 0.0), reduction="none"
    )
    return (per_pixel * used).sum() / used.sum().clamp(min=1)


def mixed_batches(labelled: int, pseudo: int, batch: int, seed: int) -> Iterator[list[tuple[bool, int]]]:
    """One epoch of batches, half labelled and half pseudo-labelled, each source drawn anew when it runs out.

    The corpus holds some 50 unlabelled slices for each labelled one: drawn in proportion they would drown the labels.

    Parameters
    ----------
    labelled, pseudo : how many slices of each.
    batch : even.

    Yields
    ------
    (is labelled, index) of each member; an epoch ends when the larger source has been seen once.

    Raises
    ------
    ValueError : an odd batch, or a source without slices.
    """
    if batch % 2 or min(labelled, pseudo) < 1:
        raise ValueError(f"a batch of {batch} from {labelled} labelled and {pseudo} pseudo-labelled slices")
    half = batch // 2
    rng = np.random.default_rng(seed)
    sources = [_endless(labelled, rng), _endless(pseudo, rng)]
    for _ in range(-(-max(labelled, pseudo) // half)):
        yield [(kind == 0, next(source)) for kind, source in enumerate(sources) for _ in range(half)]


def _endless(count: int, rng: np.random.Generator) -> Iterator[int]:
    while True:
        yield from (int(index) for index in rng.permutation(count))


class RandAugmentd(MapTransform, Randomizable):  # type: ignore[misc]
    """RandAugment for CT: ``draws`` of the transforms below at one ``magnitude``, mask and image moved alike.

    Intensities are changed as scanners differ (offset, gain, contrast, noise, resolution), geometry as heads lie
    (mirror, rotation, shift, scale). No transform turns air into blood: the image is in [0, 1] and stays there.

    Parameters
    ----------
    image, mask : keys; (channels, rows, columns), the image in [0, 1].
    draws : N, with replacement.
    magnitude : M, 0 to 10.
    """

    def __init__(self, image: str = "image", mask: str = "mask", draws: int = 2, magnitude: float = 9.0) -> None:
        super().__init__([image, mask])
        self.image, self.mask, self.draws = image, mask, draws
        self.choices: tuple[Compose, ...] = ct_transforms(image, mask, magnitude / STEPS_OF_MAGNITUDE)
        self.chosen: list[int] = []

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> RandAugmentd:
        """Seed the draw and every transform."""
        super().set_random_state(seed, state)
        for choice in self.choices:
            choice.set_random_state(seed=int(self.R.randint(2**31 - 1)))
        return self

    def randomize(self, data: Any = None) -> None:
        """Draw the transforms of one sample."""
        self.chosen = [int(index) for index in self.R.randint(len(self.choices), size=self.draws)]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Apply the drawn transforms; ``IGNORE`` in the mask stays ``IGNORE``."""
        self.randomize()
        result = dict(data)
        for index in self.chosen:
            result = self.choices[index](result)
        result[self.image] = result[self.image].clamp(0.0, 1.0)
        return result


class RandKerneld(RandomizableTransform, MapTransform):  # type: ignore[misc]
    """A smoother or a sharper reconstruction kernel: the difference to a blurred image, taken away or added.

    MONAI's own smoothing pads with 0, which would draw dark rims around a window cut from the middle of a head; SciPy's
    repeats the border.

    Parameters
    ----------
    key : (channels, rows, columns) image.
    strength : 0 to 1; 0 changes nothing.
    """

    def __init__(self, key: str, strength: float) -> None:
        MapTransform.__init__(self, [key])
        RandomizableTransform.__init__(self, 1.0)
        self.strength = strength

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Draw sigma (0.5 to 1.5 pixels) and weight (-1: blurred, 2: sharp) and apply them."""
        sigma, weight = float(self.R.uniform(0.5, 1.5)), self.strength * float(self.R.uniform(-1.0, 2.0))
        result = dict(data)
        for key in self.key_iterator(result):
            image = torch.as_tensor(result[key])
            blurred = gaussian_filter(image.numpy(), (0.0, sigma, sigma), mode="nearest")
            result[key] = image + weight * (image - torch.from_numpy(blurred))
        return result


def ct_transforms(image: str, mask: str, strength: float) -> tuple[Compose, ...]:
    """The transforms that RandAugment draws from, always applied, at ``strength`` 0 to 1."""
    one = {"prob": 1.0}
    intensity = [
        RandShiftIntensityd(image, offsets=0.12 * strength, **one),
        RandScaleIntensityd(image, factors=0.25 * strength, **one),
        RandAdjustContrastd(image, gamma=(1.0 - 0.4 * strength, 1.0 + 0.6 * strength), **one),
        RandGaussianNoised(image, std=0.08 * strength, **one),
        RandKerneld(image, strength),
    ]
    # the border is repeated in image and mask alike, so what comes in from outside keeps its truth
    both: dict[str, Any] = {"keys": [image, mask], "mode": ("bilinear", "nearest"), "padding_mode": "border", **one}
    geometry = [
        RandFlipd([image, mask], spatial_axis=1, prob=0.5),
        RandAffined(rotate_range=np.deg2rad(30.0) * strength, **both),
        RandAffined(translate_range=20.0 * strength, **both),
        RandAffined(scale_range=0.25 * strength, **both),
    ]
    return tuple(Compose([transform]) for transform in (*intensity, *geometry))


def set_stochastic_depth(network: torch.nn.Module, last: float) -> int:
    """Set the skip rate of every MONAI ``DropPath`` of a network: linear from the first to ``last`` at the deepest.

    Returns
    -------
    How many there are; 0 says that the network has no residual block to skip.
    """
    paths = [module for module in network.modules() if isinstance(module, DropPath)]
    for index, path in enumerate(paths, start=1):
        path.drop_prob = last * index / len(paths)
    return len(paths)


def set_dropout(network: torch.nn.Module, rate: float) -> int:
    """Set the rate of every dropout layer of a network; returns how many there are."""
    kinds = (torch.nn.Dropout, torch.nn.Dropout1d, torch.nn.Dropout2d, torch.nn.Dropout3d)
    layers = [module for module in network.modules() if isinstance(module, kinds)]
    for layer in layers:
        layer.p = rate
    return len(layers)
