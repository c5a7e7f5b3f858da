"""Figures of predicted numbers and predicted images against the true ones.

References: Bland and Altman, Lancet 1986;327:307 (limits of agreement); Cohen, Psychol Bull 1968;70:213 (weighted
kappa); Wang et al., IEEE Trans Image Process 2004;13:600 (SSIM).
"""

from __future__ import annotations

import numpy as np
import torch
from monai.metrics import SSIMMetric
from numpy.typing import NDArray

from dicomnode.train.results import Floats
from dicomnode.train.statistics import midranks

LIMITS_SD = 1.96
SSIM_WINDOW = 7


def mean_absolute_error(truth: Floats, given: Floats) -> float:
    """Mean distance of the two; NaN without an exam."""
    return float(np.abs(given - truth).mean()) if len(truth) else float("nan")


def bias(truth: Floats, given: Floats) -> float:
    """Mean of given minus true; NaN without an exam."""
    return float((given - truth).mean()) if len(truth) else float("nan")


def limits_of_agreement(truth: Floats, given: Floats) -> tuple[float, float]:
    """Between these lie 95 % of the differences given minus true, were they normal; NaN for fewer than two exams."""
    if len(truth) < 2:
        return float("nan"), float("nan")
    reach = LIMITS_SD * float(np.std(given - truth, ddof=1))
    return bias(truth, given) - reach, bias(truth, given) + reach


def correlation(truth: Floats, given: Floats) -> float:
    """Pearson's; NaN where either is the same in all exams."""
    if len(truth) < 2 or np.ptp(truth) == 0.0 or np.ptp(given) == 0.0:
        return float("nan")
    return float(np.corrcoef(truth, given)[0, 1])


def rank_correlation(truth: Floats, given: Floats) -> float:
    """Spearman's; NaN where either is the same in all exams."""
    return correlation(midranks(truth), midranks(given))


def weighted_kappa(truth: Floats, given: Floats) -> float:
    """Cohen's kappa with quadratic weights, of grades; what was given is rounded to the nearest one.

    >>> weighted_kappa(np.array([0.0, 1.0, 2.0]), np.array([0.2, 0.9, 2.0]))
    1.0
    """
    grades = np.rint(given)
    # observed over expected squared distance: expected over all pairs, as if the two were independent
    expected = float(((truth[:, None] - grades[None, :]) ** 2).mean()) if len(truth) else 0.0
    return 1.0 - float(((truth - grades) ** 2).mean()) / expected if expected else float("nan")


def regression(truth: Floats, given: Floats) -> tuple[float, float]:
    """Slope and intercept that turn what was given into what is true, by least squares; NaN where it never varies."""
    if len(truth) < 2 or np.ptp(given) == 0.0:
        return float("nan"), float("nan")
    slope, intercept = np.polyfit(given, truth, 1)
    return float(slope), float(intercept)


def image_measures(
    truth: NDArray[np.float32], given: NDArray[np.float32], inside: NDArray[np.bool_], data_range: float
) -> dict[str, float]:
    """How near a predicted image comes to the true one.

    Parameters
    ----------
    truth, given : (slices, rows, columns).
    inside : the same shape; error and noise ratio are of these voxels.
    data_range : difference of the largest and the smallest value that matters, such as 100 HU of brain.

    Returns
    -------
    ``mae`` in the images' unit, ``psnr_db``, infinite where the two are equal, and ``ssim``, mean over the slices.
    """
    error = given[inside].astype(np.float64) - truth[inside]
    power = float((error**2).mean())
    pair = [torch.from_numpy(np.ascontiguousarray(image, np.float32))[:, None] for image in (given, truth)]
    ssim = SSIMMetric(spatial_dims=2, data_range=data_range, win_size=SSIM_WINDOW)(*pair)
    return {
        "mae": float(np.abs(error).mean()),
        "psnr_db": 10.0 * float(np.log10(data_range**2 / power)) if power else float("inf"),
        "ssim": float(torch.as_tensor(ssim).mean()),
    }
