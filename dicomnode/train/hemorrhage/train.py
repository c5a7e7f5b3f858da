"""Train the haemorrhage model on synthetic heads: ``python -m dicomnode.train.hemorrhage.train --out FOLDER --seed 1``.

Everything is generated from the seed; no real patient is involved. The network and its windows are read from the
bundle's own ``configs/inference.json``, so that training and inference cannot drift apart. Writes ``model.safetensors``
(float16) and ``report.md`` to the folder; ``--install`` copies both into the bundle and the documentation.
"""

from __future__ import annotations

import argparse
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from monai.losses import DiceCELoss
from numpy.typing import NDArray
from rich.progress import track
from safetensors.torch import load_file, save_file

from dicomnode import zoo
from dicomnode.cohort.acquire import BONY_HU
from dicomnode.train.hemorrhage.data import TrainingSeries, make_series
from dicomnode.train.hemorrhage.evaluate import evaluate, report_text
from dicomnode.zoo.parts import BundleParts, load_parts

BUNDLE = Path(zoo.__file__).parent / "hemorrhage" / "bundle"
REPORT = Path(__file__).parents[3] / "docs" / "models" / "hemorrhage" / "report.md"
POSITIVE_SHARE = 0.45
BLUR_REACH = 3
WINDOW = 128
"""Rows and columns of a training window; the network is fully convolutional and reads whole planes later."""
PEAK_RATE = 2.5e-3


@dataclass(frozen=True, slots=True)
class Settings:
    """One training run; equal settings on the same machine give equal weights."""

    seed: int
    heads: int
    steps: int
    batch: int
    processes: int
    threads: int
    test_heads: int
    cache: Path | None
    score_only: bool


class SliceSampler:
    """Draws square windows of slices with their neighbours, bleeding slices as often as the others.

    A window of a bleeding slice holds a voxel of blood; any other is near the middle of the plane.
    """

    def __init__(self, series: list[TrainingSeries], rng: np.random.Generator) -> None:
        self.series, self.rng = series, rng
        places = [(s, k) for s, one in enumerate(series) for k in range(len(one.hu))]
        bleeding = [series[s].mask[k].any() for s, k in places]
        self.positive = np.array([place for place, blood in zip(places, bleeding, strict=True) if blood])
        self.negative = np.array([place for place, blood in zip(places, bleeding, strict=True) if not blood])

    def batch(self, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """HU (3, size, rows, columns) float32 and truth (size, 1, rows, columns) float32."""
        planes, truths = [], []
        for index in range(size):
            pool = self.positive if index < size * POSITIVE_SHARE else self.negative
            s, k = pool[self.rng.integers(len(pool))]
            one = self.series[s]
            around = np.clip([k - 1, k, k + 1], 0, len(one.hu) - 1)
            row, column = self._corner(one, k)
            window = np.s_[row : row + WINDOW, column : column + WINDOW]
            planes.append(one.hu[around][:, *window])
            truths.append(one.mask[k][window])
        hu = torch.from_numpy(np.stack(planes, axis=1).astype(np.float32))
        return hu, torch.from_numpy(np.stack(truths)[:, None].astype(np.float32))

    def _corner(self, series: TrainingSeries, k: int) -> tuple[int, int]:
        """First row and column of a window."""
        last = series.hu.shape[1] - WINDOW
        blood = np.argwhere(series.mask[k])
        middle = blood[self.rng.integers(len(blood))] if len(blood) else np.full(2, series.hu.shape[1] / 2)
        corner = np.clip(middle - WINDOW / 2 + self.rng.uniform(-36.0, 36.0, 2), 0, last).astype(int)
        return int(corner[0]), int(corner[1])


def blur(hu: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Gaussian blur of HU (3, batch, rows, columns) by ``sigma`` (batch,) pixels: the resolution of other scanners."""
    reach = torch.arange(-BLUR_REACH, BLUR_REACH + 1, dtype=torch.float32)
    weights = torch.exp(-0.5 * (reach / sigma.clamp(min=0.1)[:, None]) ** 2)
    weights = weights / weights.sum(dim=1, keepdim=True)
    padded = torch.nn.functional.pad(hu, (BLUR_REACH,) * 4, mode="replicate")
    count = hu.shape[1]
    down = torch.nn.functional.conv2d(padded, weights[:, None, :, None], groups=count)
    return torch.nn.functional.conv2d(down, weights[:, None, None, :], groups=count)


def augment(hu: torch.Tensor, truth: torch.Tensor, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Blur, calibration offset (+-15 HU), contrast, shading, noise, mirror: what scanners and sides differ in.

    Where the blur mixes bone into blood, the truth is no blood, as in :func:`dicomnode.cohort.acquire.acquire`.
    """
    count = hu.shape[1]
    hu = blur(hu, torch.from_numpy(rng.uniform(0.0, 1.2, count).astype(np.float32)))
    truth = truth * (hu[1][:, None] < BONY_HU)
    wide = rng.random(count) < 0.35
    offset = np.where(wide, rng.uniform(-15.0, 15.0, count), rng.normal(0.0, 3.0, count))
    gain = rng.normal(1.0, 0.04, count)
    shape = (1, count, 1, 1)
    hu = hu * torch.from_numpy(gain.astype(np.float32)).view(shape) + torch.from_numpy(offset.astype(np.float32)).view(
        shape
    )
    coarse = torch.from_numpy(rng.normal(0.0, 3.0, (1, count, 4, 4)).astype(np.float32))
    hu = hu + torch.nn.functional.interpolate(coarse, hu.shape[2:], mode="bicubic", align_corners=True)
    noise = rng.uniform(0.0, 2.5, count).astype(np.float32)
    hu = hu + torch.from_numpy(rng.standard_normal(hu.shape, np.float32)) * torch.from_numpy(noise).view(shape)
    mirror = torch.from_numpy(rng.random(count) < 0.5)
    hu[:, mirror], truth[mirror] = hu[:, mirror].flip(-1), truth[mirror].flip(-1)
    return hu, truth


def network_input(parts: BundleParts, hu: torch.Tensor) -> torch.Tensor:
    """(batch, channels, rows, columns) from HU (3, batch, rows, columns), by the bundle's own windows."""
    image = torch.as_tensor(parts.preprocessing({"image": hu})["image"])
    return image.transpose(0, 1).contiguous(memory_format=torch.channels_last)


def start_rare(network: torch.nn.Module) -> None:
    """Let the untrained network answer "no blood" nearly everywhere: blood fills less than 1 % of the voxels."""
    last = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)][-1]
    if last.bias is not None:
        torch.nn.init.constant_(last.bias, -4.0)


