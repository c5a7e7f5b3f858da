"""Score the haemorrhage model on synthetic heads it has never seen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import track

from dicomnode.train.hemorrhage.data import TrainingSeries, make_series
from dicomnode.zoo.parts import BundleParts

THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class HeadScore:
    """One unseen series.

    Attributes
    ----------
    dice : 2 |A and B| / (|A| + |B|); NaN without blood in the truth.
    truth_ml, marked_ml, false_ml : true blood, marked, marked without being blood.
    found : at least 0.1 mL of the true blood is marked.
    """

    dice: float
    truth_ml: float
    marked_ml: float
    false_ml: float
    found: bool


def predict(parts: BundleParts, series: TrainingSeries) -> torch.Tensor:
    """(slices, size, size) probability; neighbours are the adjacent slices."""
    hu = torch.from_numpy(series.hu.astype(np.float32))
    index = torch.arange(len(hu))
    around = torch.stack([hu[(index - 1).clamp(min=0)], hu, hu[(index + 1).clamp(max=len(hu) - 1)]])
    image = torch.as_tensor(parts.preprocessing({"image": around})["image"])
    with torch.inference_mode():
        logits = parts.inferer(image[None], parts.network)[0]
    return torch.as_tensor(parts.postprocessing({"pred": logits, "hu": around})["pred"])[0]


def score(parts: BundleParts, series: TrainingSeries) -> HeadScore:
    """Compare prediction and truth of one series."""
    marked = (predict(parts, series) > THRESHOLD).numpy()
    truth = series.mask
    both, total = np.count_nonzero(marked & truth), np.count_nonzero(marked) + np.count_nonzero(truth)
    return HeadScore(
        dice=2.0 * both / total if truth.any() else float("nan"),
        truth_ml=np.count_nonzero(truth) * series.voxel_ml,
        marked_ml=np.count_nonzero(marked) * series.voxel_ml,
        false_ml=np.count_nonzero(marked & ~truth) * series.voxel_ml,
        found=bool(both * series.voxel_ml >= 0.1),
    )


def evaluate(parts: BundleParts, seed: int, heads: int, processes: int, cache: Path | None) -> list[HeadScore]:
    """Scores of unseen heads, a third of them without bleed; the first series of each head."""
    parts.network.eval()
    healthy = heads // 3
    scores = []
    for clean, count, name in ((False, heads - healthy, "bleeds"), (True, healthy, "no bleed")):
        made = make_series(
            seed,
            count,
            parts.plane_size,
            parts.plane_pixel_mm,
            healthy=clean,
            processes=processes,
            cache=cache,
        )
        scores += [score(parts, series[0]) for series in track(made, total=count, description=f"unseen, {name}")]
    return scores


def report_text(scores: list[HeadScore], seed: int, heads: int, steps: int, batch: int) -> str:
    """The report in Markdown."""
    sick = [one for one in scores if one.truth_ml > 0]
    large = [one for one in sick if one.truth_ml >= 1.0]
    clean = [one for one in scores if one.truth_ml == 0]
    error = [one.marked_ml - one.truth_ml for one in sick]
    rows = [
        ("unseen heads with bleed", f"{len(sick)} ({len(large)} of at least 1 mL)"),
        ("Dice, median (quartiles), all", _quartiles([one.dice for one in sick])),
        ("Dice, median (quartiles), bleeds of at least 1 mL", _quartiles([one.dice for one in large])),
        ("found (at least 0.1 mL of the true blood marked), all", f"{sum(one.found for one in sick)} of {len(sick)}"),
        ("found, bleeds of at least 1 mL", f"{sum(one.found for one in large)} of {len(large)}"),
        ("marked minus true volume in mL, median (quartiles)", _quartiles(error)),
        ("marked though no blood, in heads with bleed, mL", _quartiles([one.false_ml for one in sick])),
        ("unseen heads without bleed", str(len(clean))),
        ("marked in them, mL, median (quartiles)", _quartiles([one.false_ml for one in clean])),
        ("marked in them, mL, largest", f"{max((one.false_ml for one in clean), default=0.0):.2f}"),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return f"""# Haemorrhage model: training report (synthetic)

All figures come from **synthetic** heads made by `dicomnode cohort`; they say nothing about accuracy on patients.
Trained by `python -m dicomnode.train.hemorrhage.train --seed {seed} --heads {heads} --steps {steps} --batch {batch}`;
the test heads come from other seeds. Probability threshold {THRESHOLD}. The figures are of the network alone, before
the runner confines marks to the intracranial space.

| synthetic test set | value |
|---|---|
{table}
"""


def _quartiles(values: list[float]) -> str:
    if not values:
        return "none"
    low, middle, high = np.percentile(values, [25, 50, 75])
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"