def save_weights(network: torch.nn.Module, file: Path) -> None:
    """Write the weights as float16 safetensors."""
    state = {name: value.half() if value.is_floating_point() else value for name, value in network.state_dict().items()}
    save_file({name: value.contiguous() for name, value in state.items()}, file)


def fit(parts: BundleParts, sampler: SliceSampler, settings: Settings, out: Path) -> None:
    """Train the network in place; every 250 steps the weights so far go to ``out``."""
    network = parts.network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    start_rare(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, settings.steps, pct_start=0.1)
    loss_of = DiceCELoss(sigmoid=True, batch=True, lambda_dice=0.5, lambda_ce=1.0)
    recent: list[float] = []
    started = time.monotonic()
    for step in track(range(settings.steps), description="training"):
        hu, truth = augment(*sampler.batch(settings.batch), sampler.rng)
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(network_input(parts, hu))
        loss = loss_of(logits.float(), truth)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        recent.append(float(loss.detach()))
        if step % 100 == 99:
            print(f"step {step + 1}: loss {np.mean(recent[-100:]):.4f}, {time.monotonic() - started:.0f} s", flush=True)
        if step % 250 == 249:
            save_weights(network, out / "model.safetensors")
    network.eval()


def _series(settings: Settings, parts: BundleParts) -> list[TrainingSeries]:
    made = make_series(
        settings.seed,
        settings.heads,
        parts.plane_size,
        parts.plane_pixel_mm,
        processes=settings.processes,
        cache=settings.cache,
    )
    return [one for head in track(made, total=settings.heads, description="heads") for one in head]


def train(settings: Settings, out: Path) -> NDArray[np.float64]:
    """Generate, train, evaluate on unseen heads and write weights and report to ``out``.

    Returns
    -------
    (test heads with bleed,) Dice of each.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(settings.seed)
    torch.set_num_threads(settings.threads)
    parts = load_parts(BUNDLE)
    if settings.score_only:
        parts.network.load_state_dict(load_file(out / "model.safetensors"))
    else:
        sampler = SliceSampler(_series(settings, parts), np.random.default_rng(settings.seed))
        print(f"{len(sampler.positive)} slices with blood, {len(sampler.negative)} without", flush=True)
        fit(parts, sampler, settings, out)
        save_weights(parts.network, out / "model.safetensors")
    scores = evaluate(parts, settings.seed + 1, settings.test_heads, settings.processes, settings.cache)
    text = report_text(scores, settings.seed, settings.heads, settings.steps, settings.batch)
    (out / "report.md").write_text(text)
    print(text)
    return np.array([score.dice for score in scores if score.truth_ml > 0])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--heads", type=int, default=130)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=14)
    parser.add_argument("--test-heads", type=int, default=24)
    parser.add_argument("--processes", type=int, default=1, help="that make heads")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--cache", type=Path, help="folder that keeps the made heads between runs")
    parser.add_argument("--score-only", action="store_true", help="score the weights in the folder, train nothing")
    parser.add_argument("--install", action="store_true", help="copy weights and report to their places in the project")
    given = parser.parse_args()
    named = {key: value for key, value in vars(given).items() if key not in ("out", "install")}
    settings = Settings(**named)
    train(settings, given.out)
    if given.install:
        shutil.copyfile(given.out / "model.safetensors", BUNDLE / "models" / "model.safetensors")
        REPORT.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(given.out / "report.md", REPORT)


if __name__ == "__main__":
    main()
